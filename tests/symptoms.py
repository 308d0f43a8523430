"""Symptoms of programs that people have reported, in our words, and the facts that explain them.

Each has the ids or globs of these facts, and the project and the number of the report.
"""

from __future__ import annotations

SYMPTOMS = [
    (
        "cannot restart server, Address already in use for about a minute",
        (
            "sockets.bind_time_wait",
            "sockets.reuseaddr_time_wait",
            "sockets.late_reuseaddr_time_wait",
        ),
        "tio/tio issue #257",
    ),
    (
        "IPv4 port 80 listens, then :::80 fails with Address already in use",
        ("sockets.bind_v4_first_*", "sockets.bind_v6_first_*", "sockets.v6only_default"),
        "silverwind/droppy issue #258",
    ),
    (
        "iperf server on FreeBSD answers IPv6 but not IPv4 clients",
        (
            "sockets.v6only_default",
            "sockets.v4mapped_default",
            "sockets.v4mapped_dual",
            "sockets.first_that_binds_serves",
        ),
        "esnet/iperf issue #126",
    ),
    (
        "allow rule for 10.0.0.0/8 denies client, log says ::ffff:10.1.2.3",
        ("sockets.v4mapped_address", "sockets.v4mapped_default", "sockets.v4mapped_dual"),
        "distcc/distcc issue #443",
    ),
    (
        "OSError AF_UNIX path too long, daemon fails on Mac",
        ("sockets.unix_path_limit*", "sockets.sun_path_bytes"),
        "kenneth-liao/mcp-launchpad pull request #3",
    ),
    (
        "SO_REUSEPORT workers on macOS, one process gets all 200 connections",
        (
            "sockets.reuseport_balances",
            "sockets.reuseport_last_binder_wins",
            "sockets.reuseport_lb",
        ),
        "HigherOrderCO/Bend pull request #972",
    ),
    (
        "never more than 128 pending connections whatever Backlog= I set",
        ("sockets.backlog_*", "sockets.somaxconn_macro"),
        "systemd/systemd issue #4629",
    ),
    (
        "connect to 0.0.0.0 gives EINVAL on OpenBSD instead of refused",
        ("sockets.connect_to_any",),
        "rust-lang/rust pull request #22440",
    ),
    (
        "two apps share port 8080 without error, localhost reaches the second",
        ("sockets.specific_beside_wildcard*", "sockets.wildcard_beside_specific*"),
        "mage/mage issue #102",
    ),
    (
        "AF_UNSPEC server takes IPv4 only, connecting by IPv6 fails",
        ("sockets.passive_order", "sockets.first_that_binds", "sockets.first_that_binds_serves"),
        "libsdl-org/SDL_net pull request #85",
    ),
    (
        "recv returns EAGAIN right after accept on OSX, fine on Linux",
        (
            "accepting.inherits_nonblock",
            "accepting.accept4_inherits_nonblock",
            "accepting.python_inherits_nonblock",
        ),
        "blackmagic-debug/blackmagic pull request #536",
    ),
    (
        "Software caused connection abort in accept, server thread dies on FreeBSD",
        ("accepting.accept_after_reset", "accepting.read_after_accepted_reset"),
        "cherrypy/cherrypy issue #686",
    ),
    (
        "web server quits with code 141 when load client disconnects",
        (
            "accepting.sigpipe_from_socket",
            "accepting.msg_nosignal",
            "accepting.so_nosigpipe",
            "signals.sigpipe_kills",
            "accepting.write_after_peer_closed_*",
        ),
        "Kitura/Kitura issue #965",
    ),
    (
        "data of first sendall lost after remote quit, second says Broken pipe",
        ("accepting.write_after_peer_closed_*",),
        "orionvm/potsdb issue #9",
    ),
    (
        "small HTTP replies 40ms slow under keep-alive, Nagle on client connections",
        ("accepting.inherits_nodelay", "accepting.nodelay_default"),
        "ephpm/ephpm pull request #174",
    ),
    (
        "zsh and sleep hold open connections of my control socket",
        ("accepting.*inherits_cloexec", "files.has_accept4"),
        "manaflow-ai/cmux issue #5835",
    ),
    (
        "Error opening file: Value too large for defined data type, 2.6 GB",
        ("compilers.off_t_bits_*", "abi.off_t_bits*"),
        "otrtool/otrtool issue #11",
    ),
    (
        "i386 build breaks with dates past 2038, clock overflows",
        ("compilers.time_t_bits_*", "abi.time_t_bits", "abi.time_after_2038"),
        "Xilinx-CNS/sfptpd pull request #13",
    ),
    (
        "signal handler works once, must be set again inside the handler",
        (
            "compilers.signal_flags*",
            "signals.libc_signal_stays",
            "signals.libc_signal_flags",
            "signals.sysv_signal_stays",
        ),
        "jakubfi/em400 pull request #7",
    ),
    (
        "symbol __sysv_signal not found once _XOPEN_SOURCE is defined",
        ("compilers.signal_flags_strict", "compilers.signal_flags", "signals.sysv_signal_*"),
        "cloudius-systems/osv issue #238",
    ),
    (
        "player cannot stat video over 2 GiB on 32-bit Pi, EOVERFLOW",
        ("abi.off_t_bits*", "compilers.off_t_bits_*"),
        "HorseyofCoursey/zeroplay issue #26",
    ),
    (
        "option parsing loops forever on ARM, char compared to -1",
        ("abi.char_signed",),
        "lighttpd/weighttp pull request #6",
    ),
    (
        "sa_flags ends up wrong in my sigaction struct on 32-bit ARM",
        ("abi.sa_flags_offset", "abi.sigaction_fills_bytes", "abi.sigset_t_bytes"),
        "XuShaohua/nc issue #50",
    ),
    (
        "server_id read as 0 on s390x and ppc64, 1 on x86",
        ("abi.byte_order",),
        "openpmix/openpmix issue #1345",
    ),
    (
        "sizeof struct is 28 on i686 but 32 on ARMv7, assertion fails",
        ("abi.int64_alignment", "abi.double_alignment"),
        "nodejs/http-parser pull request #510",
    ),
    (
        "log entries of several Apache processes mixed inside one line",
        ("files.append_whole_kib",),
        "openfoodfacts/openfoodfacts-server issue #10621",
    ),
    (
        "pwrite at 0 on Linux lands at end of file, corrupt output",
        ("files.pwrite_ignores_offset_with_append",),
        "DanEngelbrecht/longtail pull request #244",
    ),
    (
        "open named pipe O_WRONLY O_NONBLOCK says No such device or address",
        ("files.fifo_nonblock_write_without_reader", "files.fifo_open_read_write"),
        "cooperative-computing-lab/cctools pull request #1965",
    ),
    (
        "log program dies of SIGXFSZ, File too large under ulimit -f",
        ("files.fsize_limit_*",),
        "metwork-framework/log_proxy issue #5",
    ),
    (
        "os.sendfile on Mac: Errno 38 Socket operation on non-socket",
        ("files.sendfile_to_file", "files.sendfile_to_socket"),
        "yaviral17/macos-rufus issue #2",
    ),
    (
        "command with more than 64KiB of output hangs, parent waits forever",
        ("files.pipe_capacity",),
        "puppetlabs/r10k issue #265",
    ),
    (
        "call to undeclared function pipe2, build on macOS Sonoma",
        ("files.has_pipe2", "files.has_accept4", "files.has_dup3"),
        "open62541/open62541 pull request #6495",
    ),
    (
        "select in a loop uses 100% CPU on Linux after first timeout",
        ("files.select_modifies_timeout",),
        "jeanreP/lssdp-cpp pull request #3",
    ),
    (
        "cp -r of directory with some.socket: No such device or address",
        ("files.open_socket_file",),
        "uutils/coreutils issue #8378",
    ),
    (
        "session creation on OpenBSD: chmod Inappropriate file type or format",
        ("files.sticky_file_by_user",),
        "martanne/abduco issue #13",
    ),
    (
        "parent reads same data again after forked child exits",
        ("files.offset_shared_after_fork", "files.offset_shared_by_dup"),
        "Perl/perl5 issue #3545",
    ),
    (
        "os.killpg PermissionError Operation not permitted on Mac, processes are mine",
        (
            "groups.killpg_only_zombies",
            "groups.killpg_some_permitted",
            "groups.killpg_none_permitted",
        ),
        "cylc/cylc-flow pull request #4221",
    ),
    (
        "setsid fails with EPERM only when I run it from terminal",
        ("groups.setsid_of_group_leader",),
        "DOMjudge/domjudge pull request #1886",
    ),
    (
        "kill(pid, 0) fails so second daemon starts although first runs",
        ("groups.signal_0_foreign", "groups.signal_0_gone", "groups.signal_0_zombie"),
        "vercel-labs/agent-browser pull request #564",
    ),
    (
        "killall cherokee also terminates the shell script that started it",
        ("groups.kill_0_reaches_*",),
        "cherokee/webserver issue #1189",
    ),
    (
        "command timed out and was killed, its setsid children survive",
        ("groups.killpg_reaches_setsid", "groups.killpg_reaches_setpgid"),
        "NousResearch/hermes-agent pull request #94187",
    ),
    (
        "lock gone after reading the lock file in the same process",
        ("locks.fcntl_dropped_by_any_close", "locks.lockf_is", "locks.ofd_dropped_by_other_close"),
        "brunoczim/fslock issue #6",
    ),
    (
        "fcntl.flock Bad file descriptor, home directory on NFS",
        ("locks.flock_needs_write_access",),
        "rss2email/rss2email issue #10",
    ),
    (
        "update.lock still taken after script ended, orphan sh holds it",
        (
            "locks.flock_shared_by_fork",
            "locks.flock_survives_exec",
            "locks.flock_close_one_duplicate_keeps",
        ),
        "MagnaCapax/PMSS issue #663",
    ),
    (
        "forked child unlocks and the parent no longer has the lock",
        (
            "locks.flock_child_unlock_drops",
            "locks.flock_dup_unlock_drops",
            "locks.flock_shared_by_fork",
        ),
        "awslabs/aws-c-common pull request #1192",
    ),
    (
        "Resource deadlock avoided building several venvs in parallel",
        ("locks.fcntl_detects_deadlock",),
        "pex-tool/pex issue #1693",
    ),
    (
        "flock and fcntl users ignore each other on the same file",
        ("locks.flock_conflicts_with_fcntl", "locks.fcntl_conflicts_with_flock", "locks.lockf_is"),
        "discoteq/flock issue #40",
    ),
    (
        "Pdeathsig has no effect if I set uid of the command",
        ("processes.parent_death_signal_survives_setuid", "processes.parent_death_signal"),
        "golang/go issue #9686",
    ),
    (
        "no prctl on macOS, runner stays alive when main program crashes",
        ("processes.parent_death_signal", "processes.parent_death_pipe"),
        "VivekPanyam/carton pull request #75",
    ),
    (
        "rsyslogd at 100% CPU on startup, strace shows close EBADF endlessly",
        ("processes.closefrom", "processes.close_range"),
        "rsyslog/rsyslog issue #5322",
    ),
    (
        "close_range Operation not permitted in docker with new glibc",
        ("processes.close_range", "processes.unknown_system_call"),
        "moby/moby issue #43595",
    ),
    (
        "undeclared identifier SO_PEERCRED and incomplete struct ucred on macOS",
        ("processes.peer_credentials",),
        "alonbl/gnupg-pkcs11-scd issue #8",
    ),
    (
        "children of a dead daemon escape supervise and belong to init",
        ("processes.reaper",),
        "bruceg/daemontools-encore pull request #33",
    ),
    (
        "accept fails in forking TCP server as soon as SIGCHLD comes",
        ("restarts.accept*",),
        "gramineproject/graphene issue #624",
    ),
    (
        "snmptrapd crashes, select error 4 Interrupted system call after HUP",
        ("restarts.select*", "restarts.poll", "restarts.poll_flags_0"),
        "Uninett/nav issue #736",
    ),
    (
        "epoll_wait Interrupted system call when laptop wakes from suspend",
        ("restarts.poller*",),
        "ghedo/pflask pull request #21",
    ),
    (
        "Ctrl+C during script, waitpid EINTR, failed build counted as good",
        ("restarts.waitpid*",),
        "rpm-software-management/rpm pull request #2398",
    ),
    (
        "EISCONN after retrying connect that got EINTR on MacOS",
        ("restarts.connect*",),
        "rust-lang/rust pull request #116132",
    ),
    (
        "backoff sleep cut short when SIGALRM arrives",
        ("restarts.nanosleep*",),
        "DeusData/codebase-memory-mcp issue #1616",
    ),
    (
        "app does not exit on ^C, stuck in read of client socket",
        (
            "restarts.read_tcp*",
            "restarts.read_socket*",
            "signals.libc_signal_restarts",
            "signals.sigaction_flags_0_restarts",
            "signals.siginterrupt_interrupts",
        ),
        "tsoding/wassm issue #50",
    ),
    (
        "sending USR1 twice terminates ucarp on Solaris",
        (
            "signals.libc_signal_stays",
            "signals.sysv_signal_stays",
            "signals.*_signal_flags",
            "compilers.signal_flags*",
        ),
        "jedisct1/UCarp pull request #13",
    ),
    (
        "daemonize aborts on FreeBSD, waitpid says No child processes",
        ("signals.sigchld_ignored_reaps",),
        "gdnsd/gdnsd pull request #243",
    ),
    (
        "zombies remain when two processes die at the same moment",
        (
            "signals.sigchld_coalesces",
            "signals.sigchld_default_leaves_zombies",
            "signals.pending_coalesce",
        ),
        "nerves-project/erlinit pull request #52",
    ),
    (
        "programs launched from bspwm get ECHILD for their own children",
        ("signals.ignored_survives_exec", "signals.sigchld_ignored_reaps"),
        "baskerville/bspwm pull request #1534",
    ),
    (
        "SIGTERM cannot terminate child process since parent uses pselect",
        ("signals.mask_survives_exec", "signals.ignored_survives_exec"),
        "ralphlange/procServ issue #48",
    ),
    (
        "undeclared identifier sigtimedwait, make fails on MacOS and OpenBSD",
        ("signals.has_sigtimedwait", "signals.has_sigwaitinfo", "signals.python_has_sigtimedwait"),
        "e2guardian/e2guardian issue #559",
    ),
    (
        "yes | head prints Broken pipe inside asciinema",
        (
            "signals.python_sigpipe_ignored",
            "signals.ignored_survives_exec",
            "signals.sigpipe_ignored_gives",
        ),
        "asciinema/asciinema issue #369",
    ),
    (
        "kill -d shows 34 instead of RT0 on musl",
        ("signals.sigrtmin", "signals.sigrtmax"),
        "util-linux/util-linux pull request #3605",
    ),
    (
        "sys/signalfd.h file not found building on OSX",
        ("signals.signal_descriptor",),
        "remotestorage/rs-serve issue #7",
    ),
    (
        "Ctrl+C interrupts Python accept() first time, later ones ignore it",
        ("signals.siginterrupt_*", "signals.python_signal_restarts", "restarts.accept*"),
        "kspaceKelvin/python-ismrmrd-server pull request #9",
    ),
    (
        "sipp fails to add a descriptor to epoll if stdout is redirected to /dev/null",
        ("pollers.poller_dev_null",),
        "SIPp/sipp issue #50",
    ),
    (
        "input from a pipe works, but prog < list.txt does not with an epoll loop",
        ("pollers.poller_regular_file",),
        "troglobit/libuev issue #12",
    ),
    (
        "kqueue reactor: bad fd again and again once twistd runs daemonized",
        ("pollers.in_child",),
        "twisted/twisted issue #1918",
    ),
    (
        "WeeChat crashes at random with more than 1024 files open",
        ("pollers.fd_setsize", "pollers.select_over_fd_setsize"),
        "weechat/weechat issue #465",
    ),
    (
        "status bar takes a whole core after the script at its fifo exits",
        ("pollers.*_unwritten_fifo", "pollers.*_ended_pipe", "files.poll_pipe_writer_closed"),
        "MadcowOG/dwl-bar issue #11",
    ),
    (
        "EventManager::AddEvent: ADD failed for fd=20: File exists",
        ("pollers.add_twice", "pollers.add_after_one_shot"),
        "iowarp/clio-core issue #273",
    ),
    (
        "busy loop in termbox on a Mac, revents of /dev/tty is 0x20",
        ("pollers.poll_terminal",),
        "termbox/termbox2 issue #31",
    ),
    (
        "all gunicorn workers race for one connection and burn CPU on EAGAIN",
        ("pollers.woken_by_*",),
        "benoitc/gunicorn issue #792",
    ),
    (
        "undefined SYS_TIMERFD_CREATE in a build on FreeBSD 12",
        ("pollers.timer_event",),
        "xenserver/xe-guest-utilities issue #76",
    ),
    (
        "read /dev/ptmx: input/output error when the command has finished, Linux only",
        ("terminals.master_read_after_close",),
        "homeport/termshot issue #2",
    ),
    (
        "pexpect on macOS sees EOF and no output if I sleep before expect",
        ("terminals.unread_output_kept",),
        "pexpect/pexpect issue #662",
    ),
    (
        "stty size & never returns, the process is in state T",
        ("terminals.background_*",),
        "uutils/coreutils issue #13722",
    ),
    (
        "Python posix_openpt on OpenBSD: Invalid argument, always",
        ("terminals.openpt_*",),
        "python/cpython issue #154227",
    ),
    (
        "JSON pasted into interactive jq is cut, characters after 4096 are gone",
        ("terminals.longest_line",),
        "jqlang/jq issue #3457",
    ),
    (
        "window was resized while cat ran, then the shell has the old size",
        ("terminals.resize_reaches",),
        "SerenityOS/serenity pull request #2713",
    ),
    (
        "kate & from fish is gone as soon as the terminal window is closed",
        ("terminals.hangup_reaches", "terminals.leader_exit_reaches"),
        "fish-shell/fish-shell issue #1771",
    ),
    (
        "ghcup installer in docker build: cannot open /dev/tty: No such device or address",
        ("terminals.dev_tty_without_terminal", "groups.session_leader_gains_terminal"),
        "haskell/ghcup-hs issue #139",
    ),
    (
        "erlexec with pty on a Mac sends my input back to me",
        ("terminals.fresh_modes",),
        "saleyn/erlexec issue #193",
    ),
    (
        "editor will not open its command socket, Address already in use, nothing runs",
        ("unix.bind_stale_file*", "unix.file_stays_after_close"),
        "deadpixi/sam issue #51",
    ),
    (
        "502 after upgrade, php5-fpm.sock belongs to root, web server has Permission denied",
        ("unix.connect_needs_permission", "unix.file_mode_under_umask"),
        "Mins/TuxLite issue #45",
    ),
    (
        "sshd and dnsmasq stall for ever in sendto /dev/log",
        ("unix.datagrams_full_blocking",),
        "systemd/systemd issue #16456",
    ),
    (
        "statsd metrics over unix socket cease when agent restarts, ENOTCONN",
        ("unix.datagram_after_receiver_*",),
        "DataDog/dogstatsd-ruby pull request #102",
    ),
    (
        "haproxy seamless reload on Alpine cannot transfer 253 listener sockets in one go",
        ("unix.passed_at_most", "unix.passed_too_many"),
        "haproxy/haproxy issue #1413",
    ),
    (
        "IPC test fails at random, attached fd closed too early after sendmsg",
        ("unix.passed_then_closed",),
        "kenz-gelsoft/gecko-dev issue #50",
    ),
    (
        "fds from recvMsg inherited when another thread spawns before close-on-exec is set",
        ("unix.msg_cmsg_cloexec", "unix.passed_keeps_cloexec"),
        "haskell/network issue #625",
    ),
    (
        "local connect to busy listener refused at once on Mac, paced with EAGAIN on Linux",
        ("unix.backlog_full_*",),
        "elle-lisp/elle issue #975",
    ),
    (
        "memcached will not start in fakeroot, setgroups denied",
        ("credentials.user_namespace_setgroups",),
        "memcached/memcached pull request #533",
    ),
    (
        "Electron AppImage aborts on Ubuntu 24.04, SUID sandbox helper not configured",
        ("credentials.user_namespace_by_user",),
        "transformerlab/transformerlab-app issue #185",
    ),
    (
        "DNS balancer keeps no capabilities once it switches to another uid",
        ("credentials.keepcaps_keeps", "credentials.setuid_drops_capabilities"),
        "PowerDNS/pdns pull request #11761",
    ),
    (
        "file owner test on MacOS runner expects gid 20, gets 0",
        ("credentials.new_file_group",),
        "elastic/beats issue #37701",
    ),
    (
        "sudo refused in tunnel's SSH session, NoNewPrivileges in the unit file",
        ("credentials.no_new_privs_stops_set_user_id", "processes.no_new_privs"),
        "fosrl/newt issue #383",
    ),
    (
        "su in the built image is no longer setuid, lchown came after the mode",
        ("credentials.chown_by_root_of_set_user_id",),
        "moby/moby pull request #38152",
    ),
    (
        "spawn with both userID and groupID set always fails with EPERM",
        ("credentials.setgid_after_setuid",),
        "swiftlang/swift-subprocess pull request #344",
    ),
    (
        "sudo pkg on Linux cannot drop to nobody: seteuid, then setuid not permitted",
        ("credentials.setuid_after_seteuid",),
        "freebsd/pkg pull request #1571",
    ),
]
