"""Signals: what installers install, what is queued and kept, SIGCHLD, SIGPIPE, exec."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from signal import SIGCHLD, SIGCONT, SIGPIPE, SIGSTOP, SIGUSR1
from typing import Any, Callable, Optional

from .. import lens, libc
from ..harness import blocking, children
from ..harness.blocking import Deliveries
from ..harness.children import Channel, Child
from ..probe import Blocked, Documented, Unsupported, probe


@dataclass(frozen=True)
class _Installer:
    """A function that installs a handler, and what is documented of that handler."""

    name: str
    install: Callable[[int, Any], object]
    documented: Mapping[str, Documented] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def _make_installer(function: str) -> Callable[[int, Any], object]:
    """Return what calls a function of the C library with a signal and an address."""
    return lambda signum, address: libc.call(function, signum, address)


def _python_signal(signum: int, handler: Any) -> None:
    # Not the address: the handler in C at that address is the one that Python installs itself.
    signal.signal(signum, handler if callable(handler) else lambda *_: None)


# signal(2) Linux: that of glibc has BSD semantics; bsd_signal(3), sysv_signal(3) Linux;
# signal(3) FreeBSD names SA_RESTART.
_BSD_SEMANTICS = {
    "restarts": {"linux-glibc": True, "freebsd": True},
    "stays": {"linux-glibc": True, "freebsd": True},
    "blocks_itself": {"linux-glibc": True, "freebsd": True},
}
_LIBC_SIGNAL = _Installer(
    "signal()",
    _make_installer("signal"),
    {"flags": {"linux-glibc": "SA_RESTART", "freebsd": "SA_RESTART"}, **_BSD_SEMANTICS},
)
_SYSV_SIGNAL = _Installer(
    "sysv_signal()",
    _make_installer("sysv_signal"),
    {
        "flags": {"linux-glibc": "SA_NODEFER|SA_RESETHAND"},
        "stays": {"linux-glibc": False},
        "blocks_itself": {"linux-glibc": False},
    },
)
# bsd_signal(3) Linux; FreeBSD has no such function.
_BSD_SIGNAL = _Installer(
    "bsd_signal()",
    _make_installer("bsd_signal"),
    {aspect: {"linux-glibc": True} for aspect in _BSD_SEMANTICS},
)
_SIGACTION = _Installer(
    "sigaction() without flags",
    lens.sigaction,
    {
        "flags": {"posix": "none"},
        "restarts": {"posix": False},
        "stays": {"posix": True},
        "blocks_itself": {"posix": True},
    },
)
_PYTHON = _Installer("Python's signal()", _python_signal)

_INSTALLERS = {
    "libc_signal": _LIBC_SIGNAL,
    "sysv_signal": _SYSV_SIGNAL,
    "bsd_signal": _BSD_SIGNAL,
    "sigaction_flags_0": _SIGACTION,
    "python_signal": _PYTHON,
}


def _list_rows(aspect: str) -> dict[str, _Installer]:
    return {f"{name}_{aspect}": installer for name, installer in _INSTALLERS.items()}


def _get_documented(aspect: str) -> Callable[[_Installer], Documented]:
    return lambda installer: installer.documented.get(aspect, {})


_REFERENCE = "POSIX XSH signal, sigaction; signal(2), sigaction(2) Linux; signal(3) FreeBSD"


@probe(
    each=_list_rows("flags"),
    matters="The same source restarts its reads, or loses its handler, depending on the system.",
    advice="Install every handler with sigaction(), naming the flags you want and no others.",
    symptoms=[
        "signal() has SysV or BSD semantics: System V, SA_RESETHAND, SA_RESTART",
    ],
    reference=_REFERENCE,
    documented=_get_documented("flags"),
)
def installer_flags(installer: _Installer) -> str:
    """Which flags does {row} set on a handler?"""
    deliveries = Deliveries(SIGUSR1)
    installer.install(SIGUSR1, deliveries.address)
    return lens.name_flags(lens.sigaction(SIGUSR1).flags)


@probe(
    each=_list_rows("restarts"),
    matters="A worker that needs EINTR to leave read() never does; one without a retry ends.",
    advice="Install handlers with sigaction(), with or without SA_RESTART as you mean it.",
    symptoms=[
        "Ctrl-C or an alarm does not interrupt a blocking read",
        "read fails with EINTR, Interrupted system call, on one system and goes on on another",
    ],
    reference=_REFERENCE,
    documented=_get_documented("restarts"),
    light=True,
)
def installer_restarts(installer: _Installer) -> bool:
    """Does read() restart after a handler installed by {row}?"""
    outcome = blocking.interrupt(
        blocking.prepare_endless_read, lambda it: installer.install(it.signum, it.address)
    )
    return outcome == "restarts"


def _await_ending(child: Child, signum: int) -> Any:
    """Return the child's message, or the name of ``signum`` if that killed the child."""
    status = child.wait()
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signum:
        return children.name_signal(signum)
    return child.receive()


@probe(
    each=_list_rows("stays"),
    matters="If the first signal removes the handler, the second one kills the daemon.",
    advice="Install handlers with sigaction() without SA_RESETHAND: they stay on every system.",
    symptoms=[
        "handler works once: the second signal kills the process",
        "one-shot handler must be installed again",
    ],
    reference=_REFERENCE,
    documented=_get_documented("stays"),
)
def installer_stays(installer: _Installer) -> bool:
    """Does a handler installed by {row} stay installed?"""

    def subject(_: Channel) -> int:
        deliveries = Deliveries(SIGUSR1)
        installer.install(SIGUSR1, deliveries.address)
        libc.call("raise", SIGUSR1)
        libc.call("raise", SIGUSR1)
        return deliveries.count()

    with children.fork(subject) as child:
        return bool(_await_ending(child, SIGUSR1) == 2)


@probe(
    each=_list_rows("blocks_itself"),
    matters="A handler that its own signal interrupts runs within itself, on half-done work.",
    advice="Install with sigaction() without SA_NODEFER; in Python only set a flag in handlers.",
    symptoms=[
        "handler is interrupted by its own signal: recursion, nested calls, stack overflow",
    ],
    reference=_REFERENCE,
    documented=_get_documented("blocks_itself"),
)
def installer_blocks_itself(installer: _Installer) -> bool:
    """Does {row} block the signal while its handler runs?"""
    runs = depth = deepest = 0

    def handler(signum: int, *_: object) -> None:
        nonlocal runs, depth, deepest
        runs, depth = runs + 1, depth + 1
        deepest = max(deepest, depth)
        if runs == 1:
            # As handlers once did, because the signal may have removed the handler.
            installer.install(signum, installed)
            libc.call("raise", signum)
        depth -= 1

    in_c = blocking.make_handler(handler)
    installed = handler if installer is _PYTHON else blocking.get_address(in_c)
    installer.install(SIGUSR1, installed)
    libc.call("raise", SIGUSR1)
    return deepest == 1


@probe(
    matters="Code that relies on it to leave a blocked read() waits for ever if it does nothing.",
    advice="Call sigaction() without SA_RESTART.",
    symptoms=[
        "siginterrupt: alarm does not end a blocking call",
    ],
    reference="POSIX.1-2008 XSH siginterrupt (obsolescent); siginterrupt(3)",
    documented={"posix": True},
    light=True,
)
def siginterrupt_interrupts() -> bool:
    """Does siginterrupt(sig, 1) make read() fail with EINTR?"""

    def install(deliveries: Deliveries) -> None:
        deliveries.install(lens.get_flag("SA_RESTART"))
        libc.call("siginterrupt", deliveries.signum, 1)

    return blocking.interrupt(blocking.prepare_endless_read, install) == "EINTR"


@probe(
    matters="A handler made interruptible has other flags than it was installed with.",
    advice="Call sigaction() with the sa_flags you mean.",
    symptoms=[
        "siginterrupt clears SA_RESTART of the handler",
    ],
    reference="POSIX.1-2008 XSH siginterrupt (obsolescent); siginterrupt(3)",
    documented={"posix": "none"},
)
def siginterrupt_flags() -> str:
    """Which flags does siginterrupt(sig, 1) leave on a handler with SA_RESTART?"""
    deliveries = Deliveries(SIGUSR1)
    deliveries.install(lens.get_flag("SA_RESTART"))
    libc.call("siginterrupt", SIGUSR1, 1)
    return lens.name_flags(lens.sigaction(SIGUSR1).flags)


@probe(
    matters="A handler installed later by signal() is interruptible on one system only.",
    advice="Call sigaction() without SA_RESTART for every handler.",
    symptoms=[
        "siginterrupt is undone by the next signal()",
        "siginterrupt in a library changes later handlers",
    ],
    reference="siginterrupt(3); sysdeps/posix/signal.c glibc: _sigintr",
    light=True,
)
def siginterrupt_outlives_signal() -> bool:
    """Does siginterrupt(sig, 1) apply to a later signal() too?"""

    def install(deliveries: Deliveries) -> None:
        libc.call("siginterrupt", deliveries.signum, 1)
        libc.call("signal", deliveries.signum, deliveries.address)

    return blocking.interrupt(blocking.prepare_endless_read, install) == "EINTR"


def _read_back_unknown_flags() -> Optional[int]:
    """Install a handler with flags that do not exist; return those kept, None if refused."""
    try:
        Deliveries(SIGUSR1).install(lens.MEANINGLESS_FLAGS)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return None
    return lens.sigaction(SIGUSR1).flags & lens.MEANINGLESS_FLAGS


@probe(
    matters="A struct sigaction that was never cleared switches flags on, and nothing warns.",
    advice="Clear the whole struct sigaction, or set sa_flags and sa_mask, before every use.",
    symptoms=[
        "uninitialised sa_flags, garbage in struct sigaction, is not refused",
        "handler misbehaves at random: sa_flags never set",
    ],
    reference="sigaction(2) Linux: Dynamically probing for flag bit support; sigaction(2) NetBSD",
    documented={"linux": True, "netbsd": False},
)
def unknown_sa_flags_accepted() -> bool:
    """Does sigaction() accept unknown flags?"""
    return _read_back_unknown_flags() is not None


@probe(
    matters="A program that probes for a new flag takes one that is only kept for one that works.",
    advice="To probe for a flag, set it, read it back, and trust only a flag that is not cleared.",
    symptoms=[
        "is a new flag of sigaction supported: SA_UNSUPPORTED, SA_EXPOSE_TAGBITS",
        "garbage in sa_flags is read back",
    ],
    reference="sigaction(2) Linux: Dynamically probing for flag bit support (since 5.11)",
    documented={"linux": False},
)
def unknown_sa_flags_kept() -> bool:
    """Does sigaction() keep unknown flags?"""
    flags = _read_back_unknown_flags()
    if flags is None:
        raise Unsupported("sigaction() refuses flags that do not exist: EINVAL")
    return bool(flags)


SENT = 5


def block_signals(*signals: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)


def _count_delivered(deliveries: Deliveries) -> int:
    """Unblock the signal; return how often the handler ran."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [deliveries.signum])
    # One signal has been delivered by now; the others are at the next system calls.
    while deliveries.signum in signal.sigpending():
        pass
    return deliveries.count()


def _get_realtime_signal() -> int:
    """Return the first real-time signal."""
    if not hasattr(signal, "SIGRTMIN"):
        raise Unsupported(f"{libc.SYSTEM} has no real-time signals")
    return int(signal.SIGRTMIN)


def queue_signal(signum: int, value: int = 0) -> None:
    """Queue a signal to this process by sigqueue(2)."""
    try:
        libc.call("sigqueue", os.getpid(), signum, value)
    except OSError as error:
        if error.errno != errno.EAGAIN:
            raise
        raise Blocked("this user's queue of signals is full: raise ulimit -i") from None


@probe(
    matters="A daemon that counts one signal per message loses messages sent in a burst.",
    advice="Take a signal as 'there is work': do all of it, not one piece per signal.",
    symptoms=[
        "signals are lost when several are sent quickly: only one arrives",
        "counter of signals is too low, missed notifications",
    ],
    reference="signal(7) Linux: Queueing and delivery semantics for standard signals",
    documented={"linux": 1},
)
def pending_coalesce() -> int:
    """How many of 5 SIGUSR1 sent while blocked are delivered?"""
    deliveries = Deliveries(SIGUSR1)
    block_signals(SIGUSR1)
    for _ in range(SENT):
        os.kill(os.getpid(), SIGUSR1)
    return _count_delivered(deliveries)


@probe(
    matters="Code that counts on one delivery per signal loses work if signals merge.",
    advice="Queue only with sigqueue and SIGRTMIN+n, and handle EAGAIN when the queue is full.",
    symptoms=[
        "sigqueue: are several instances delivered, real-time signals queued, or lost",
    ],
    reference="signal(7) Linux: Real-time signals; POSIX XSH 2.4.1",
    documented={"linux": SENT},
)
def realtime_queued() -> int:
    """How many of 5 SIGRTMIN queued while blocked are delivered?"""
    deliveries = Deliveries(_get_realtime_signal())
    block_signals(deliveries.signum)
    for _ in range(SENT):
        queue_signal(deliveries.signum)
    return _count_delivered(deliveries)


@probe(
    matters="Priorities by signal number are reversed on a system with another order.",
    advice="Give the most urgent message the lowest number, and rely on no order beyond that.",
    symptoms=[
        "real-time signals arrive in another order than they were sent",
    ],
    reference="POSIX XSH 2.4.1, sigwait; signal(7) Linux: Real-time signals",
    documented={"posix": "lowest first"},
)
def realtime_order() -> str:
    """Which of several pending real-time signals does sigwait() take first?"""
    first = _get_realtime_signal()
    sent = [first + 2, first, first + 3, first + 1]
    block_signals(*sent)
    for signum in sent:
        os.kill(os.getpid(), signum)
    taken = [int(signal.sigwait(sent)) for _ in sent]
    orders = {
        "lowest first": sorted(sent),
        "highest first": sorted(sent, reverse=True),
        "as sent": sent,
    }
    return next((name for name, order in orders.items() if taken == order), "another")


# Four different bytes, so that no other part of a siginfo_t can be taken for it.
_MARK = 0x5AC36900


@probe(
    matters="Values queued with one signal number reach the handler in another order.",
    advice="Number the messages themselves, or send them through a pipe.",
    symptoms=[
        "values sent by sigqueue arrive out of order",
    ],
    reference="POSIX XSH 2.4.1; signal(7) Linux: Real-time signals",
    documented={"posix": True},
)
def realtime_fifo() -> bool:
    """Do values queued with one real-time signal arrive in order?"""
    signum = _get_realtime_signal()
    block_signals(signum)
    for number in range(SENT):
        queue_signal(signum, _MARK + number)
    taken = []
    while signum in signal.sigpending():
        # siginfo_t has 128 bytes or less everywhere; the place of si_value in it differs.
        info = ctypes.create_string_buffer(256)
        libc.call("sigwaitinfo", lens.make_signal_set([signum]), info)
        taken += [
            number
            for number in range(SENT)
            if (_MARK + number).to_bytes(4, sys.byteorder) in info.raw
        ]
    return taken == list(range(SENT))


@probe(
    matters="A number written into the source is another signal, or the C library's own.",
    advice="Write SIGRTMIN+n, and check at startup that it does not exceed SIGRTMAX.",
    symptoms=[
        "SIGRTMIN is 34 or 35, or reserved by the C library: numbers differ between musl and glibc",
        "kill -34",
    ],
    reference="signal(7) Linux: Real-time signals; signal(7) FreeBSD",
    light=True,
)
def sigrtmin() -> int:
    """What number is SIGRTMIN?"""
    return _get_realtime_signal()


@probe(
    matters="How many signals are free for a program's own use differs between systems.",
    advice="Count up from SIGRTMIN, and check against SIGRTMAX at startup.",
    symptoms=[
        "SIGRTMAX, the number of signals, NSIG, is 64, 65 or 128: mips, FreeBSD",
    ],
    reference="signal(7) Linux: Real-time signals; signal(7) FreeBSD",
    light=True,
)
def sigrtmax() -> int:
    """What number is SIGRTMAX?"""
    _get_realtime_signal()
    return int(signal.SIGRTMAX)


def _leave_zombie(disposition: int) -> bool:
    """Return whether a child that ends under this disposition of SIGCHLD becomes a zombie."""
    lens.sigaction(SIGCHLD, disposition)
    pid = lens.fork_process()
    if not pid:
        os._exit(0)
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return False
    return True


@probe(
    matters="Without it a daemon that ignores SIGCHLD fills the process table with zombies.",
    advice="Reap with waitpid(WNOHANG) in a loop; set SA_NOCLDWAIT if statuses do not matter.",
    symptoms=[
        "waitpid, system() or subprocess fails with ECHILD, No child processes",
        "exit status of a child is lost: SIGCHLD is ignored",
    ],
    reference="POSIX XSH _Exit, sigaction; wait(2) Linux; signal(3) FreeBSD",
    documented={"posix": True},
    light=True,
)
def sigchld_ignored_reaps() -> bool:
    """Does ignoring SIGCHLD reap children?"""
    # In a process that is not a reaper: on FreeBSD the child goes to the next reaper above.
    return not children.run_in_child(lambda: _leave_zombie(libc.SIG_IGN))


@probe(
    matters="SIG_DFL ignores SIGCHLD too, and yet children stay until they are waited for.",
    advice="Reap with waitpid(WNOHANG) in a loop, or set SIGCHLD to SIG_IGN explicitly.",
    symptoms=[
        "zombies, defunct children pile up: never waited for",
    ],
    reference="POSIX XSH _Exit; wait(2) Linux; signal(3) FreeBSD",
    documented={"posix": True},
    light=True,
)
def sigchld_default_leaves_zombies() -> bool:
    """With SIGCHLD at its default, does a dead child stay a zombie?"""
    return bool(children.run_in_child(lambda: _leave_zombie(libc.SIG_DFL)))


CHILDREN = 3


@probe(
    matters="A handler that reaps one child per signal leaves zombies after a burst.",
    advice="Call waitpid(-1, WNOHANG) until it finds no more, at every SIGCHLD.",
    symptoms=[
        "zombies are left though SIGCHLD is handled: several children ended at once, one wait"
        " per signal",
        "defunct, reap in a loop with WNOHANG",
    ],
    reference="signal(7) Linux: Queueing and delivery semantics for standard signals",
    documented={"linux": 1},
)
def sigchld_coalesces() -> int:
    """How many SIGCHLD of 3 children are delivered if it was blocked?"""

    def subject(watcher: Channel) -> int:
        deliveries = Deliveries(SIGCHLD)
        block_signals(SIGCHLD)
        for _ in range(CHILDREN):
            pid = lens.fork_process()
            if not pid:
                os._exit(0)
            if hasattr(os, "waitid"):
                children.wait_until_ended(pid)
            else:
                # Not here: that may need ps(1), a child whose end would count.
                watcher.send(pid)
                watcher.receive()
        watcher.send(0)
        return _count_delivered(deliveries)

    with children.fork(subject) as child:
        while pid := child.receive():
            children.wait_until_ended(pid)
            child.send("the process has ended")
        return int(child.receive())


def _observe_job_control() -> tuple[int, int]:
    """Return how many SIGCHLD come when a child is stopped, and when it is continued."""
    on_stop, on_continue = children.run_in_child(_count_job_control)
    return on_stop, on_continue


def _count_job_control() -> tuple[int, int]:
    """Do the same in this process, which must not be the parent of any orphan."""
    deliveries = Deliveries(SIGCHLD)
    deliveries.install(0)

    def subject(parent: Channel) -> None:
        # Only when the parent sleeps in waitpid(): then that returns after the signal was
        # sent, if it is sent, and not already when the child is marked as stopped.
        children.wait_for_state(os.getppid(), children.ASLEEP)
        os.kill(os.getpid(), SIGSTOP)
        parent.send("continued")
        parent.receive()

    with children.fork(subject) as child:
        _, status = os.waitpid(child.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            child.status = status
        on_stop = deliveries.count()
        child.kill(SIGCONT)
        # The parent gets the signal before the child runs on.
        child.receive()
        return on_stop, deliveries.count()


@probe(
    matters="A parent that is not told of stopped children waits for them for ever.",
    advice="Set or omit SA_NOCLDSTOP with sigaction(); call waitpid() with WUNTRACED.",
    symptoms=[
        "SIGCHLD though no child has ended: it was stopped, SA_NOCLDSTOP",
        "waitpid blocks in the SIGCHLD handler",
    ],
    reference="POSIX XSH sigaction: SA_NOCLDSTOP; signal(3C) illumos",
    documented={"posix": True},
)
def sigchld_on_stop() -> bool:
    """Is SIGCHLD sent when a child stops?"""
    return _observe_job_control()[0] > 0


@probe(
    matters="A supervisor that counts on it never learns that its child has continued.",
    advice="The sender of SIGCONT knows already: do not rely on SIGCHLD.",
    symptoms=[
        "SIGCHLD when a child is continued, WCONTINUED",
    ],
    reference="POSIX XSH sigaction: may be generated; sigaction(2) Linux: SA_NOCLDSTOP",
    documented={"linux": True},
)
def sigchld_on_continue() -> bool:
    """Is SIGCHLD sent when a child continues?"""
    return _observe_job_control()[1] > 0


@probe(
    matters="A daemon that wants the signal without zombies gets no signal on another system.",
    advice="To learn of children that end, reap them: leave out SA_NOCLDWAIT.",
    symptoms=[
        "no SIGCHLD with SA_NOCLDWAIT on FreeBSD: child's end is not noticed",
    ],
    reference="sigaction(2) Linux: SA_NOCLDWAIT; POSIX XSH sigaction leaves it open",
    documented={"linux": True},
)
def sigchld_nocldwait_sent() -> bool:
    """Is SIGCHLD sent with SA_NOCLDWAIT?"""
    reaps = lens.get_flag("SA_NOCLDWAIT")

    def subject() -> bool:
        # Made here: the process above may get SIGCHLD for orphans that it adopts.
        deliveries = Deliveries(SIGCHLD)
        deliveries.install(reaps)
        pid = lens.fork_process()
        if not pid:
            os._exit(0)
        # Blocks until the child is gone without being reaped.
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            return deliveries.count() > 0
        raise Unsupported("SA_NOCLDWAIT leaves zombies here")

    return bool(children.run_in_child(subject))


@probe(
    each={name: name.partition("_")[2] for name in ("has_sigtimedwait", "has_sigwaitinfo")},
    matters="Code that waits for signals with it does not link, or lacks a time-out, elsewhere.",
    advice="Wait with sigwait, which is everywhere; for a time-out use a signal descriptor.",
    symptoms=[
        "undefined reference to sigtimedwait, sigwaitinfo on OpenBSD or macOS",
        "implicit declaration of sigtimedwait",
    ],
    reference="POSIX XSH {row}; gnulib manual: {row}",
    documented={"posix": True, "macos": False, "openbsd": False},
    light=True,
)
def waiter_exists(name: str) -> bool:
    """Does the C library provide {row}()?"""
    return libc.has(name)


@probe(
    matters="Without it neither a value nor a second signal of the same number is queued.",
    advice="Send values through a pipe or socket; keep signals for 'there is work'.",
    symptoms=[
        "undefined reference to sigqueue on OpenBSD or macOS",
    ],
    reference="POSIX XSH sigqueue; gnulib manual: sigqueue",
    documented={"posix": True, "macos": False, "openbsd": False},
    light=True,
)
def has_sigqueue() -> bool:
    """Does the C library provide sigqueue()?"""
    return libc.has("sigqueue")


@probe(
    matters="A Python daemon that waits for signals with a time-out fails on macOS and OpenBSD.",
    advice="Fall back to signal.set_wakeup_fd and select where signal.sigtimedwait is missing.",
    symptoms=[
        "AttributeError: module signal has no attribute sigtimedwait on macOS",
    ],
    reference="Python library reference: signal.sigtimedwait",
    light=True,
)
def python_has_sigtimedwait() -> bool:
    """Does Python provide signal.sigtimedwait?"""
    return hasattr(signal, "sigtimedwait")


@probe(
    matters="A worker that polls for its signal with a time-out of zero never sees it.",
    advice="Block the signal before it can be sent, and wait with sigtimedwait or sigwait.",
    symptoms=[
        "poll for a pending signal without waiting: sigtimedwait returns EAGAIN",
    ],
    reference="POSIX XSH sigtimedwait",
    documented={"posix": True},
)
def sigtimedwait_takes_pending() -> bool:
    """Does sigtimedwait() with a zero timeout take a pending signal?"""
    block_signals(SIGUSR1)
    os.kill(os.getpid(), SIGUSR1)
    wanted, at_once = lens.make_signal_set([SIGUSR1]), lens.timespec()(0)
    try:
        taken = libc.call("sigtimedwait", wanted, None, ctypes.byref(at_once))
    except OSError as error:
        if error.errno != errno.EAGAIN:
            raise
        return False
    return taken == SIGUSR1


def _take_by_sigwait(signum: int) -> bool:
    """Return whether sigwait(3) of the C library takes this signal, which must be pending."""
    taken = ctypes.c_int()
    error = libc.call("sigwait", lens.make_signal_set([signum]), ctypes.byref(taken))
    return not error and taken.value == signum


@probe(
    matters="A worker signalled between its fork and its first wait sleeps on undelivered work.",
    advice="Block the signal in the parent before the fork, and take it with sigwait.",
    symptoms=[
        "signal sent before pause() is lost and the program hangs: race, lost wake-up",
        "sigwait or pause never returns",
    ],
    reference="POSIX XSH fork, sigwait",
    documented={"posix": True},
)
def sigwait_takes_earlier() -> bool:
    """Does sigwait() take a signal that was sent before the call?"""
    # A handler, so that a signal that is not blocked does not kill the child.
    Deliveries(SIGUSR1)
    block_signals(SIGUSR1)

    def worker(parent: Channel) -> bool:
        parent.receive()
        return SIGUSR1 in signal.sigpending() and _take_by_sigwait(SIGUSR1)

    with children.fork(worker) as child:
        child.kill(SIGUSR1)
        child.send("the signal is sent")
        return bool(child.receive())


@probe(
    matters="A daemon started with the signal ignored waits for ever if the signal is discarded.",
    advice="Set the signal to SIG_DFL or a handler before you block and wait for it.",
    symptoms=[
        "sigwait never returns for SIGCHLD or another signal that is ignored",
        "signal is discarded though it is blocked",
    ],
    reference="POSIX XSH 2.4.1 leaves it open; signal(3) FreeBSD; sigwait(3)",
    documented={"freebsd": False},
)
def waited_while_ignored() -> bool:
    """Does sigwait() take a blocked signal that is ignored?"""
    lens.sigaction(SIGUSR1, libc.SIG_IGN)
    block_signals(SIGUSR1)
    os.kill(os.getpid(), SIGUSR1)
    return SIGUSR1 in signal.sigpending() and _take_by_sigwait(SIGUSR1)


def _try_signalfd() -> bool:
    """Return whether signalfd(2) reports a signal that is blocked and pending."""
    made = libc.call("signalfd", -1, lens.make_signal_set([SIGUSR1]), 0)
    block_signals(SIGUSR1)
    os.kill(os.getpid(), SIGUSR1)
    if not select.select([made], [], [], 0)[0]:
        return False
    # struct signalfd_siginfo begins with the signal's number, in 32 bits.
    return int.from_bytes(os.read(made, 128)[:4], sys.byteorder) == SIGUSR1


def _try_kqueue() -> bool:
    """Return whether EVFILT_SIGNAL reports a signal that is ignored, as kqueue(2) promises."""
    lens.sigaction(SIGUSR1, libc.SIG_IGN)
    here: Any = select  # Its names differ by system, which mypy does not know.
    queue = here.kqueue()
    queue.control([here.kevent(SIGUSR1, here.KQ_FILTER_SIGNAL, here.KQ_EV_ADD)], 0)
    os.kill(os.getpid(), SIGUSR1)
    return [event.ident for event in queue.control(None, 1, 0)] == [SIGUSR1]


@probe(
    matters="An event loop gets its signals from a different call on each kind of system.",
    advice="Use signalfd() or kqueue() if available, otherwise a pipe that the handler writes to.",
    symptoms=[
        "signals in an event loop: signalfd on Linux, kqueue EVFILT_SIGNAL on BSD and macOS",
        "portable replacement for signalfd, self-pipe",
    ],
    reference="signalfd(2) Linux; kqueue(2) FreeBSD: EVFILT_SIGNAL",
    documented={
        "linux": "signalfd",
        "freebsd": "kqueue",
        "netbsd": "kqueue",
        "openbsd": "kqueue",
        "macos": "kqueue",
    },
)
def signal_descriptor() -> str:
    """Which kind of descriptor reports signals to an event loop?"""
    kinds = {
        "signalfd": _try_signalfd if libc.has("signalfd") else None,
        "kqueue": _try_kqueue if hasattr(select, "kqueue") else None,
    }
    for name, works in kinds.items():
        with contextlib.suppress(Unsupported):
            if works and works():
                return name
    raise Unsupported(f"no descriptor reports signals on this {libc.SYSTEM}")


@probe(
    matters="Without the byte an event loop in Python sleeps on after a signal has come.",
    advice="Give signal.set_wakeup_fd a non-blocking socket or pipe that the event loop watches.",
    symptoms=[
        "asyncio does not react to a signal or Ctrl-C: set_wakeup_fd",
    ],
    reference="Python library reference: signal.set_wakeup_fd",
)
def python_wakeup_fd() -> bool:
    """Does Python write the signal number to set_wakeup_fd()'s descriptor?"""
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writing)
    signal.signal(SIGUSR1, lambda *_: None)
    libc.call("raise", SIGUSR1)
    if not select.select([reading], [], [], 0)[0]:
        return False
    return os.read(reading, 2) == bytes([SIGUSR1])


def _survives_after_exec(before: Callable[[], Any]) -> bool:
    """Return whether a program that is executed after ``before`` survives a SIGUSR1."""
    with children.start_shell("kill -USR1 $$; echo true", before) as child:
        return bool(_await_ending(child, SIGUSR1) == "true")


@probe(
    matters="A program that a daemon starts cannot be ended by a signal the daemon ignores.",
    advice="Set every signal back to SIG_DFL between fork and exec.",
    symptoms=[
        "child ignores Ctrl-C or SIGTERM, SIGHUP, SIGPIPE: inherited from nohup, cron or its "
        "parent",
        "yes | head never ends: SIGPIPE ignored in the shell started by a daemon",
    ],
    reference="POSIX XSH exec; signal(7) Linux",
    documented={"posix": True},
)
def ignored_survives_exec() -> bool:
    """Does an ignored signal stay ignored after exec?"""
    return _survives_after_exec(lambda: lens.sigaction(SIGUSR1, libc.SIG_IGN))


@probe(
    matters="The new program would jump to where the old one had its handler.",
    advice="Rely on it: a handled signal is SIG_DFL in the new program, an ignored one is not.",
    symptoms=[
        "signal kills a program that was just started by exec: its parent's handler is gone",
    ],
    reference="POSIX XSH exec; signal(7) Linux",
    documented={"posix": True},
)
def handler_reset_on_exec() -> bool:
    """Does exec reset a handled signal to its default?"""
    return not _survives_after_exec(lambda: Deliveries(SIGUSR1).install(0))


@probe(
    matters="A daemon that execs itself in a handler, or with signals blocked, stays deaf to them.",
    advice="Set the signal mask at the start of every program and before every exec.",
    symptoms=[
        "child cannot be killed by SIGTERM: it is blocked, mask inherited over exec",
        "SIGCHLD or SIGALRM never arrives in a program started by a thread: blocked signals",
    ],
    reference="POSIX XSH exec; sigaction(2) FreeBSD",
    documented={"posix": True},
)
def mask_survives_exec() -> bool:
    """Does a blocked signal stay blocked after exec?"""
    return _survives_after_exec(lambda: block_signals(SIGUSR1))


def _write_to_broken_pipe(disposition: int) -> Child:
    """Start a child that writes to a pipe without a reader and sends the result of write()."""

    def writer(_: Channel) -> str:
        lens.sigaction(SIGPIPE, disposition)
        reading, writing = os.pipe()
        os.close(reading)
        return libc.try_call("write", writing, b"x", 1)

    return children.fork(writer)


@probe(
    matters="A server in C dies silently when a client leaves before its answer.",
    advice="Ignore SIGPIPE at the start, and take EPIPE for the end of the connection.",
    symptoms=[
        "program dies without a message, exit status 141, in a pipeline with head",
        "killed by SIGPIPE",
    ],
    reference="POSIX XSH write; pipe(7) Linux",
    documented={"posix": True},
)
def sigpipe_kills() -> bool:
    """Does a write to a broken pipe kill the process by default?"""
    with _write_to_broken_pipe(libc.SIG_DFL) as child:
        return bool(_await_ending(child, SIGPIPE) == "SIGPIPE")


@probe(
    matters="Code that ignores SIGPIPE and checks no errors writes into the void.",
    advice="Check every write, and take EPIPE for the end of the connection.",
    symptoms=[
        "write error: Broken pipe, EPIPE",
    ],
    reference="POSIX XSH write; pipe(7) Linux",
    documented={"posix": "EPIPE"},
)
def sigpipe_ignored_gives() -> str:
    """With SIGPIPE ignored, what does a write to a broken pipe return?"""
    with _write_to_broken_pipe(libc.SIG_IGN) as child:
        return str(_await_ending(child, SIGPIPE))


@probe(
    matters="Programs that a Python daemon starts may inherit it, and then never end at a pipe.",
    advice="Let subprocess restore it (restore_signals), or set SIG_DFL before your own exec.",
    symptoms=[
        "BrokenPipeError: [Errno 32] Broken pipe in Python piped to head",
    ],
    reference="Python library reference: signal, General rules; subprocess, restore_signals",
    light=True,
)
def python_sigpipe_ignored() -> bool:
    """Does Python ignore SIGPIPE?"""
    # As this interpreter set it when it started: the lab does not change SIGPIPE.
    return bool(lens.sigaction(SIGPIPE).handler == libc.SIG_IGN)
