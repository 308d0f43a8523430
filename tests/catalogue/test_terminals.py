"""The terminals family can be wrong: change the world, see the answers flip."""

from __future__ import annotations

import pytest

from probes import Report, libc
from probes.load_catalogue import load_catalogue
from probes.probe import Blocked
from tests.needs import require
from tests.worlds import COUNT_SESSIONS, flipped, measure, needs_linux, needs_root

pytestmark = needs_linux

HEADERS = r"""
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL(why) return errno = why, -1
static int control(int fd, unsigned long request, void *argument)
{
    int before = errno, done = REAL(ioctl)(fd, request, argument);
    errno = before;
    return done;
}
static int is_master(int fd) { int n; return control(fd, TIOCGPTN, &n) == 0; }
static int is_terminal(int fd)
{
    struct stat s;
    return fstat(fd, &s) == 0 && S_ISCHR(s.st_mode) && s.st_rdev >> 8 == 136;
}
static int is_hung(int fd)
{
    struct pollfd p = {fd, 0, 0};
    REAL(poll)(&p, 1, 0);
    return p.revents & POLLHUP;
}
static int is_background(int fd)
{
    pid_t group;
    return is_terminal(fd) && control(fd, TIOCGPGRP, &group) == 0 && group != getpgrp();
}
"""


def write_read(rule: str) -> str:
    """Return a read() that applies ``rule`` to what it ``got``."""
    return (
        "ssize_t read(int fd, void *room, size_t n) {"
        " ssize_t got = REAL(read)(fd, room, n);" + rule + " return got; }\n"
    )


def write_write(rule: str) -> str:
    """Return a write() that applies ``rule`` first."""
    head = "ssize_t write(int fd, const void *data, size_t n)"
    return f"{head} {{ {rule} return REAL(write)(fd, data, n); }}\n"


def write_poll(rule: str) -> str:
    """Return a poll() that applies ``rule`` to each entry ``p``."""
    return (
        "int poll(struct pollfd *fds, nfds_t n, int timeout) {"
        " int ready = REAL(poll)(fds, n, timeout);"
        " for (struct pollfd *p = fds; p < fds + n; p++) {" + rule + " } return ready; }\n"
    )


def write_ioctl(rule: str) -> str:
    """Return an ioctl() that applies ``rule`` first."""
    return (
        "int ioctl(int fd, unsigned long request, ...) {"
        " va_list rest; va_start(rest, request); void *given = va_arg(rest, void *); va_end(rest);"
        + rule
        + " return REAL(ioctl)(fd, request, given); }\n"
    )


def write_open(rule: str) -> str:
    """Return an open() that applies ``rule`` to the descriptor ``made``."""
    body = (
        "(const char *path, int flags, ...) { va_list rest; va_start(rest, flags);"
        " mode_t mode = va_arg(rest, mode_t); va_end(rest);"
        " int made = REAL(open)(path, flags, mode);" + rule + " return made; }\n"
    )
    return "int open" + body + "int open64" + body


def terminals(**answers: str) -> dict[str, str]:
    return {f"terminals.{name}": answer for name, answer in answers.items()}


WITHOUT_OPENPTY = (
    "openpt_cloexec", "openpt_nonblock", "open_before_unlock", "dev_tty_without_terminal"
)  # fmt: skip
OF_OPENPTY = tuple(
    id
    for id in load_catalogue()
    if id.startswith("terminals.") and not id.endswith(WITHOUT_OPENPTY)
)
"""The facts that a pair of openpty() is needed for."""

OF_SESSION = tuple(
    id
    for id in load_catalogue()
    if id.startswith("terminals.")
    and ("_reaches" in id or ".background_" in id or "tiocsctty" in id)
)
"""The facts that ask in a session that leads a terminal."""

OF_POLL = ("master_poll_after_close", "terminal_poll_after_close", "packet_status_poll")

WORLDS = {
    "a closed terminal ends its master as on the BSDs": (
        write_read("if (got < 0 && errno == EIO && is_master(fd)) return 0;")
        + write_write("if (is_master(fd) && is_hung(fd)) FAIL(EIO);")
        + write_poll("if (p->revents & POLLHUP && is_master(p->fd)) p->revents |= POLLIN;"),
        terminals(
            master_read_after_close="0 bytes",
            master_write_after_close="EIO",
            master_poll_after_close="IN|OUT|HUP",
        ),
    ),
    "a closed master ends its terminal in silence": (
        write_read("if (got == 0 && is_terminal(fd) && is_hung(fd)) FAIL(EAGAIN);")
        + write_write("if (is_terminal(fd) && is_hung(fd)) return n;")
        + write_poll("if (p->revents & POLLHUP && is_terminal(p->fd)) p->revents = POLLOUT;")
        + "int tcgetattr(int fd, struct termios *modes) { int done = REAL(tcgetattr)(fd, modes);"
        " return is_terminal(fd) && is_hung(fd) ? 0 : done; }",
        terminals(
            terminal_read_after_close="EAGAIN",
            terminal_write_after_close="ok",
            terminal_poll_after_close="OUT",
            terminal_tcgetattr_after_close="ok",
        ),
    ),
    "a closed terminal takes its output with it": (
        write_read("if (got > 0 && is_master(fd) && is_hung(fd)) FAIL(EIO);"),
        terminals(unread_output_kept="no"),
    ),
    "a closed master leaves what was typed": (
        "static ssize_t typed;"
        + write_write("if (n == 5 && is_master(fd)) typed = n;")
        + write_read("if (got == 0 && is_terminal(fd) && is_hung(fd)) { got = typed; typed = 0; }"),
        terminals(unread_input_kept="yes"),
    ),
    "a terminal that is not open cannot be opened by name, and /dev/tty is broken": (
        write_open(
            r"""
            if (made < 0 && errno == ENXIO && !strcmp(path, "/dev/tty")) errno = EIO;
            if (made >= 0 && flags & O_NOCTTY && is_terminal(made)) {
                struct stat here, there;
                fstat(made, &here);
                for (int fd = 0; fd < 64; fd++)
                    if (fd != made && fstat(fd, &there) == 0 && here.st_rdev == there.st_rdev)
                        return made;
                close(made);
                FAIL(ENXIO);
            }
            """
        ),
        terminals(
            master_after_reopen="no", dev_tty_without_terminal="EIO", open_before_unlock="blocked"
        ),
    ),
    "a sandbox refuses to open terminals by name": (
        write_open(
            'if (made >= 0 && !strncmp(path, "/dev/pts/", 9)) { close(made); FAIL(EACCES); }'
        ),
        {
            **terminals(master_after_reopen="blocked", open_before_unlock="blocked"),
            "groups.double_fork_regains_terminal": "blocked",
            "groups.session_leader_gains_terminal": "blocked",
        },
    ),
    "a sandbox hides the names of terminals": (
        "char *ptsname(int fd) { return errno = ENOENT, NULL; }"
        " int ttyname_r(int fd, char *room, size_t n) { return ENODEV; }"
        " char *ttyname(int fd) { return errno = ENODEV, NULL; }",
        {
            **terminals(master_after_reopen="blocked", open_before_unlock="blocked"),
            "groups.double_fork_regains_terminal": "blocked",
            "groups.session_leader_gains_terminal": "blocked",
        },
    ),
    "posix_openpt as on FreeBSD": (
        "int posix_openpt(int flags) { if (flags & O_NONBLOCK) FAIL(EINVAL);"
        " int made = REAL(posix_openpt)(flags & ~O_CLOEXEC); unlockpt(made); return made; }",
        terminals(openpt_cloexec="ignored", openpt_nonblock="EINVAL", open_before_unlock="ok"),
    ),
    "a read that finds nothing says the contrary": (
        write_read(
            r"""
            if (got < 0 && errno == EAGAIN && is_master(fd) && !is_hung(fd)) return 0;
            if (got == 0 && n && is_terminal(fd) && !is_hung(fd)) FAIL(EAGAIN);
            """
        ),
        terminals(
            idle_master_read="0 bytes",
            read_after_eof="EAGAIN, then 5 bytes",
            min_0_nonblock_read="EAGAIN",
        ),
    ),
    "lines, control characters and modes of another system": (
        "ssize_t read(int fd, void *room, size_t n)"
        " { return REAL(read)(fd, room, n > 1024 && is_terminal(fd) ? 1024 : n); }"
        " long fpathconf(int fd, int name)"
        " { return name == _PC_VDISABLE ? 255 : REAL(fpathconf)(fd, name); }"
        " int tcgetattr(int fd, struct termios *modes)"
        " { int done = REAL(tcgetattr)(fd, modes); modes->c_lflag &= ~ECHO; return done; }"
        " int isatty(int fd) { return !is_master(fd) && REAL(isatty)(fd); }",
        terminals(
            longest_line="1024",
            vdisable="255",
            fresh_modes="ICRNL|OPOST|ONLCR|ISIG|ICANON",
            master_isatty="no",
        ),
    ),
    "tcgetattr waits": (
        # In a child of a probe; one in the background has a process group of its own.
        "int tcgetattr(int fd, struct termios *modes)"
        " { if (getpgrp() == getsid(0) && getpid() != getsid(0)) pause();"
        " return REAL(tcgetattr)(fd, modes); }",
        terminals(tcgetattr_hangs="yes"),
    ),
    "packet mode is not": (
        write_ioctl("if (request == TIOCPKT) return 0;"),
        terminals(packet_mode="no", packet_status_poll="OUT"),
    ),
    "every process may take a terminal, and the size is always new": (
        write_ioctl(
            r"""
            struct winsize size;
            if (request == TIOCSWINSZ) {
                size = *(struct winsize *)given;
                size.ws_row++;
                control(fd, request, &size);
            }
            if (request == TIOCSCTTY && control(fd, request, given) < 0) return 0;
            """
        ),
        terminals(tiocsctty_by_child="ok", tiocsctty_of_other="ok", same_size_reaches="foreground"),
    ),
    "openpty makes its terminal the controlling one": (
        COUNT_SESSIONS
        + "int openpty(int *master, int *terminal, char *name, const struct termios *modes,"
        " const struct winsize *size)"
        " { int done = REAL(openpty)(master, terminal, name, modes, size);"
        " if (sessions > 2) control(*terminal, TIOCSCTTY, 0); return done; }",
        terminals(openpty_gains_terminal="yes"),
    ),
    "a master that closes hangs up the foreground too": (
        "int close(int fd) { pid_t group = 0;"
        " if (control(fd, TIOCGPGRP, &group) == 0 && group > 1 && is_master(fd))"
        " killpg(group, SIGHUP);"
        " return REAL(close)(fd); }",
        terminals(hangup_reaches="leader, foreground"),
    ),
    "the foreground stays with the leader": (
        "int tcsetpgrp(int fd, pid_t group) { return 0; }",
        terminals(
            leader_exit_reaches="none",
            resize_reaches="leader",
            background_tcsetpgrp="ok",
        ),
    ),
    "job control with another mind": (
        r"""
        static void block(int how, int signal)
        {
            sigset_t one;
            sigemptyset(&one);
            sigaddset(&one, signal);
            sigprocmask(how, &one, NULL);
        }
        ssize_t read(int fd, void *room, size_t n)
        {
            if (!is_background(fd)) return REAL(read)(fd, room, n);
            struct sigaction now;
            sigaction(SIGTTIN, NULL, &now);
            FAIL(now.sa_handler == SIG_IGN ? EAGAIN : EIO);
        }
        ssize_t write(int fd, const void *data, size_t n)
        {
            if (!is_background(fd)) return REAL(write)(fd, data, n);
            struct termios modes;
            tcgetattr(fd, &modes);
            if (!(modes.c_lflag & TOSTOP)) raise(SIGTTOU);
            block(SIG_BLOCK, SIGTTOU);
            return REAL(write)(fd, data, n);
        }
        int tcsetattr(int fd, int when, const struct termios *modes)
        {
            block(SIG_BLOCK, SIGTTOU);
            int done = REAL(tcsetattr)(fd, when, modes);
            block(SIG_UNBLOCK, SIGTTOU);
            return done;
        }
        """,
        terminals(
            background_read="EIO",
            background_read_ignoring="EAGAIN",
            background_write="SIGTTOU",
            background_write_tostop="ok",
            background_tcsetattr="ok",
        ),
    ),
}

SHIMS = {world: (HEADERS + source, expected) for world, (source, expected) in WORLDS.items()}


@needs_root
def test_the_mount_of_devpts_decides_mode_and_group(here: Report) -> None:
    require("unshare")
    answers = set()
    for mode, group in (("0620", 5), ("0600", 0), ("0622", 65533)):
        mount = f"mount -t devpts -o newinstance,ptmxmode=666,mode={mode},gid={group} none /dev/pts"
        script = f'{mount} && mount --bind /dev/pts/ptmx /dev/ptmx && exec "$@"'
        there = measure("--only=terminals", before=["unshare", "-m", "sh", "-c", script, "sh"])
        changed = set(flipped(here, there))
        assert changed <= {"terminals.fresh_mode", "terminals.fresh_group"}
        assert there["terminals.fresh_mode"].value == mode
        answers.add(there["terminals.fresh_group"].value)
    assert answers == {"tty", "the user's", "another"}


@pytest.mark.parametrize("refusal", ["EACCES", "EPERM", "ENOENT"])
def test_a_refused_dev_tty_says_nothing_of_the_terminal(
    refusal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libc, "try_call", lambda *_: refusal)
    for id in (
        "groups.double_fork_regains_terminal",
        "groups.session_leader_gains_terminal",
        "terminals.dev_tty_without_terminal",
        "terminals.openpty_gains_terminal",
    ):
        with pytest.raises(Blocked, match=f"/dev/tty cannot be opened here \\({refusal}\\)"):
            load_catalogue()[id]()
