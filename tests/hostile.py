"""Probes that misbehave: a test puts this file into a copied lab's catalogue.

Each writes the ids of the processes it makes to ``$TOLD``, so that a test can see them gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
from typing import Any, Callable

from probes.probe import Blocked, Sample, Unsupported, probe

ask = probe(matters="It must not matter.", advice="Expect it.", reference="none")
light = probe(matters="It must not matter.", advice="Expect it.", reference="none", light=True)


def tell() -> None:
    told = os.open(os.environ["TOLD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(told, f"{os.getpid()}\n".encode())
    os.close(told)


def forever() -> None:
    tell()
    while True:
        signal.pause()


@ask
def well_behaved() -> bool:
    """Does a good neighbour still answer?"""
    return True


@ask
def sampled() -> Any:
    """Is a raw sample kept beside the value?"""
    return Sample("few", 3)


@ask
def crashes() -> bool:
    """Does it read address zero?"""
    ctypes.string_at(0)
    return True


@ask
def hangs() -> None:
    """Does it ever answer?"""
    forever()


@ask
def hangs_deaf() -> None:
    """Does it answer with every signal blocked and ignored?"""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    forever()


@ask
def stopped() -> None:
    """Does it go on when stopped?"""
    tell()
    os.kill(os.getpid(), signal.SIGSTOP)
    forever()


def leaving(stray: Callable[[], None]) -> None:
    """Fork twice, into a new session, and wait until the stray runs."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            tell()
            theirs.send(b"x")
            stray()
        os._exit(0)
    ours.recv(1)


@ask
def leaves_a_daemon() -> bool:
    """Does it leave a daemon behind?"""
    leaving(forever)
    return True


@ask
def leaves_a_daemon_without_descriptors() -> bool:
    """Does it leave a daemon that closed everything?"""

    def stray() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        os.closerange(0, 1024)
        while True:
            signal.sigwait({signal.SIGUSR1})

    leaving(stray)
    return True


@ask
def crashes_and_leaves_a_daemon() -> bool:
    """Does it leave a daemon and crash?"""
    leaving(forever)
    ctypes.string_at(0)
    return True


@ask
def hangs_and_leaves_a_family() -> None:
    """Does it leave daemons whose children are daemons?"""

    def stray() -> None:
        leaving(forever)
        leaving(forever)
        forever()

    leaving(stray)
    forever()


@ask
def writes_junk() -> bool:
    """Does it write on everything it can?"""
    for descriptor in range(256):
        with contextlib.suppress(OSError):
            os.write(descriptor, b'{"status": "measured", "value": \xff\x00 junk\n')
    return True


@ask
def floods() -> bool:
    """Does it write endlessly on everything it can?"""
    while True:
        for descriptor in range(256):
            with contextlib.suppress(OSError):
                os.write(descriptor, b"x" * 65536)


@ask
def killed() -> bool:
    """Does it kill itself?"""
    os.kill(os.getpid(), signal.SIGKILL)
    return True


@ask
def kills_its_group() -> bool:
    """Does it kill every process of its group?"""
    os.kill(0, signal.SIGTERM)
    return True


@ask
def ends_early() -> bool:
    """Does it exit without an answer?"""
    os._exit(0)


@ask
def exits() -> bool:
    """Does it call exit?"""
    raise SystemExit(7)


@ask
def interrupts() -> bool:
    """Does it raise KeyboardInterrupt?"""
    raise KeyboardInterrupt


@ask
def raises() -> bool:
    """Does it raise?"""
    raise ValueError("two\nlines \x1b[31mand a colour")


@ask
def returns_nonsense() -> Any:
    """Does it return something that is not a value?"""
    return {"a": object()}


@ask
def returns_a_float() -> Any:
    """Does it return half an answer?"""
    return 0.5


@ask
def returns_a_novel() -> str:
    """Does it return more than the lab reads?"""
    return "x" * (4 << 20)


@ask
def litters() -> bool:
    """Does it leave files that are hard to remove?"""
    os.makedirs("closed/inner")
    for name in ("closed/file", "closed/inner/file", "file"):
        with open(name, "w") as file:
            file.write("litter")
    os.symlink("/", "root")
    os.mkfifo("fifo")
    os.chmod("closed/inner", 0)
    os.chmod("closed", 0)
    return True


@ask
def removes_its_scratch() -> bool:
    """Does it remove its own working folder?"""
    os.rmdir(os.getcwd())
    return True


@ask
def forks_and_both_answer() -> bool:
    """Does its child return into the lab too?"""
    os.fork()
    return True


@ask
def lacks() -> bool:
    """Is there such a thing?"""
    raise Unsupported("there is no such thing")


@ask
def wants() -> bool:
    """May it?"""
    raise Blocked("needs the moon")


@ask
def wavers() -> int:
    """Does it always answer the same?"""
    with open(os.environ["TOLD"] + ".count", "ab") as file:
        file.write(b"x")
        return file.tell()


@light
def light_first() -> bool:
    """Does a probe before failing ones answer?"""
    return True


@light
def light_crashes() -> bool:
    """Does it read address zero in a shared process?"""
    return crashes()


@light
def light_second() -> bool:
    """Is one after a crash asked again?"""
    return True


@light
def light_hangs() -> None:
    """Does it ever answer in a shared process?"""
    forever()


@light
def light_third() -> bool:
    """Is one after a hang asked again?"""
    return True


@light
def light_answers_for_the_next() -> bool:
    """Does it answer in the name of another probe?"""
    answers = max(map(int, os.listdir("/proc/self/fd")))
    while True:
        with contextlib.suppress(OSError):
            os.write(answers, b'{"id": "hostile.light_last", "status": "measured", "value": 0}\n')
            return True
        answers -= 1


@light
def light_last() -> bool:
    """Does a probe after a false answer answer correctly?"""
    return True
