"""Prove the layouts of time structures and of those that poll(), fcntl() and bind() take."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import socket
import struct
import sys
import time
from ctypes import byref, c_int, c_int64, c_long, c_short, c_uint
from dataclasses import dataclass
from typing import Any, Callable

from .. import libc
from ..probe import Blocked
from .proof import ROOM, Unproven, look, run_trial


@look("time_t")
def time_t() -> Any:
    """How wide is time_t in a program built for this platform?

    The interpreter is such a program.  time(), looked up under the name that such programs call,
    must write a time_t of the same width.
    """
    writes = libc.measure_extent(lambda now: libc.call("time", now))
    if 8 * writes != libc.TIME_T_BITS:
        raise Unproven(
            f"the interpreter's time_t has {libc.TIME_T_BITS} bits, but time() writes {8 * writes}"
        )
    return {4: ctypes.c_int32, 8: c_int64}[writes]


class _Pair:
    """struct timespec or struct timeval: seconds and a fraction."""

    def __init__(self, seconds: Any, fraction: Any, units: int) -> None:
        self.units = units
        self.type = type(
            "Time", (ctypes.Structure,), {"_fields_": (("seconds", seconds), ("part", fraction))}
        )

    def __call__(self, seconds: float) -> Any:
        whole = int(seconds)
        return self.type(whole, int((seconds - whole) * self.units))

    def __str__(self) -> str:
        parts = (getattr(self.type, name) for name in ("seconds", "part"))
        return " and ".join(f"{part.size} bytes at {part.offset}" for part in parts)


def _find_pair(fill: Callable[[Any], Any], units: int) -> _Pair:
    """Return the structure in which ``fill`` writes the current time."""
    tried = []
    for fraction in dict.fromkeys((time_t(), c_long, c_int)):
        pair = _Pair(time_t(), fraction, units)
        made = pair(0)
        buffer = ctypes.create_string_buffer(b"\xaa" * ROOM, ROOM)
        # Some systems do not write the padding after the fraction.
        ctypes.memset(buffer, 0, ctypes.sizeof(made))
        before = time.time()
        fill(buffer)
        after = time.time()
        ctypes.memmove(byref(made), buffer, ctypes.sizeof(made))
        tried.append(f"{made.seconds}.{made.part}")
        shown = made.seconds + made.part / units
        overrun = buffer.raw[ctypes.sizeof(made) :].strip(b"\xaa")
        if before - 0.001 <= shown <= after + 0.001 and 0 <= made.part < units and not overrun:
            return pair
    raise Unproven(f"it shows the time as {' or '.join(tried)}, expected about {time.time():.0f}")


@look("struct timespec")
def timespec() -> Any:
    """Does struct timespec hold a time_t and a long, or two fields of a time_t's width?"""
    return _find_pair(
        lambda buffer: libc.call("clock_gettime", time.CLOCK_REALTIME, buffer), 1_000_000_000
    )


@look("struct timeval")
def timeval() -> Any:
    """How is struct timeval laid out?"""
    return _find_pair(lambda buffer: libc.call("gettimeofday", buffer, None), 1_000_000)


class _Pollfd(ctypes.Structure):
    """struct pollfd (POSIX XBD <poll.h>)."""

    _fields_ = (("fd", c_int), ("events", c_short), ("revents", c_short))

    def __str__(self) -> str:
        return "an int and two shorts"


@look("struct pollfd")
def pollfd() -> Any:
    """Is struct pollfd an int and two shorts, and do Python's POLLIN and POLLOUT fit?"""
    if not hasattr(select, "POLLIN"):
        raise Blocked("this Python lacks select.poll(): run the lab with another Python")
    reading, writing = os.pipe()
    both = select.POLLIN | select.POLLOUT
    try:
        # Writable first, because a pipe of one page may be full with one byte.
        for descriptor, expected in ((writing, select.POLLOUT), (reading, select.POLLIN)):
            entry = _Pollfd(fd=descriptor, events=both, revents=0)
            libc.call("poll", byref(entry), 1, 0)
            # `events` is not compared, because gVisor adds POLLERR and POLLHUP to it.
            if (entry.fd, entry.revents) != (descriptor, expected):
                raise Unproven(f"poll() returns {entry.revents:#x}, expected {expected:#x}")
            if descriptor == writing:
                os.write(writing, b"x")
    finally:
        os.close(reading)
        os.close(writing)
    return Found(_Pollfd, "an int and two shorts")


@dataclass(frozen=True)
class Found:
    """A type, and its description in the report."""

    type: Any
    text: str

    def __call__(self, *values: Any, **fields: Any) -> Any:
        return self.type(*values, **fields)

    def __str__(self) -> str:
        return self.text


_START, _LENGTH = 0x0102030405, 0x0607


class FdSet:
    """Makes sets of descriptors for select(2): bits in words of the platform's width."""

    def __init__(self, word: Any) -> None:
        self.word = word
        self.bits = 8 * ctypes.sizeof(word)

    def __call__(self, *descriptors: int, room: int = 1024) -> Any:
        """Return a set of ``descriptors`` that has room for those up to ``room``."""
        made = (self.word * -(-(max(room, *descriptors) + 1) // self.bits))()
        for descriptor in descriptors:
            made[descriptor // self.bits] |= 1 << descriptor % self.bits
        return made

    def __str__(self) -> str:
        return f"words of {self.bits} bits"


@look("fd_set")
def fd_set() -> Any:
    """In words of which width does select() take its sets?

    The width shows only if the highest byte of a word is stored first: then select() takes a set
    in words of the wrong width for one of other descriptors.
    """
    reading, writing = os.pipe()
    try:
        os.write(writing, b"x")
        kinds = [FdSet(word) for word in (c_uint, ctypes.c_uint64)]
        found = [kind for kind in kinds if _ask_for_input(kind, reading) == "1"]
    finally:
        os.close(reading)
        os.close(writing)
    # A word of the wrong width may name another descriptor, but that is not closed now.
    found = [kind for kind in found if _ask_for_input(kind, reading) == "EBADF"]
    if not found:
        raise Unproven("select() does not find the input of a pipe")
    return found[0]


def _ask_for_input(kind: FdSet, descriptor: int) -> str:
    asked, at_once = kind(descriptor), timeval()(0)
    try:
        return str(libc.call("select", descriptor + 1, asked, None, None, byref(at_once)))
    except OSError as error:
        return libc.name_errno(error.errno)


@look("struct flock")
def flock() -> Any:
    """Which form of struct flock does fcntl() take?

    The interpreter, built with this platform's headers, locks a range of a file.  If F_GETLK in
    another process shows a lock, it must be this one, and an impossible value in any field must
    give EINVAL.
    """
    path = f"{_get_scratch()}/.lens-{os.getpid()}-{os.urandom(4).hex()}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _LENGTH, _START)
        except OSError as error:
            why = libc.name_errno(error.errno)
            raise Blocked(
                f"the scratch file system has no record locks ({why}): set TMPDIR to another"
            ) from None
        holder = os.getpid()
        found = run_trial(lambda: _try_flocks(path, holder))["form"]
    finally:
        os.close(descriptor)
        os.unlink(path)
    return Found(libc.FLOCKS[found], f"{found}'s")


_WRONG = ({"l_whence": 77}, {"l_type": 77}, {"l_start": -1})


def _try_flocks(path: str, holder: int) -> dict[str, Any]:
    descriptor = os.open(path, os.O_RDWR)
    tried = []
    likely = next(name for name, form in libc.FLOCKS.items() if form is libc.Flock)
    for name in dict.fromkeys((likely, *libc.FLOCKS)):
        outcome, shown = _ask(name, descriptor, {})
        expected = (fcntl.F_WRLCK, _START, _LENGTH)
        # A lock of an open file description has no holder, and l_pid is -1.
        fits = shown[0] == fcntl.F_UNLCK or (shown[:3] == expected and shown[3] in (holder, -1))
        refused = [_ask(name, descriptor, wrong)[0] for wrong in _WRONG]
        if outcome == "ok" and fits and set(refused) == {"EINVAL"}:
            return {"form": name}
        tried.append(f"{name}'s form: {outcome}, {shown}, and {', '.join(refused)}")
    raise Unproven(
        f"F_GETLK returns {'; '.join(tried)}; expected {expected}, and EINVAL for wrong fields"
    )


def _ask(form: str, descriptor: int, fields: dict[str, int]) -> tuple[str, tuple[int, ...]]:
    """Return the result of F_GETLK in this form with ``fields``, and the lock that it shows."""
    # Larger than any form, so that the call cannot write past the end of a wrong one.
    room = ctypes.create_string_buffer(ROOM)
    lock = libc.FLOCKS[form].from_buffer(room)
    lock.l_type, lock.l_whence = fcntl.F_WRLCK, os.SEEK_SET
    for name, value in fields.items():
        setattr(lock, name, value)
    outcome = libc.try_call(libc.FCNTL, descriptor, fcntl.F_GETLK, room)
    return outcome, (lock.l_type, lock.l_start, lock.l_len, lock.l_pid)


folder = ""
"""Folder for the files of trials; if empty, that of temporary files."""


def _get_scratch() -> str:
    return folder or os.environ.get("TMPDIR") or "/tmp"


@look("struct sockaddr")
def sockaddr() -> Any:
    """Does struct sockaddr start with a length, as on the BSDs, or with the family?"""
    with socket.socket(socket.AF_UNIX) as fresh:
        address, size = ctypes.create_string_buffer(128), c_uint(128)
        libc.call("getsockname", fresh.fileno(), address, byref(size))
    head = address.raw[:2]
    if int.from_bytes(head, sys.byteorder) == socket.AF_UNIX:
        return "a family of 16 bits"
    if head[1] == socket.AF_UNIX:
        return "a length and a family of 8 bits each"
    raise Unproven(f"that of a Unix socket starts with {head.hex()}, without AF_UNIX")


def make_unix_address(path: bytes) -> bytes:
    """Return a struct sockaddr_un whose length is that of ``path``."""
    if str(sockaddr()).startswith("a length"):
        return bytes((2 + len(path), socket.AF_UNIX)) + path
    return struct.pack("=H", socket.AF_UNIX) + path
