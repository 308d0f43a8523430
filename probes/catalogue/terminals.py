"""Terminals: what each end of a pseudo-terminal reports, sessions, job control, line editing."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import grp
import os
import signal
import stat
import struct
import termios
from collections.abc import Iterator
from dataclasses import dataclass, field
from signal import SIGCONT, SIGHUP, SIGTTIN, SIGTTOU, SIGWINCH
from typing import Any, Callable

from .. import absent, libc
from ..fact import CONFIGURED
from ..harness import blocking, children, privileges
from ..harness.children import Channel, Child
from ..probe import Blocked, Documented, Sample, Unsupported, probe


@contextlib.contextmanager
def _open_pty() -> Iterator[tuple[int, int]]:
    """Yield the master's end and the terminal's, both non-blocking; close what is still open."""
    ends = privileges.open_pty()
    try:
        for end in ends:
            os.set_blocking(end, False)
        yield ends
    finally:
        for end in ends:
            with contextlib.suppress(OSError):
                os.close(end)


def _read(descriptor: int) -> str:
    try:
        count = libc.call("read", descriptor, ctypes.create_string_buffer(8), 8)
    except OSError as error:
        return libc.name_errno(error.errno)
    return f"{count} bytes"


def _write(descriptor: int) -> str:
    return libc.try_call("write", descriptor, b"x", 1)


def _poll(descriptor: int) -> str:
    events = blocking.poll(descriptor, "IN", "PRI", "OUT", milliseconds=0)
    return "|".join(events) or "nothing"


def _try_termios(call: Callable[..., Any], *arguments: Any) -> str:
    """Return ``ok`` or the name of the error of a function of the module termios."""
    try:
        call(*arguments)
    except termios.error as error:
        return libc.name_error(OSError(*error.args), call.__name__)
    return "ok"


def _get_attributes(descriptor: int) -> str:
    return _try_termios(termios.tcgetattr, descriptor)


@dataclass(frozen=True)
class _Call:
    """A call on one end of a pseudo-terminal."""

    name: str
    make: Callable[[int], str]
    documented: Documented = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


@probe(
    each={
        "master_read_after_close": _Call("read()", _read),
        "master_write_after_close": _Call("write()", _write),
        "master_poll_after_close": _Call("poll()", _poll),
    },
    matters="A program that runs another on a pty fails with EIO at its end, or waits for ever.",
    advice="Take EIO, 0 bytes and POLLHUP from a master as the end; watch the child's exit too.",
    symptoms=[
        "read of a pty: EIO, Input/output error, at the end of the child's output on Linux;"
        " EOF on macOS",
        "io.Copy, readall of /dev/ptmx fails with EIO after the child exits",
        "write to a pty whose child has exited: EIO, Input/output error",
    ],
    reference="pty_close() in drivers/tty/pty.c Linux; tty_pts.c FreeBSD; Python's pty.py: EIO",
    documented=lambda call: call.documented,
    light=True,
)
def master_after_close(call: _Call) -> str:
    """What does {row} of a pty master report after the terminal was closed?

    EAGAIN from read() means that one which may block waits for ever.
    """
    with _open_pty() as (master, terminal):
        os.close(terminal)
        return call.make(master)


@probe(
    each={
        "terminal_read_after_close": _Call("read()", _read, {"posix": "0 bytes"}),
        "terminal_write_after_close": _Call("write()", _write, {"posix": "EIO"}),
        "terminal_poll_after_close": _Call("poll()", _poll),
        "terminal_tcgetattr_after_close": _Call("tcgetattr()", _get_attributes),
    },
    matters="A program whose user has gone, and that ignores SIGHUP, spins or is killed.",
    advice="End when a terminal gives 0 bytes, EIO or POLLHUP, whatever the signals say.",
    symptoms=[
        "editor, pager runs on at 100 % CPU after the ssh connection was lost",
        "write error: EIO, Input/output error, on stdout after the terminal is gone",
        "tcgetattr: EIO, Input/output error, when the terminal was hung up",
    ],
    reference="POSIX XBD 11.1.10: Modem Disconnect; pty(7) Linux",
    documented=lambda call: call.documented,
    light=True,
)
def terminal_after_close(call: _Call) -> str:
    """What does {row} of a terminal report after the pty master was closed?"""
    with _open_pty() as (master, terminal):
        os.close(master)
        return call.make(terminal)


@probe(
    matters="The last output of a program that ends at once is lost.",
    advice="Keep the terminal open in the parent until the child's output has been read.",
    symptoms=[
        "pty output of a child that exits fast is lost, empty or truncated on macOS",
        "output of a short command is sometimes missing: script, expect, ptyprocess, node-pty",
    ],
    reference="pty(7) Linux; n_tty_read() in drivers/tty/n_tty.c Linux",
    light=True,
)
def unread_output_kept() -> bool:
    """Can a pty master read what was written before the terminal was closed?"""
    with _open_pty() as (master, terminal):
        os.write(terminal, b"last")
        os.close(terminal)
        return _read(master) == "4 bytes"


@probe(
    matters="A command that was sent just before the connection closed is not carried out.",
    advice="Wait for an answer before you close a pty master.",
    symptoms=[
        "last command sent to a pty is not executed when the connection closes at once",
    ],
    reference="POSIX XSH close(): unspecified; tty_hangup() in drivers/tty/tty_io.c Linux",
    light=True,
)
def unread_input_kept() -> bool:
    """Can a terminal read a line that was typed before the pty master was closed?"""
    with _open_pty() as (master, terminal):
        os.write(master, b"last\n")
        os.close(master)
        return _read(terminal) == "5 bytes"


@probe(
    matters="A loop that stops at the first EIO misses a program that opens the terminal later.",
    advice="Keep the terminal open in the parent as long as programs may come and go.",
    symptoms=[
        "pty master: EIO until a program opens the terminal again: getty, screen, socat,"
        " serial emulator",
    ],
    reference="pty(7) Linux",
    light=True,
)
def master_after_reopen() -> bool:
    """Can a pty master read again once a closed terminal is opened again?"""
    with _open_pty() as (master, terminal):
        name = privileges.find_terminal_name(terminal)
        os.close(terminal)
        _read(master)
        try:
            again = os.open(name, PLAIN)
        except OSError:
            return False
        try:
            os.write(again, b"more")
            return _read(master) == "4 bytes"
        finally:
            os.close(again)


PLAIN = os.O_RDWR | os.O_NOCTTY


def _open_master() -> int:
    """Return a new pty master, whose terminal is still locked and was never open."""
    try:
        return libc.call("posix_openpt", PLAIN)
    except OSError as error:
        raise Blocked(f"no pseudo-terminal ({error.strerror}): mount /dev/pts") from None


@dataclass(frozen=True)
class _Flag:
    name: str
    value: int
    has: Callable[[int], bool]
    documented: Documented

    def __str__(self) -> str:
        return self.name


def _is_close_on_exec(descriptor: int) -> bool:
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC)


@probe(
    each={
        "openpt_cloexec": _Flag("O_CLOEXEC", os.O_CLOEXEC, _is_close_on_exec, {}),
        "openpt_nonblock": _Flag(
            "O_NONBLOCK",
            os.O_NONBLOCK,
            lambda master: not os.get_blocking(master),
            {"freebsd": "EINVAL"},
        ),
    },
    matters="A program that passes {row} here cannot open a pty, or leaks the master to children.",
    advice="Open the master with O_RDWR | O_NOCTTY alone, and set {row} by fcntl().",
    symptoms=[
        "posix_openpt: EINVAL, Invalid argument, on FreeBSD, OpenBSD: O_CLOEXEC, O_NONBLOCK",
        "pty master descriptor leaks to child processes: terminal never sees a hangup",
    ],
    reference="POSIX XSH posix_openpt(); posix_openpt(3) Linux; posix_openpt(2) FreeBSD",
    documented=lambda flag: flag.documented,
    light=True,
)
def openpt_flag(flag: _Flag) -> str:
    """What does posix_openpt() do with {row}?"""
    os.close(_open_master())  # Raises if none can be opened at all.
    try:
        master = libc.call("posix_openpt", PLAIN | flag.value)
    except OSError as error:
        return libc.name_errno(error.errno)
    try:
        return "set" if flag.has(master) else "ignored"
    finally:
        os.close(master)


@probe(
    matters="A program that forgets unlockpt() works on one system, and fails on Linux with EIO.",
    advice="Call grantpt() and unlockpt() after every posix_openpt(), or use openpty().",
    symptoms=[
        "open of /dev/pts/N: EIO, Input/output error: unlockpt, grantpt were forgotten",
        "opening the slave of a pty fails on Linux, works on a BSD",
    ],
    reference="POSIX XSH unlockpt(); pts(4), unlockpt(3) Linux",
    light=True,
)
def open_before_unlock() -> str:
    """What does opening a terminal before unlockpt() return?"""
    master = _open_master()
    try:
        result = _try_open_terminal(master)
        if result != "ok":
            libc.call("grantpt", master)
            libc.call("unlockpt", master)
            refusal = _try_open_terminal(master)
            if refusal != "ok":
                raise Blocked(f"no terminal can be opened here ({refusal}): mount /dev/pts")
        return result
    finally:
        os.close(master)


def _try_open_terminal(master: int) -> str:
    """Open and close the terminal of a master by its name."""
    name = libc.call("ptsname", master)
    if not name:
        return "no name"
    try:
        os.close(os.open(ctypes.string_at(name), PLAIN))
    except OSError as error:
        return libc.name_error(error, "open")
    return "ok"


@probe(
    matters="A reader of a pty master that takes 0 bytes for the end closes a living session.",
    advice="Where an idle master gives 0 bytes, take the child's exit for the end.",
    symptoms=[
        "pty master reads 0 bytes though the child is alive: session ends at once, PTY_ZEROREAD",
    ],
    reference="POSIX XSH read(): O_NONBLOCK; OpenSSH: PTY_ZEROREAD",
    documented={"posix": "EAGAIN"},
    light=True,
)
def idle_master_read() -> str:
    """What does a non-blocking read() of a pty master return while the terminal is idle?"""
    with _open_pty() as (master, _):
        return _read(master)


@probe(
    matters="An interactive program that ends at the first 0 bytes cannot be kept at its prompt.",
    advice="Take 0 bytes from a terminal as the end of one input; POLLHUP or EIO ends it all.",
    symptoms=[
        "shell or REPL exits at the first Ctrl-D, or ignores it: IGNOREEOF",
    ],
    reference="POSIX XBD 11.1.9: EOF; termios(3) Linux: VEOF",
    light=True,
)
def read_after_eof() -> str:
    """What does read() of a terminal return for VEOF, and then for the next line?"""
    with _open_pty() as (master, terminal):
        eof = termios.tcgetattr(terminal)[6][termios.VEOF]
        os.write(master, eof + b"next\n")
        return f"{_read(terminal)}, then {_read(terminal)}"


def _change_modes(terminal: int, off: int = 0, on: int = 0) -> None:
    """Clear and set local modes, such as ICANON, at once."""
    modes = termios.tcgetattr(terminal)
    modes[3] = modes[3] & ~off | on
    termios.tcsetattr(terminal, termios.TCSANOW, modes)


@probe(
    matters="A loop that reads keys spins on 0 bytes, or takes them for the end.",
    advice="Use VMIN=1 together with O_NONBLOCK or poll(), never VMIN=0.",
    symptoms=[
        "raw mode, VMIN=0: read returns 0, key reader spins at 100 % CPU or takes it for EOF",
        "EAGAIN, Resource temporarily unavailable, or 0 bytes from a terminal without input",
    ],
    reference="POSIX XBD 11.1.7: Case D; termios(3) Linux: MIN == 0, TIME == 0",
    light=True,
)
def min_0_nonblock_read() -> str:
    """With VMIN=0 and VTIME=0, what does a non-blocking read() of an idle terminal return?"""
    with _open_pty() as (_, terminal):
        modes = termios.tcgetattr(terminal)
        modes[3] &= ~termios.ICANON
        modes[6][termios.VMIN] = modes[6][termios.VTIME] = 0
        termios.tcsetattr(terminal, termios.TCSANOW, modes)
        return _read(terminal)


@probe(
    matters="A long line that is pasted into a terminal is cut, or read() never returns.",
    advice="Turn ICANON off for input that may have long lines, such as keys and tokens.",
    symptoms=[
        "pasted line is truncated at 4096 or 1024 characters: canonical mode, MAX_CANON",
        "long key, token or JSON cannot be pasted into a terminal prompt",
    ],
    reference="termios(3) Linux: 4096; POSIX XBD 11.1.6, <limits.h>: MAX_CANON",
    documented={"linux": 4096},
    light=True,
)
def longest_line() -> Sample:
    """How many bytes may a line have, with its newline, to be read whole from a terminal?

    The raw sample is what fpathconf() promises for MAX_CANON.
    """

    def is_whole(length: int) -> bool:
        line = b"x" * (length - 1) + b"\n"
        with _open_pty() as (master, terminal):  # A new one, without what did not fit before.
            _change_modes(terminal, off=termios.ECHO)
            try:
                return os.write(master, line) == length and os.read(terminal, 2 * length) == line
            except BlockingIOError:
                return False

    longest, too_long = 1, 1 << 16
    if not is_whole(longest) or is_whole(too_long):
        raise Unsupported("a line of a terminal has no limit, or is not read at all")
    while longest + 1 < too_long:
        middle = (longest + too_long) // 2
        longest, too_long = (middle, too_long) if is_whole(middle) else (longest, middle)
    with _open_pty() as (_, terminal):
        return Sample(longest, os.fpathconf(terminal, "PC_MAX_CANON"))


@probe(
    matters="Turning off a control character by 0 lets NUL act as one on the BSDs.",
    advice="Ask fpathconf(_PC_VDISABLE), and write that value into c_cc.",
    symptoms=[
        "NUL byte, Ctrl-Space or Ctrl-@ acts as a control character: _POSIX_VDISABLE is 0 or 255",
    ],
    reference="POSIX XBD 11.1.9; POSIX XSH fpathconf: _PC_VDISABLE; termios(3) Linux",
    light=True,
)
def vdisable() -> int:
    """Which value in c_cc turns off a control character?"""
    with _open_pty() as (_, terminal):
        return os.fpathconf(terminal, "PC_VDISABLE")


@probe(
    matters="A program that drives another by a pty gets its own input back, and CR LF line ends.",
    advice="Set the modes that you need by tcsetattr() before you start the program.",
    symptoms=[
        "input is echoed back by the pty: output holds what was sent",
        "CRLF, ^M, \\r\\n line ends in output captured through a pty: ONLCR",
    ],
    reference="POSIX XBD 11.2: initial values are for the system to choose; termios(3) Linux",
    light=True,
)
def fresh_modes() -> str:
    """Which of the modes ICRNL, OPOST, ONLCR, ISIG, ICANON and ECHO does a fresh pty have?"""
    with _open_pty() as (_, terminal):
        input_modes, output, _, local = termios.tcgetattr(terminal)[:4]
        words = {
            "ICRNL": input_modes, "OPOST": output, "ONLCR": output,
            "ISIG": local, "ICANON": local, "ECHO": local,
        }  # fmt: skip
        found = [name for name, word in words.items() if word & getattr(termios, name)]
        return "|".join(found) or "none"


@probe(
    matters="Other users can write to a terminal, or its own user cannot use mesg and write.",
    advice="Set the mode of a terminal by fchmod() as you mean it; grantpt() may do nothing.",
    symptoms=[
        "mesg: ttyname failed, or /dev/pts/N has mode 0600 or 0620: write, wall: Permission denied",
        "devpts mounted with a wrong mode=: tty permissions",
    ],
    reference="POSIX XSH grantpt(); grantpt(3), mount options of devpts Linux",
    scope=CONFIGURED,
    light=True,
)
def fresh_mode() -> str:
    """Which permissions does a fresh terminal have?"""
    with _open_pty() as (_, terminal):
        return f"{stat.S_IMODE(os.fstat(terminal).st_mode):04o}"


@probe(
    matters="Programs that are set-group-id tty cannot write to the terminal.",
    advice="Do not rely on the group tty; set it by fchown() if you may.",
    symptoms=[
        "openpty, forkpty, chown of a pty: EPERM, Operation not permitted: gid=5 missing for"
        " devpts",
        "effective gid does not match group of /dev/pts",
    ],
    reference="POSIX XSH grantpt(); grantpt(3), mount options of devpts Linux",
    scope=CONFIGURED,
    light=True,
)
def fresh_group() -> str:
    """Does a fresh terminal belong to the group tty, to its user's, or to another?"""
    with _open_pty() as (_, terminal):
        group = os.fstat(terminal).st_gid
        with contextlib.suppress(KeyError):
            if group == grp.getgrnam("tty").gr_gid:
                return "tty"
        return "the user's" if group == os.getegid() else "another"


@probe(
    matters="A program that asks isatty() of a master takes itself for interactive, or does not.",
    advice="Ask isatty() only of the terminal's end; set its modes through that end too.",
    symptoms=[
        "isatty() of a pty master: program takes itself for interactive, or not (Solaris)",
    ],
    reference="POSIX XSH isatty(); pty(7) Linux",
    light=True,
)
def master_isatty() -> bool:
    """Does isatty() call a pty master a terminal?"""
    with _open_pty() as (master, _):
        return os.isatty(master)


@probe(
    matters="A server that asks for the modes of a user's terminal hangs with it.",
    advice="Where it hangs, do not call tcgetattr() on a terminal with ICANON.",
    symptoms=[
        "tcgetattr hangs on an idle pty: sshd, BROKEN_TCGETATTR_ICANON",
    ],
    reference="POSIX XSH tcgetattr(); OpenSSH: BROKEN_TCGETATTR_ICANON",
    light=True,
)
def tcgetattr_hangs() -> bool:
    """Does tcgetattr() of an idle terminal with ICANON hang?"""
    with _open_pty() as (_, terminal):
        _change_modes(terminal, on=termios.ICANON)

        def ask(parent: Channel) -> bool:
            parent.send("about to ask")
            return bool(termios.tcgetattr(terminal))

        with children.fork(ask) as child:
            child.receive()
            return children.wait_until_asleep(child)


def _set_packet_mode(master: int) -> None:
    on = struct.pack("i", 1)
    try:
        fcntl.ioctl(master, absent.get_constant(termios, "TIOCPKT"), on)
    except OSError as error:
        raise Unsupported(f"no packet mode: {libc.name_error(error, 'ioctl')}") from None


@probe(
    matters="A terminal server that counts on packets takes the user's first byte for a status.",
    advice="Check that TIOCPKT succeeded before you take a byte off each read.",
    symptoms=[
        "TIOCPKT: zero byte before each piece of output of a pty: telnetd, rlogind",
        "TIOCPKT on gVisor: ENOTTY, Inappropriate ioctl for device",
    ],
    reference="ioctl_tty(2) Linux: TIOCPKT; pty(4) OpenBSD, NetBSD",
    documented={"linux": True, "openbsd": True},
    light=True,
)
def packet_mode() -> bool:
    """In packet mode, does a zero byte precede output that a pty master reads?"""
    with _open_pty() as (master, terminal):
        _set_packet_mode(master)
        os.write(terminal, b"x")
        return os.read(master, 8) == b"\0x"


@probe(
    matters="A terminal server that waits for input alone learns late of ^S or of flushed output.",
    advice="Wait for POLLPRI, or select()'s exceptional set, on a master in packet mode.",
    symptoms=[
        "TIOCPKT: flush or Ctrl-S is noticed late: POLLPRI, exceptional set of select",
    ],
    reference="ioctl_tty(2) Linux: TIOCPKT; pty(4) OpenBSD: select for exceptional conditions",
    light=True,
)
def packet_status_poll() -> str:
    """In packet mode, what does poll() of a pty master report after output was flushed?"""
    with _open_pty() as (master, terminal):
        _set_packet_mode(master)
        termios.tcflush(terminal, termios.TCOFLUSH)
        return _poll(master)


def _become_leader(terminal: int) -> None:
    """Lead a new session whose controlling terminal is this one."""
    os.setsid()
    try:
        fcntl.ioctl(terminal, absent.get_constant(termios, "TIOCSCTTY"), 0)
    except OSError as error:
        why = libc.name_error(error, "ioctl")
        raise Unsupported(f"a session leader gets no terminal by TIOCSCTTY: {why}") from None


def _start_session(master: int, terminal: int, function: Callable[[Channel], Any]) -> Child:
    """Return a child that leads a session with this terminal, and runs ``function`` there."""

    def lead(parent: Channel) -> Any:
        os.close(master)
        _become_leader(terminal)
        return function(parent)

    return children.fork(lead)


def _take_terminal(terminal: int) -> str:
    try:
        fcntl.ioctl(terminal, absent.get_constant(termios, "TIOCSCTTY"), 0)
    except OSError as error:
        # Not a refusal by a sandbox: a session leader was allowed the same call just now.
        return libc.name_errno(error.errno)
    return "ok"


def _take_as_child(terminal: int) -> str:
    return str(children.run_in_child(lambda: _take_terminal(terminal)))


def _take_from_other(terminal: int) -> str:
    def other() -> str:
        os.setsid()
        return _take_terminal(terminal)

    return str(children.run_in_child(other))


@probe(
    each={
        "tiocsctty_by_child": _Call(
            "a process that is not a session leader", _take_as_child, {"linux": "EPERM"}
        ),
        "tiocsctty_of_other": _Call(
            "another session's leader", _take_from_other, {"linux": "EPERM"}
        ),
    },
    matters="A program started without its own session has no job control: ^C does not reach it.",
    advice="Call setsid() and then TIOCSCTTY in the child, and check both results.",
    symptoms=[
        "TIOCSCTTY: EPERM, Operation not permitted, when a child is started on a pty",
        "Setctty set but Ctty not valid in child",
        "Ctrl-C does not reach the program in a pty: it has no controlling terminal",
    ],
    reference="ioctl_tty(2) Linux: TIOCSCTTY; tty(4) FreeBSD",
    documented=lambda taker: taker.documented,
    light=True,
)
def tiocsctty(taker: _Call) -> str:
    """What does TIOCSCTTY of a session's terminal return in {row}?"""
    with _open_pty() as (master, terminal):
        leader = _start_session(master, terminal, lambda _: taker.make(terminal))
        with leader:
            return str(leader.receive())


@probe(
    matters="A server that opens a pty for a user gets that terminal, and its SIGHUP, itself.",
    advice="Open ptys in a process that leads no session, or has a controlling terminal already.",
    symptoms=[
        "daemon gets a terminal by openpty(): SIGHUP kills sshd, a container manager: acquires"
        " ctty",
    ],
    reference="openpty(3); OpenSSH: SSHD_ACQUIRES_CTTY",
    light=True,
)
def openpty_gains_terminal() -> bool:
    """Does openpty() give a session leader without a terminal that one to control?"""

    def leader() -> bool:
        os.setsid()
        privileges.open_pty()
        return privileges.open_dev_tty() == "ok"

    return bool(children.run_in_child(leader))


@probe(
    matters="A program that asks for a password at /dev/tty reports a missing device.",
    advice="Take ENXIO from /dev/tty as 'no terminal', and read the password from standard input.",
    symptoms=[
        "open /dev/tty: ENXIO, No such device or address, in docker, cron, CI, without a tty",
        "could not open a new TTY: password prompt fails without a terminal",
    ],
    reference="POSIX XBD 10.1: /dev/tty; tty(4) Linux",
    light=True,
)
def dev_tty_without_terminal() -> str:
    """What does opening /dev/tty return in a process without a controlling terminal?"""

    def leader() -> str:
        os.setsid()
        return privileges.open_dev_tty()

    return str(children.run_in_child(leader))


MEMBERS = ("background", "foreground", "leader")
"""The leader is asked last: it ends then, and its end is a signal to the foreground."""
REPORTED = (SIGHUP, SIGWINCH)


def _keep_pending() -> None:
    """Keep the signals that are asked about pending, in this process and its children."""
    for signum in (*REPORTED, SIGCONT):
        signal.signal(signum, lambda *_: None)  # An ignored one might not stay pending.
    signal.pthread_sigmask(signal.SIG_BLOCK, {*REPORTED, SIGCONT})


def _find_reached(signum: int, happen: Callable[[int, Child], Any]) -> str:
    """Return which members of a session get a signal by what happens.

    ``happen`` gets the pty master and the session's leader.  A signal is pending as soon as the
    call that causes it has returned.
    """
    ends = {name: Channel.create_pair() for name in MEMBERS}

    def report(name: str) -> None:
        # A member ends when it has reported, or when the probe has ended.
        theirs = ends[name][1]
        for end in {end for pair in ends.values() for end in pair} - {theirs}:
            end.close()
        theirs.send("ready")
        theirs.receive()
        theirs.send(signum in signal.sigpending())

    def follow(leader: Channel, name: str) -> None:
        os.setpgid(0, 0)
        leader.send("in a group of its own")
        report(name)

    def lead(_: Channel) -> None:
        _keep_pending()
        for name in MEMBERS[:-1]:
            member = children.fork(functools.partial(follow, name=name))
            member.receive()
            if name == "foreground":
                os.tcsetpgrp(terminal, member.pid)
        report("leader")

    with _open_pty() as (master, terminal), _start_session(master, terminal, lead) as leader:
        os.close(terminal)
        for _, theirs in ends.values():
            theirs.close()
        for ours, _ in ends.values():
            try:
                ours.receive()
            except EOFError:
                leader.receive()  # Raises what kept the session from being made.
                raise
        happen(master, leader)
        reached: list[str] = []
        for name, (ours, _) in ends.items():
            with contextlib.suppress(BrokenPipeError, EOFError):  # The leader may have ended.
                ours.send("report")
                if ours.receive():
                    reached.insert(0, name)
        return ", ".join(reached) or "none"


@probe(
    matters="A program that outlives its window, or dies with it, does so on one system only.",
    advice="Handle or ignore SIGHUP in every process that must outlive the terminal.",
    symptoms=[
        "background job survives, or dies, when the terminal window is closed: nohup, disown",
        "SIGHUP when ssh disconnects: which processes are killed",
    ],
    reference="POSIX XSH close(): master; tty_signal_session_leader() in drivers/tty Linux",
    documented={"posix": "leader"},
)
def hangup_reaches() -> str:
    """Which of leader, foreground and background get SIGHUP when the pty master closes?"""
    return _find_reached(SIGHUP, lambda master, _: os.close(master))


@probe(
    matters="A job that was started in the foreground dies when the shell ends.",
    advice="Start what must go on in a session of its own (setsid), or ignore SIGHUP.",
    symptoms=[
        "program dies of SIGHUP when the shell that started it exits",
        "foreground child of a container's init or session leader is hung up at exit",
    ],
    reference="POSIX XSH _exit(): Consequences of Process Termination",
    documented={"posix": "foreground"},
)
def leader_exit_reaches() -> str:
    """Which of foreground and background get SIGHUP when the session leader exits?"""

    def end(_: int, leader: Child) -> None:
        leader.kill()
        leader.wait()

    return _find_reached(SIGHUP, end)


def _resize(descriptor: int, rows: int) -> None:
    size = struct.pack("4H", rows, 80, 0, 0)  # struct winsize, the same in every sys/ttycom.h
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, size)


@probe(
    matters="A program in the background, or a shell, does not learn that the window has changed.",
    advice="Ask for the size again (TIOCGWINSZ) when you come to the foreground.",
    symptoms=[
        "SIGWINCH does not arrive in the shell or a background job after the window is resized",
        "wrong window size, COLUMNS, LINES, after resize of a pty: TIOCSWINSZ",
    ],
    reference="ioctl_tty(2) Linux: TIOCSWINSZ",
    documented={"linux": "foreground"},
)
def resize_reaches() -> str:
    """Which of leader, foreground and background get SIGWINCH when the size changes?"""
    return _find_reached(SIGWINCH, lambda master, _: _resize(master, 33))


@probe(
    matters="A program that is sent SIGWINCH to draw again does nothing if the size is the same.",
    advice="Send SIGWINCH itself by kill() to make a program draw again.",
    symptoms=[
        "no redraw: SIGWINCH is not sent when TIOCSWINSZ sets the same size",
    ],
    reference="pty_resize() in drivers/tty/pty.c Linux",
)
def same_size_reaches() -> str:
    """Which of leader, foreground and background get SIGWINCH when the same size is set?"""

    def set_again(master: int, _: Child) -> None:
        size = fcntl.ioctl(master, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(master, termios.TIOCSWINSZ, size)

    return _find_reached(SIGWINCH, set_again)


def _write_with_tostop(terminal: int) -> str:
    signal.signal(SIGTTOU, signal.SIG_IGN)  # Then a background process may set modes.
    _change_modes(terminal, on=termios.TOSTOP)
    signal.signal(SIGTTOU, signal.SIG_DFL)
    return _write(terminal)


def _set_attributes(terminal: int) -> str:
    return _try_termios(termios.tcsetattr, terminal, termios.TCSANOW, termios.tcgetattr(terminal))


def _take_foreground(terminal: int) -> str:
    try:
        os.tcsetpgrp(terminal, os.getpgrp())
    except OSError as error:
        return libc.name_error(error, "tcsetpgrp")
    return "ok"


def _read_ignoring(terminal: int) -> str:
    signal.signal(SIGTTIN, signal.SIG_IGN)
    return _read(terminal)


@probe(
    each={
        "background_read": _Call("read() from its terminal", _read, {"posix": "SIGTTIN"}),
        "background_read_ignoring": _Call(
            "read() from its terminal with SIGTTIN ignored", _read_ignoring, {"posix": "EIO"}
        ),
        "background_write": _Call("write() to its terminal", _write, {"posix": "ok"}),
        "background_write_tostop": _Call(
            "write() to its terminal with TOSTOP", _write_with_tostop, {"posix": "SIGTTOU"}
        ),
        "background_tcsetattr": _Call("tcsetattr()", _set_attributes, {"posix": "SIGTTOU"}),
        "background_tcsetpgrp": _Call("tcsetpgrp()", _take_foreground, {"posix": "SIGTTOU"}),
    },
    matters="A job in the background stops without a word, and its user waits for it.",
    advice="Ignore SIGTTOU around tcsetattr() and tcsetpgrp(); read no terminal in a daemon.",
    symptoms=[
        "suspended (tty output), stopped (tty input): background job hangs in state T:"
        " SIGTTOU, SIGTTIN",
        "stty, tcsetattr, tcsetpgrp in the background stops the process",
        "read of the terminal in the background: EIO, Input/output error",
    ],
    reference="POSIX XBD 11.1.4; POSIX XSH tcsetattr, tcsetpgrp",
    documented=lambda call: call.documented,
    light=True,
)
def in_background(call: _Call) -> str:
    """What does a background process get from {row}?

    An error, ok, or the signal that stops it.
    """
    with _open_pty() as (master, terminal):

        def background(_: Channel) -> str:
            os.setpgid(0, 0)
            return call.make(terminal)

        def lead(_: Channel) -> str:
            with children.fork(background) as child:
                status = os.waitpid(child.pid, os.WUNTRACED)[1]
                if os.WIFSTOPPED(status):
                    return children.name_signal(os.WSTOPSIG(status))
                child.status = status
                return str(child.receive())

        with _start_session(master, terminal, lead) as leader:
            return str(leader.receive())
