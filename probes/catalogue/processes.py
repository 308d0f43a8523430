"""Processes: what survives a parent's death, exec and setuid, and a peer's credentials."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
from ctypes import c_int, c_uint32, c_ulong
from signal import SIGUSR1
from typing import Any, Callable

from .. import absent, libc
from ..fact import CONFIGURED
from ..harness import children, privileges
from ..harness.children import Channel
from ..probe import Blocked, Unsupported, probe


def _do_nothing(_: Any = None) -> None:
    pass


def _ask_orphan(
    question: Callable[[Any], Any],
    *,
    parent: Callable[[], Any] = _do_nothing,
    child: Callable[[Any], Any] = _do_nothing,
) -> Any:
    """Return the answer of a process whose parent, a child of this one, has been reaped.

    The parent runs ``parent``.  With its result the process runs ``child`` while the parent
    lives, and ``question`` afterwards.  Death signals are sent and descriptors closed before a
    process can be reaped, so nothing has to be waited for.
    """
    ours, theirs = Channel.create_pair()

    def middle(_: Channel) -> None:
        given = parent()

        def subject(to_parent: Channel) -> None:
            child(given)
            to_parent.send("ready")
            theirs.receive()
            theirs.send(question(given))

        children.fork(subject).receive()

    with children.fork(middle) as process:
        theirs.close()
        process.receive()
        process.wait()
        ours.send("your parent has ended")
        return ours.receive()


Request = Callable[[], Any]
"""A call that asks the kernel for something, and that other systems or old kernels refuse."""

_DEATH_SIGNAL: dict[str, Request] = {
    "prctl": lambda: libc.call("prctl", libc.PR_SET_PDEATHSIG, c_ulong(SIGUSR1)),
    "procctl": lambda: libc.call(
        "procctl", libc.P_PID_FREEBSD, 0, libc.PROC_PDEATHSIG_CTL, ctypes.byref(c_int(SIGUSR1))
    ),
}
"""Ask for SIGUSR1 when the parent ends."""


def _find_working(
    requests: dict[str, Request], works: Callable[[Request], bool], lacking: str
) -> str:
    """Return the name of the request that works; empty if one is accepted and does not work.

    Raises Unsupported, with ``lacking`` as what the system lacks, if no request is accepted.
    """
    refusals, accepted = [], False
    for name, request in requests.items():
        try:
            if works(request):
                return name
            accepted = True
        except Unsupported as refusal:
            refusals.append(str(refusal))
    if not accepted:
        raise Unsupported(f"{lacking}: {'; '.join(refusals)}")
    return ""


def _ask(request: Request) -> None:
    try:
        request()
    except OSError as error:
        why = libc.name_errno(error.errno)
        raise Unsupported(f"{error.filename}() fails with {why}") from None


def _ask_for_death_signal(request: Request) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {SIGUSR1})
    _ask(request)


def _ask_for_any_death_signal(_: Any = None) -> None:
    """Ask for the death signal with the first request that is accepted."""

    def accept(request: Request) -> bool:
        _ask_for_death_signal(request)
        return True

    _find_working(_DEATH_SIGNAL, accept, _NO_DEATH_SIGNAL)


_NO_DEATH_SIGNAL = "no signal for the death of a parent"


def _is_signal_pending(_: Any) -> bool:
    return SIGUSR1 in signal.sigpending()


@probe(
    matters="Workers of a daemon that was killed live on and hold its port.",
    advice="Let each worker also watch a pipe that its parent holds: that works everywhere.",
    symptoms=[
        "children keep running when the parent is killed by SIGKILL: orphan",
        "PR_SET_PDEATHSIG, procctl PROC_PDEATHSIG_CTL on FreeBSD, missing on macOS",
    ],
    reference="prctl(2) Linux PR_SET_PDEATHSIG; procctl(2) FreeBSD PROC_PDEATHSIG_CTL",
    documented={"linux": "prctl", "freebsd": "procctl"},
)
def parent_death_signal() -> str:
    """Which call requests a signal when the parent dies?"""

    def comes(request: Request) -> bool:
        return bool(_ask_orphan(_is_signal_pending, child=lambda _: _ask_for_death_signal(request)))

    return _find_working(_DEATH_SIGNAL, comes, _NO_DEATH_SIGNAL) or "never sent"


@probe(
    matters="A worker forked by a worker expects the signal, never gets it, and lives on.",
    advice="Ask for the signal in every process, after the fork that made it.",
    symptoms=[
        "grandchildren outlive the supervisor: PR_SET_PDEATHSIG is cleared in the child of a fork",
    ],
    reference="prctl(2) Linux PR_SET_PDEATHSIG; procctl(2) FreeBSD PROC_PDEATHSIG_CTL",
    documented={"linux": False, "freebsd": False},
)
def parent_death_signal_survives_fork() -> bool:
    """Does a child inherit the request for a parent death signal?"""
    return bool(_ask_orphan(_is_signal_pending, parent=_ask_for_any_death_signal))


@probe(
    matters="A worker that asks for the signal and then drops root never gets it.",
    advice="Ask for the signal after the user id is changed, not before.",
    symptoms=[
        "PR_SET_PDEATHSIG has no effect after dropping privileges, su, setuid",
    ],
    reference="prctl(2) Linux PR_SET_PDEATHSIG",
    documented={"linux": False},
)
def parent_death_signal_survives_setuid() -> bool:
    """Does the request for a parent death signal survive setuid()?"""
    uid = privileges.require_second_uid()

    def child(_: Any) -> None:
        _ask_for_any_death_signal()
        privileges.become_user(uid)

    return bool(_ask_orphan(_is_signal_pending, child=child))


@probe(
    matters="A worker that waits for the end of its parent's pipe waits for ever.",
    advice="Keep the writing end only in the parent: close it in each child at once.",
    symptoms=[
        "how does a worker notice that its parent died, on any Unix: end of file on a pipe",
        "orphan workers after the master crashed",
    ],
    reference="POSIX XSH read, _exit; pipe(7) Linux",
    documented={"posix": True},
)
def parent_death_pipe() -> bool:
    """Does a pipe held by the parent report the parent's death?"""

    def child(pipe: tuple[int, int]) -> None:
        os.close(pipe[1])
        os.set_blocking(pipe[0], False)

    def has_ended(pipe: tuple[int, int]) -> bool:
        try:
            return not os.read(pipe[0], 1)
        except BlockingIOError:
            return False

    return bool(_ask_orphan(has_ended, parent=os.pipe, child=child))


@probe(
    matters="A supervisor never learns of the end of workers whose parent ended first.",
    advice="Keep every worker a direct child if there is no reaper, and kill it by its id.",
    symptoms=[
        "zombies, defunct processes pile up in a container: PID 1 does not reap",
        "orphan is adopted by init, not by my supervisor: PR_SET_CHILD_SUBREAPER, procctl "
        "PROC_REAP_ACQUIRE",
    ],
    reference="prctl(2) Linux PR_SET_CHILD_SUBREAPER; procctl(2) FreeBSD PROC_REAP_ACQUIRE",
    documented={"linux": "prctl", "freebsd": "procctl"},
)
def reaper() -> str:
    """Which call makes a process adopt its orphaned descendants?"""

    def takes_over(request: Request) -> bool:
        def reaper() -> bool:
            _ask(request)
            here = os.getpid()
            return bool(_ask_orphan(lambda _: os.getppid() == here))

        # In a new process: this one may already be a reaper by another request.
        return bool(children.run_in_child(reaper))

    return _find_working(_REAPER, takes_over, "no reaper but init") or "never taken over"


_REAPER: dict[str, Request] = {
    "prctl": lambda: libc.call("prctl", libc.PR_SET_CHILD_SUBREAPER, c_ulong(1)),
    "procctl": lambda: libc.call(
        "procctl", libc.P_PID_FREEBSD, os.getpid(), libc.PROC_REAP_ACQUIRE, None
    ),
}
"""Ask to adopt the orphans among one's descendants."""


@probe(
    matters="Files that a started program creates are open to all, or closed to its group.",
    advice="Set the umask at the daemon's start; do not rely on the one inherited.",
    symptoms=[
        "files are created with mode 0600 or 0666, wrong permissions, by a started program: "
        "umask is inherited",
    ],
    reference="POSIX XSH exec, umask; umask(2)",
    documented={"posix": True},
)
def umask_survives_exec() -> bool:
    """Does the umask survive exec?"""
    os.umask(0o027)
    with children.start_shell("umask") as child:
        return int(child.receive(), 8) == 0o027


def _duplicate_from(lowest: int) -> int:
    """Return a duplicate of standard input, with the number ``lowest`` or above."""
    try:
        return fcntl.fcntl(0, fcntl.F_DUPFD, lowest)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise Blocked("fewer than 64 open files are allowed: raise ulimit -n") from None


def _list_open_after(close: Callable[[int, int], Any]) -> list[bool]:
    """Return which of five descriptors in a row are open after ``close(second, fourth)``."""

    def child() -> list[bool]:
        # Above the descriptors of the connection to the parent.
        row = [_duplicate_from(40 + n) for n in range(5)]
        close(row[1], row[3])
        return [libc.try_call("fcntl", descriptor, fcntl.F_GETFD) == "ok" for descriptor in row]

    return list(children.run_in_child(child))


@probe(
    matters="A loop to the limit of descriptors costs seconds; without one, they leak.",
    advice="Open everything close-on-exec, and call closefrom() if the system has it.",
    symptoms=[
        "starting a child is slow with a high ulimit -n: loop closing a million descriptors",
        "strace shows close() of every number, EBADF, Bad file descriptor, 100 % CPU",
        "closefrom is missing or fails in a chroot",
    ],
    reference="closefrom(3) Linux, closefrom(2) BSD",
    documented={"linux-glibc": True, "freebsd": True, "netbsd": True, "openbsd": True},
)
def closefrom() -> bool:
    """Does closefrom() close the given descriptor and all above it?"""
    close = libc.get_function("closefrom")
    return _list_open_after(lambda first, _: close(first)) == [True, False, False, False, False]


@probe(
    matters="A program compiled for close_range fails on an older kernel.",
    advice="Fall back on closefrom, or on a loop, if close_range() returns ENOSYS or EPERM.",
    symptoms=[
        "starting a process takes seconds in Docker: nofile is 1073741816, closing "
        "descriptors one by one",
        "close_range: ENOSYS, EPERM under seccomp",
    ],
    reference="close_range(2)",
    documented={"linux-glibc": True, "freebsd": True},
)
def close_range() -> bool:
    """Does close_range() close exactly the given range?"""
    closed = _list_open_after(lambda first, last: libc.call("close_range", first, last, 0))
    return closed == [True, False, False, False, True]


UNKNOWN_CALL = 99999
"""No system has a call of this number, nor has a processor (32-bit Arm has its own at 0xf0000)."""


@probe(
    matters="A fallback that waits for ENOSYS is never taken if the sandbox returns EPERM, and a "
    "program that does not expect SIGSYS is killed.",
    advice="Take ENOSYS or EPERM of a newer system call for its absence, and fall back.",
    symptoms=[
        "Operation not permitted, EPERM, where Function not implemented is expected: old "
        "Docker, libseccomp, new glibc",
        "clone3, faccessat2, statx fail in a container; apt or a shell broken in docker",
    ],
    reference="syscall(2), seccomp(2) Linux; SIGSYS in POSIX XBD <signal.h>; sigaction(2) FreeBSD",
    documented={"linux": "ENOSYS", "freebsd": "SIGSYS"},
    scope=CONFIGURED,
)
def unknown_system_call() -> str:
    """What does an unknown system call return?"""
    call = libc.get_function("syscall")

    def subject(_: Channel) -> int:
        signal.signal(signal.SIGSYS, signal.SIG_DFL)
        ctypes.set_errno(0)
        return ctypes.get_errno() if call(UNKNOWN_CALL) == -1 else 0

    with children.fork(subject) as child:
        try:
            number = child.receive()
        except children.ChildDied:
            status = child.wait()
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSYS:
                return "SIGSYS"
            raise
    return libc.name_errno(number) if number else "ok"


@probe(
    matters="A set-user-ID program that a broken worker starts gives it root again.",
    advice="Set it before the first client is served, if the platform has it.",
    symptoms=[
        "sudo: effective uid is not 0, no new privileges flag is set",
        "setuid program does not gain root in a container, systemd NoNewPrivileges",
    ],
    reference="prctl(2) Linux PR_SET_NO_NEW_PRIVS; procctl(2) FreeBSD PROC_NO_NEW_PRIVS_CTL",
    documented={"linux": True},
)
def no_new_privs() -> bool:
    """Can a process give up gaining privileges by exec?"""
    zero = c_ulong(0)
    try:
        if libc.LINUX:
            libc.call("prctl", libc.PR_SET_NO_NEW_PRIVS, c_ulong(1), zero, zero, zero)
            return libc.call("prctl", libc.PR_GET_NO_NEW_PRIVS, zero, zero, zero, zero) == 1
        if libc.FREEBSD:
            value = c_int(libc.PROC_NO_NEW_PRIVS_ENABLE)
            for command in (libc.PROC_NO_NEW_PRIVS_CTL, libc.PROC_NO_NEW_PRIVS_STATUS):
                libc.call("procctl", libc.P_PID_FREEBSD, os.getpid(), command, ctypes.byref(value))
            return value.value == libc.PROC_NO_NEW_PRIVS_ENABLE
    except OSError as error:
        raise Unsupported(f"the kernel has no such control ({error.strerror})") from None
    raise Unsupported("this system has no such control")


@probe(
    matters="A daemon that dropped root can be made to take it back.",
    advice="Drop by setresuid(), or by setuid() without it; try to return, and stop if that works.",
    symptoms=[
        "process can become root again after dropping privileges: seteuid, saved uid",
    ],
    reference="setresuid(2)",
    documented={"linux": True, "freebsd": True, "openbsd": True},
)
def setresuid_drops_for_good() -> bool:
    """Does setresuid() give up root for good?"""
    uid = privileges.require_second_uid()

    def drop() -> bool:
        try:
            libc.call("setresuid", uid, uid, uid)
        except OSError as error:
            raise Blocked(f"root may not become user {uid} here ({error.strerror})") from None
        back = [libc.try_call("setresuid", 0, 0, 0), libc.try_call("setuid", 0)]
        return "ok" not in back

    return bool(children.run_in_child(drop))


@probe(
    matters="A daemon that admits its own user by credentials admits no user, or every user.",
    advice="Use getpeereid if the library has it, otherwise the system's socket option.",
    symptoms=[
        "who is at the other end of a Unix socket: SO_PEERCRED is undeclared on BSD and "
        "macOS, getpeereid",
        "user of the client, LOCAL_PEERCRED, getpeerucred",
    ],
    reference="unix(7) Linux SO_PEERCRED; getpeereid(3) BSD; getsockopt(2) OpenBSD",
    documented={
        "linux": "SO_PEERCRED",
        "freebsd": "getpeereid",
        "netbsd": "getpeereid",
        "openbsd": "getpeereid",
        "macos": "getpeereid",
    },
)
def peer_credentials() -> str:
    """Which call tells the user id of a Unix socket's peer?"""
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
        listening.bind("socket")
        listening.listen(1)
        client.connect("socket")
        server, _ = listening.accept()
        with server:
            return _ask_for_peer(server)


def _ask_for_peer(end: socket.socket) -> str:
    if libc.has("getpeereid"):
        uid, gid = c_uint32(0xFFFFFFFE), c_uint32(0xFFFFFFFE)
        libc.call("getpeereid", end.fileno(), ctypes.byref(uid), ctypes.byref(gid))
        return "getpeereid" if uid.value == os.geteuid() else "wrong"
    if not libc.LINUX:
        raise Unsupported("this system has neither getpeereid() nor a socket option the lab knows")
    # struct ucred of unix(7): pid_t, uid_t, gid_t.
    option = absent.get_constant(socket, "SO_PEERCRED")
    ucred = struct.unpack("iII", end.getsockopt(socket.SOL_SOCKET, option, 12))
    return "SO_PEERCRED" if ucred == (os.getpid(), os.geteuid(), os.getegid()) else "wrong"


@probe(
    matters="Any user of the machine can speak to a socket that was meant for one.",
    advice="Put the socket in a folder that only its user may enter.",
    symptoms=[
        "anyone can connect to a Unix socket in spite of its mode",
        "Permission denied connecting to docker.sock or a Unix socket: EACCES",
    ],
    reference="unix(7) Linux; unix(4) BSD",
    documented={"linux": "EACCES"},
)
def unix_socket_mode_enforced() -> str:
    """What does connect() to another user's Unix socket of mode 0600 return?"""
    uid = privileges.require_second_uid()
    # By a relative name, so that no folder above the scratch folder matters.
    os.chmod(".", 0o711)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        listening.listen(2)

        def as_second_uid() -> str:
            privileges.become_user(uid)
            with socket.socket(socket.AF_UNIX) as client:
                try:
                    client.connect("socket")
                except OSError as error:
                    return libc.name_error(error, "connect")
            return "ok"

        os.chmod("socket", 0o666)
        if children.run_in_child(as_second_uid) != "ok":
            raise Blocked(
                "another user may not even connect to a 0666 socket: set TMPDIR to another"
            )
        os.chmod("socket", 0o600)
        return str(children.run_in_child(as_second_uid))
