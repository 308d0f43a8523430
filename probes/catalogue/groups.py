"""Process groups and sessions: which processes a signal reaches, and what a daemon leaves."""

from __future__ import annotations

import contextlib
import os
import signal
from signal import SIGCONT, SIGHUP, SIGSTOP, SIGUSR1
from typing import Any, Callable

from .. import lens, libc, refusals
from ..harness import children, privileges
from ..harness.children import Channel, Child
from ..probe import Blocked, Sample, probe

MEMBERS = 50


def _block_signal() -> None:
    """Keep SIGUSR1 pending from now on, in this process and its later children."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {SIGUSR1})


def _is_pending() -> bool:
    # A signal is pending from the moment kill() returns, so no process needs to wait for one
    # that may not come.
    return SIGUSR1 in signal.sigpending()


def _start_member(before: Callable[[], Any] = lambda: None) -> Child:
    """Start a child, in this group unless ``before`` leaves it; ask it by `_has_signal`."""
    _block_signal()

    def stay(sender: Channel) -> bool:
        before()
        sender.send("ready")
        sender.receive()
        return _is_pending()

    child = children.fork(stay)
    child.receive()
    return child


def _has_signal(member: Child) -> bool:
    member.send("did it come?")
    return bool(member.receive())


@probe(
    matters="A process that signals its group to stop its children stops itself with them.",
    advice="Ignore or block the signal in the sender before it signals its own group.",
    symptoms=[
        "kill(0, SIGTERM) kills my own process too",
        "shutdown handler signals itself in an endless loop",
    ],
    reference="POSIX XSH kill; kill(2)",
    documented={"posix": True},
)
def kill_0_reaches_self() -> bool:
    """Does kill(0, sig) signal the calling process itself?"""
    _block_signal()
    libc.call("kill", 0, SIGUSR1)
    return _is_pending()


@probe(
    matters="A worker that signals its group also hits the daemon that started it.",
    advice="Give each cluster of workers its own group with setpgid() before it signals.",
    symptoms=[
        "kill 0 in a script also ends the shell or make that started it",
    ],
    reference="POSIX XSH kill; kill(2)",
    documented={"posix": True},
)
def kill_0_reaches_parent() -> bool:
    """Does kill(0, sig) in a child signal its parent?"""
    _block_signal()
    children.run_in_child(lambda: libc.call("kill", 0, SIGUSR1))
    return _is_pending()


@probe(
    matters="A worker that wakes its group by one kill leaves some of its siblings asleep.",
    advice="Let the process that made the workers signal each of them by its id.",
    symptoms=[
        "worker's kill(0) ends all the other workers",
    ],
    reference="POSIX XSH kill; kill(2)",
    documented={"posix": True},
)
def kill_0_reaches_siblings() -> bool:
    """Does kill(0, sig) in a child signal its siblings?"""
    with _start_member() as one, _start_member() as another:
        children.run_in_child(lambda: libc.call("kill", 0, SIGUSR1))
        return all([_has_signal(one), _has_signal(another)])


@probe(
    matters="A member that is skipped never learns of the new message.",
    advice="If killpg() skips members, signal each of them by its process id.",
    symptoms=[
        "some children survive: signal did not reach the whole process group",
    ],
    reference="POSIX XSH killpg; killpg(3) Linux; killpg(2) BSD",
    documented={"posix": True},
)
def killpg_reaches_all() -> Sample:
    """Does killpg() signal all of 50 members?"""
    # A shell and its subshells, because they are the cheapest to fork.  Only the signal or the
    # end of their input ends them, and that end comes after the signal has been sent; a pending
    # signal acts before read() returns.  So a member that prints was not reached.
    # A shell that cannot fork prints an error, and exits while its members wait for the end, or
    # tries again for longer than there is time.
    script = f"""
        exec 3<&0 2>&1
        members=1
        while [ $members -lt {MEMBERS} ]; do
            {{ read end; echo missed; }} <&3 &
            members=$((members + 1))
        done
        echo true
        read end
        echo missed
    """
    os.stat(os.devnull)  # Without it the background processes of sh end at once.
    shell = children.start_shell(script)
    line = shell.receive()
    if line != "true":
        raise (
            Blocked(refusals.PROCESSES) if "fork" in line else RuntimeError(f"sh printed {line!r}")
        )
    _block_signal()
    libc.call("killpg", os.getpgrp(), SIGUSR1)
    shell.close_input()
    missed = 0
    with contextlib.suppress(children.ChildDied):
        while True:
            missed += shell.receive() == "missed"
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    return Sample(missed == 0, MEMBERS - missed)


@probe(
    matters="A process that left by setsid is still killed with the group it came from.",
    advice="Call setsid in whatever must outlive its group, and keep its id to signal it.",
    symptoms=[
        "grandchildren survive after Ctrl-C or kill of the process group: they called setsid",
        "orphans are left when a test or job is killed",
    ],
    reference="POSIX XSH setsid, killpg; setsid(2)",
    documented={"posix": False},
)
def killpg_reaches_setsid() -> bool:
    """Does killpg() signal a process that left the group by setsid()?"""
    with _start_member(lambda: libc.call("setsid")) as gone:
        libc.call("killpg", os.getpgrp(), SIGUSR1)
        return _has_signal(gone)


@probe(
    matters="A process that left by setpgid is still killed with the group it came from.",
    advice="Keep the id of each process that leaves the group, and signal it by that.",
    symptoms=[
        "background job survives the kill of the process group: shell job control, setpgid",
    ],
    reference="POSIX XSH setpgid, killpg; setpgid(2)",
    documented={"posix": False},
)
def killpg_reaches_setpgid() -> bool:
    """Does killpg() signal a process that left the group by setpgid()?"""
    with _start_member(lambda: libc.call("setpgid", 0, 0)) as gone:
        libc.call("killpg", os.getpgrp(), SIGUSR1)
        return _has_signal(gone)


@probe(
    matters="A supervisor takes the error for a group it may not signal, or for a live one.",
    advice="Reap before signalling a group; waitpid(), not killpg(), shows which members are gone.",
    symptoms=[
        "killpg fails with EPERM, Operation not permitted, on macOS when the child has just exited",
        "zombie, defunct: kill of a process group",
    ],
    reference="POSIX XSH killpg, XBD process group lifetime; killpg(2) BSD",
    # kern_sig.c: a zombie counts as found in the BSDs' killpg1, and is passed over in xnu's.
    documented={"freebsd": "ok", "netbsd": "ok", "openbsd": "ok", "macos": "EPERM"},
)
def killpg_only_zombies() -> str:
    """What does killpg() return for a group of zombies only?"""
    with children.fork(lambda _: libc.call("setpgid", 0, 0)) as child:
        child.receive()
        children.wait_until_ended(child.pid)
        return libc.try_call("killpg", child.pid, SIGUSR1)


def _killpg_as_second_uid(before: Callable[[], Any] = lambda: None) -> str:
    """Return the result of killpg() for this group by another user."""
    uid, group = privileges.require_second_uid(), os.getpgrp()

    def sender() -> str:
        before()
        privileges.become_user(uid)
        # If the kernel keeps a group in no order, either result may come, and one of them
        # rarely (gVisor walks a hash table from a random place).
        results = {libc.try_call("killpg", group, SIGUSR1)}
        for _ in range(1000):
            results.add(libc.try_call("killpg", group, SIGUSR1))
            if len(results) > 1:
                break
        return " or ".join(sorted(results))

    _block_signal()
    return str(children.run_in_child(sender))


@probe(
    matters="With EPERM although some were signalled, a sender repeats the signal or gives up.",
    advice="Run a group's members under one user id: success does not mean that all were reached.",
    symptoms=[
        "kill of a group with a setuid or sudo child: EPERM, Operation not permitted",
        "gVisor: killpg EPERM",
    ],
    reference="POSIX XSH kill; killpg(3) Linux VERSIONS; kill(2) BSD; kern_sig.c: killpg1",
    # The manuals of NetBSD, OpenBSD and macOS say EPERM; their killpg1 fails only if it found
    # no member at all to signal, as FreeBSD's since 12.2.
    documented={
        "posix": "ok",
        "linux": "ok",
        "freebsd": "ok",
        "netbsd": "ok",
        "openbsd": "ok",
        "macos": "ok",
    },
)
def killpg_some_permitted() -> str:
    """What does killpg() return if only some members may be signalled?"""
    return _killpg_as_second_uid()


@probe(
    matters="A sender that takes ESRCH for an empty group gives up members that live on.",
    advice="Check killpg()'s result, treat ESRCH like EPERM, and let members confirm the signal.",
    symptoms=[
        "killpg: EPERM, Operation not permitted, cannot stop a process run by sudo",
    ],
    reference="POSIX XSH kill; killpg(3) Linux; kill(2) BSD; kern_sig.c: killpg1",
    documented={
        "posix": "EPERM",
        "linux": "EPERM",
        "freebsd": "EPERM",
        "macos": "EPERM",
        # killpg1 of these does not count the members that it may not signal.
        "netbsd": "ESRCH",
        "openbsd": "ESRCH",
    },
)
def killpg_none_permitted() -> str:
    """What does killpg() return if no member may be signalled?"""
    return _killpg_as_second_uid(lambda: libc.call("setpgid", 0, 0))


@probe(
    matters="An unprivileged worker can signal the privileged process in its group.",
    advice="Keep privileged processes out of the groups of unprivileged ones.",
    symptoms=[
        "child run as another user (sudo, su) survives kill of the process group",
    ],
    reference="POSIX XSH kill; kill(2)",
    documented={"posix": True},
)
def killpg_spares_foreign() -> bool:
    """Does killpg() skip members of another user?"""
    with _start_member() as foreign:
        _killpg_as_second_uid()
        return not _has_signal(foreign)


@probe(
    matters="A shutdown that signals all processes kills itself on one system, and not on another.",
    advice="Never rely on kill(-1) reaching or sparing the caller: block the signal first.",
    symptoms=[
        "kill(-1) kills the caller too: init, container entry point, killall5",
    ],
    reference="POSIX XSH kill; kill(2) NOTES Linux; kill(2) BSD",
    documented={
        "posix": True,
        "linux": False,
        "freebsd": False,
        "netbsd": False,
        "openbsd": False,
        # kill() of the C library passes posix = 1: the kernel then counts the caller in.
        "macos": True,
    },
)
def kill_all_reaches_self() -> bool:
    """Does kill(-1, sig) signal the calling process itself?"""
    if not libc.LINUX:
        raise Blocked("kill(-1) is only safe in a PID namespace, and this system has none")
    try:
        privileges.unshare(libc.CLONE_NEWPID)
    except OSError as error:
        raise Blocked(f"a PID namespace needs root or user namespaces ({error.strerror})") from None

    def init() -> bool:
        # The first child is process 1 of the namespace.  If it is not, there is no namespace,
        # and kill(-1) would signal the whole system.
        if os.getpid() != 1:
            raise Blocked("unshare() made no PID namespace: run the lab where it does")
        return bool(children.run_in_child(asker))

    def asker() -> bool:
        _block_signal()
        result = libc.try_call("kill", -1, SIGUSR1)
        if result not in ("ok", "ESRCH"):  # ESRCH: there is no other process.
            raise Blocked(f"kill(-1) is refused here: {result}")
        return _is_pending()

    return bool(children.run_in_child(init))


@probe(
    matters="A check with signal 0 may take a dead worker that was not reaped for a live one.",
    advice="Reap with waitpid(WNOHANG) to learn of a death; signal 0 does not show it.",
    symptoms=[
        "pid file check says running though the process is a zombie, defunct",
        "kill -0 succeeds for a dead process",
    ],
    reference="POSIX XSH kill RATIONALE; kill(2)",
    documented={"posix": "ok"},
)
def signal_0_zombie() -> str:
    """What does kill() return for signal 0 to a zombie?"""
    with children.fork(lambda _: None) as child:
        children.wait_until_ended(child.pid)
        return libc.try_call("kill", child.pid, 0)


@probe(
    matters="A pid file of a daemon that is gone keeps the next one from starting.",
    advice="Take ESRCH from kill(pid, 0) as gone; hold a lock on the pid file to be sure.",
    symptoms=[
        "No such process, ESRCH: kill of a process that has ended",
        "stale pid file",
    ],
    reference="POSIX XSH kill; kill(2)",
    documented={"posix": "ESRCH"},
)
def signal_0_gone() -> str:
    """What does kill() return for signal 0 to a process that was reaped?"""
    child = children.fork(lambda _: None)
    child.wait()
    return libc.try_call("kill", child.pid, 0)


@probe(
    matters="A check with signal 0 takes another user's live process for a dead one.",
    advice="Take EPERM from kill(pid, 0) as alive: only ESRCH says gone.",
    symptoms=[
        "is a daemon of another user alive: kill -0 fails with EPERM, Operation not permitted",
    ],
    reference="POSIX XSH kill; kill(2)",
    documented={"posix": "EPERM"},
)
def signal_0_foreign() -> str:
    """What does kill() return for signal 0 to another user's process?"""
    uid, here = privileges.require_second_uid(), os.getpid()

    def other() -> str:
        privileges.become_user(uid)
        return libc.try_call("kill", here, 0)

    return str(children.run_in_child(other))


@probe(
    matters="A parent that moves its child to a group too late leaves it in the old one.",
    advice="Call setpgid in the child before exec as well as in the parent after fork.",
    symptoms=[
        "setpgid: EACCES, Permission denied, when the shell sets the group of a child that is"
        " running already",
        "race between parent and child in job control",
    ],
    reference="POSIX XSH setpgid; setpgid(2)",
    documented={"posix": "EACCES"},
)
def setpgid_after_exec() -> str:
    """What does setpgid() return for a child that has called exec?"""
    with children.start_shell("echo true; read end") as child:
        child.receive()  # sh prints: it has execed.
        return libc.try_call("setpgid", child.pid, child.pid)


@probe(
    matters="A daemon started as a group leader keeps its session and its terminal.",
    advice="Fork once before setsid: a child is never the leader of its group.",
    symptoms=[
        "setsid() fails: EPERM, Operation not permitted",
        "daemonize fails when started from a shell directly",
    ],
    reference="POSIX XSH setsid; setsid(2)",
    documented={"posix": "EPERM"},
)
def setsid_of_group_leader() -> str:
    """What does setsid() return in a group leader?"""

    def leader() -> str:
        libc.call("setpgid", 0, 0)
        return libc.try_call("setsid")

    return str(children.run_in_child(leader))


@probe(
    matters="A stopped worker stays stopped for ever once its parent is gone.",
    advice="Handle SIGHUP on purpose, and send SIGCONT to the workers before the parent ends.",
    symptoms=[
        "stopped background jobs are hung up and continued, or hang for ever, when the shell exits",
        "suspended child after the parent's death: SIGHUP, SIGCONT",
    ],
    reference="POSIX XSH _exit; setpgid(2) Linux NOTES",
    documented={"posix": "SIGHUP, SIGCONT"},
)
def orphan_stopped_gets() -> str:
    """Which signals does a stopped group get when it is orphaned?"""
    # The stopped process is alone in its group.  Its parent, in another group of the same
    # session, keeps that group from being orphaned until it ends: the process that adopts it
    # (this probe, or init) belongs to another session.
    ours, theirs = Channel.create_pair()

    def leader(asker: Channel) -> None:
        os.setsid()
        with children.fork(parent) as child:
            child.receive()
            child.wait()
        asker.send("the parent has ended")
        asker.receive()

    def parent(_: Channel) -> None:
        subject = children.fork(stop)
        os.waitpid(subject.pid, os.WUNTRACED)

    def stop(_: Channel) -> None:
        for signum in (SIGHUP, SIGCONT):
            signal.signal(signum, lambda *_: None)  # An ignored one might not stay pending.
        signal.pthread_sigmask(signal.SIG_BLOCK, {SIGHUP, SIGCONT})
        os.setpgid(0, 0)
        theirs.send(os.getpid())
        os.kill(os.getpid(), SIGSTOP)
        pending = signal.sigpending()
        theirs.send([s.name for s in (SIGHUP, SIGCONT) if s in pending])

    with children.fork(leader) as child:
        theirs.close()
        try:
            subject = ours.receive()
        except EOFError:
            child.receive()  # Raises what kept the subject from being made.
            raise
        child.receive()
        continued = not children.wait_for_state(subject, children.STOPPED, unless=ours.is_readable)
        if not continued:
            os.kill(subject, SIGCONT)
        got = [name for name in ours.receive() if continued or name != "SIGCONT"]
        child.send("over")
        return ", ".join(got) or "none"


def _fork_twice() -> None:
    """Become a daemon by fork, setsid, fork; only the last process returns."""
    if lens.fork_process():
        os._exit(0)
    libc.call("setsid")
    if lens.fork_process():
        os._exit(0)


def _is_session_leader() -> bool:
    return os.getsid(0) == os.getpid()


def _ask_daemon(become: Callable[[], Any], question: Callable[[], bool]) -> bool:
    """Return the answer of a child after ``become``; the daemon keeps the child's connection."""

    def subject() -> bool:
        become()
        return question()

    return bool(children.run_in_child(subject))


@probe(
    matters="A daemon that leads its session gets a terminal, and its signals, by opening one.",
    advice="Fork again after setsid(), and let the session leader exit.",
    symptoms=[
        "daemonize with two forks: background, detach",
    ],
    reference="POSIX XSH fork, setsid; daemon(7)",
    documented={"posix": False},
)
def double_fork_is_session_leader() -> bool:
    """Is a daemon that forked twice a session leader?"""
    return _ask_daemon(_fork_twice, _is_session_leader)


@probe(
    matters="kill(-pid) of the daemon's id finds no group, or another one.",
    advice="Call setpgid(0, 0) in the daemon if its workers are signalled by its id.",
    symptoms=[
        "daemonize: process group after two forks",
    ],
    reference="POSIX XSH fork, setsid; daemon(7)",
    documented={"posix": False},
)
def double_fork_is_group_leader() -> bool:
    """Is a daemon that forked twice a group leader?"""
    return _ask_daemon(_fork_twice, lambda: os.getpgrp() == os.getpid())


@probe(
    matters="A daemon made by daemon() may acquire a controlling terminal by opening one.",
    advice="Fork after daemon(), or open every terminal with O_NOCTTY.",
    symptoms=[
        "daemon() forks once only: may get a terminal again, is killed by its SIGHUP",
    ],
    reference="daemon(3)",
    documented={"linux-glibc": True},
)
def daemon3_is_session_leader() -> bool:
    """Is a process that called daemon() a session leader?"""
    return _ask_daemon(_call_daemon, _is_session_leader)


def _call_daemon() -> None:
    """Call daemon(3); raise Blocked if a limit refuses its fork."""
    try:
        libc.call("daemon", 1, 1)
    except BlockingIOError:
        raise Blocked(refusals.PROCESSES) from None


def _can_gain_terminal(become: Callable[[], Any]) -> bool:
    """Return whether opening a terminal after ``become`` makes it the controlling one."""
    name = privileges.find_terminal_name(privileges.open_terminal()).encode()

    def gains() -> bool:
        libc.call("open", name, os.O_RDWR)
        return privileges.open_dev_tty() == "ok"

    return _ask_daemon(become, gains)


@probe(
    matters="A daemon that opens a terminal gets SIGHUP when that terminal closes.",
    advice="Open every terminal with O_NOCTTY, however the daemon was made.",
    symptoms=[
        "daemon is killed by SIGHUP or Ctrl-C of a terminal it had opened",
        "O_NOCTTY, controlling terminal, daemonize",
    ],
    reference="POSIX XBD 11.1.3; setsid(2); tty(4)",
    documented={"posix": False},
)
def double_fork_regains_terminal() -> bool:
    """Can a daemon that forked twice get a controlling terminal by open()?"""
    return _can_gain_terminal(_fork_twice)


@probe(
    matters="A session leader that opens a terminal gets SIGHUP when that terminal closes.",
    advice="Open every terminal with O_NOCTTY, and ask for a controlling one by TIOCSCTTY.",
    symptoms=[
        "no job control in this shell, cannot set terminal process group: Inappropriate ioctl"
        " for device",
        "no controlling terminal in a container: TIOCSCTTY, /dev/tty ENXIO",
        "daemon gets a controlling terminal by opening a log on a tty",
    ],
    reference="POSIX XBD 11.1.3; credentials(7) Linux; tty(4) FreeBSD: TIOCSCTTY",
    documented={"linux": True, "freebsd": False},
)
def session_leader_gains_terminal() -> bool:
    """Does a session leader get a controlling terminal by open()?"""
    return _can_gain_terminal(lambda: libc.call("setsid"))
