"""Files: appending, offsets, sendfile, a full disk, FIFOs and pipes, close-on-exec."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import mmap
import os
import resource
import signal
import socket
import stat
import time
from collections.abc import Iterator, Sequence
from ctypes import c_int, c_int64, c_size_t
from typing import Any, Callable, NamedTuple

from .. import absent, lens, libc, refusals
from ..fact import CONFIGURED
from ..harness import blocking, children, privileges, sockets
from ..harness.children import Channel
from ..probe import Blocked, Sample, Unsupported, probe


def _get_position(descriptor: int) -> int:
    return os.lseek(descriptor, 0, os.SEEK_CUR)


def _name_error(error: OSError) -> str:
    """Return a name such as ``ENXIO``; raise Blocked if the scratch file system is full."""
    return libc.name_error(error, "open")


def _make_file(name: str, content: bytes = b"", flags: int = os.O_RDWR) -> int:
    """Make the file ``name`` with ``content``; return a descriptor at its start."""
    with open(name, "wb") as file:
        file.write(content)
    return os.open(name, flags)


WRITERS = 8
RECORDS = 4
"""Records of each size that each writer appends, each while the others append one too."""
KIBIBYTES = (1, 4, 16, 64)


@probe(
    matters="Processes that share a log and count on O_APPEND tear their records past this size.",
    advice="Append a whole record by one write(), and hold an exclusive lock while you do.",
    symptoms=[
        "log lines of several processes are mixed, interleaved or torn",
        "concurrent appends to one log file corrupt it",
    ],
    reference="POSIX XSH write(); open(2) O_APPEND, BUGS Linux; write(2) FreeBSD",
    scope=CONFIGURED,
)
def append_whole_kib() -> int:
    """Up to how many KiB do O_APPEND writes of 8 processes stay whole?

    One of 1, 4, 16 and 64 KiB, or 0.  A torn write is certain to be seen if a writer can sleep
    half-way, as over a network file system; if half-way lasts a microsecond, only now and then.
    """
    logs = [(f"log-{size}k", 1024 * size) for size in KIBIBYTES]
    for name, _ in logs:
        os.close(_make_file(name))
    start, go = os.pipe()
    # How many records each writer has begun, in shared memory.
    with mmap.mmap(-1, WRITERS) as begun, contextlib.ExitStack() as running:

        def writer(number: int) -> Callable[[Channel], None]:
            def run(_: Channel) -> None:
                os.close(go)
                os.read(start, 1)  # Returns when every process has closed its `go`.
                try:
                    for name, size in logs:
                        _append_records(number, name, bytes([number]) * size, begun)
                finally:
                    begun[number] = 255

            return run

        writers = [running.enter_context(children.fork(writer(n))) for n in range(WRITERS)]
        os.close(go)
        for child in writers:
            child.receive()
    largest = 0
    for kibibytes, (name, size) in zip(KIBIBYTES, logs):
        with open(name, "rb") as log:
            found = sorted(iter(lambda: log.read(size), b""))  # noqa: B023
        if found != [bytes([number]) * size for number in range(WRITERS) for _ in range(RECORDS)]:
            break
        largest = kibibytes
    return largest


def _append_records(number: int, name: str, record: bytes, begun: mmap.mmap) -> None:
    """Append ``record`` RECORDS times, each time when every writer is about to append."""
    log = os.open(name, os.O_WRONLY | os.O_APPEND)
    for turn in range(begun[number] + 1, begun[number] + 1 + RECORDS):
        begun[number] = turn
        while min(begun[:]) < turn:
            _yield_processor()
        written = libc.call("write", log, record, len(record))
        if written < len(record):
            # On a full disk this fails with ENOSPC; otherwise the record may now be torn.
            libc.call("write", log, record[written:], len(record) - written)
    os.close(log)


_yield_processor: Callable[[], None] = getattr(os, "sched_yield", lambda: time.sleep(0))


@probe(
    matters="A program that patches a record in place by pwrite() appends a second one instead.",
    advice="Open a second descriptor without O_APPEND to write at an offset.",
    symptoms=[
        "pwrite() writes at the end, not at the offset: O_APPEND",
    ],
    reference="POSIX XSH pwrite(); pread(2) BUGS Linux; write(2) BUGS FreeBSD",
    documented={"linux": True, "freebsd": True, "posix": False},
)
def pwrite_ignores_offset_with_append() -> bool:
    """Does pwrite() to an O_APPEND file append, whatever the offset?"""
    descriptor = _make_file("data", b"old", os.O_RDWR | os.O_APPEND)
    libc.call("pwrite", descriptor, b"new", 3, 0)
    with open("data", "rb") as file:
        return file.read() == b"oldnew"


@probe(
    matters="Children that read an inherited log race on one offset: each sees parts of it.",
    advice="Open the file in each process, or read with pread() and your own offset.",
    symptoms=[
        "parent skips lines or reads twice after fork: shared file position",
        "stdin is consumed by the child",
    ],
    reference="POSIX XSH fork(); fork(2)",
    documented={"posix": True},
)
def offset_shared_after_fork() -> bool:
    """Does a read in a child move its parent's file offset?"""
    descriptor = _make_file("data", b"0123456789")
    children.run_in_child(lambda: libc.call("read", descriptor, ctypes.create_string_buffer(4), 4))
    return _get_position(descriptor) == 4


@probe(
    matters="Two parts of a daemon that read through duplicates take bytes from each other.",
    advice="Open the file again for an independent reader; dup() does not make one.",
    symptoms=[
        "seek on one descriptor moves the other: dup shares the file position",
    ],
    reference="POSIX XSH dup(); dup(2)",
    documented={"posix": True},
)
def offset_shared_by_dup() -> bool:
    """Does a read through a duplicate made by dup() move the original's offset?"""
    return _reads_move_offset(lambda descriptor: libc.call("dup", descriptor))


@probe(
    matters="If a second open() shared the offset, no two readers of a log would be independent.",
    advice="Open the file in each reader: then each has its own offset and its own flock().",
    symptoms=[
        "two opens of one file: independent file position",
    ],
    reference="POSIX XSH open(); open(2)",
    documented={"posix": False},
)
def offset_shared_by_new_open() -> bool:
    """Does a read through a second open() move the first one's offset?"""
    return _reads_move_offset(lambda _: os.open("data", os.O_RDONLY))


def _reads_move_offset(another: Callable[[int], int]) -> bool:
    """Return whether a read through ``another`` descriptor moves the first one's offset."""
    descriptor = _make_file("data", b"0123456789")
    libc.call("read", another(descriptor), ctypes.create_string_buffer(4), 4)
    return _get_position(descriptor) == 4


@probe(
    matters="A reader that has a configuration file open while it is replaced reads a mixture.",
    advice="Replace a file by rename() of a complete one; never write into it in place.",
    symptoms=[
        "log rotation: process still reads or writes the old, deleted file",
        "config or certificate is replaced by rename, the old one stays open",
    ],
    reference="POSIX XSH rename(); rename(2)",
    documented={"posix": True},
)
def rename_over_open() -> bool:
    """Can an open file still be read after another is renamed over it?"""
    descriptor = _make_file("target", b"old")
    os.close(_make_file("fresh", b"new"))
    os.rename("fresh", "target")
    with open("target", "rb") as target:
        return (os.read(descriptor, 16), target.read()) == (b"old", b"new")


@probe(
    matters="A Python daemon that calls os.sendfile fails on OpenBSD and NetBSD.",
    advice="Fall back to os.pread and socket.send where os.sendfile is missing.",
    symptoms=[
        "AttributeError: module os has no attribute sendfile",
    ],
    reference="Python library reference: os.sendfile",
    light=True,
)
def python_has_sendfile() -> bool:
    """Does Python provide os.sendfile?"""
    return hasattr(os, "sendfile")


DATA = b"0123456789"


def _sendfile(out: int, source: int, offset: int, count: int) -> int:
    """Call sendfile() in this platform's form; return how many bytes it says it sent."""
    sent = ctypes.c_int64(count)
    if libc.FREEBSD or libc.DRAGONFLY:
        libc.call("sendfile", source, out, offset, count, None, ctypes.byref(sent), 0)
        return sent.value
    if libc.MACOS:
        libc.call("sendfile", source, out, offset, ctypes.byref(sent), None, 0)
        return sent.value
    # The call with a 64-bit offset: that of the plain one may have 32 bits.
    name = "sendfile64" if libc.has("sendfile64") else "sendfile"
    return libc.call(name, out, source, ctypes.byref(ctypes.c_int64(offset)), count)


def _send_to_socket(source: int, offset: int, count: int) -> tuple[int, bytes]:
    """Return what sendfile() returned, -1 for an error, and the bytes that the peer received."""
    with sockets.connect_pair() as (client, server):
        try:
            said = _sendfile(client.fileno(), source, offset, count)
        except OSError:
            said = -1
        client.shutdown(socket.SHUT_WR)
        return said, b"".join(iter(lambda: server.recv(4096), b""))


def _send_part(source: int) -> None:
    """Send DATA[2:7] from ``source``, a file with DATA in it; raise Unsupported if it fails."""
    if _send_to_socket(source, 2, 5) != (5, DATA[2:7]):
        raise Unsupported("sendfile() exists but moves no bytes of this file into a socket")


@probe(
    matters="A server that counts on sendfile() sends nothing at all if it fails.",
    advice="Fall back on read() and write() when sendfile() is missing or fails at the first byte.",
    symptoms=[
        "sendfile() fails with ENOSYS, EINVAL, EOPNOTSUPP, Function not implemented",
        "static files are served empty or slowly: sendfile",
    ],
    reference="sendfile(2) Linux, FreeBSD, macOS; not in POSIX",
    documented={"linux": True, "freebsd": True, "macos": True},
)
def sendfile_to_socket() -> bool:
    """Can sendfile() send part of a file to a socket?"""
    return _send_to_socket(_make_file("data", DATA), 2, 5) == (5, DATA[2:7])


@probe(
    matters="Arguments in another system's order name the wrong descriptor or offset.",
    advice="Write one wrapper per platform; the name sendfile() promises nothing.",
    symptoms=[
        "sendfile() does not compile or sends to the wrong descriptor on FreeBSD or macOS: "
        "arguments, signature",
    ],
    reference="sendfile(2) Linux, FreeBSD, macOS",
    documented={
        "linux": "out, in, offset, count",
        "freebsd": "in, out, offset, count, headers, sent",
        "macos": "in, out, offset, length, headers",
    },
)
def sendfile_order() -> str:
    """In which order does sendfile() take its arguments?"""
    source = _make_file("data", DATA)
    for order in _SENDFILE_ORDERS:
        # In a child, because the call may take arguments of another order for addresses.
        with contextlib.suppress(children.ChildDied):
            if children.run_in_child(functools.partial(_moves_data, order, source)):
                return order
    _send_part(source)  # Raises if sendfile() does not work at all.
    raise Unsupported("sendfile() takes its arguments in an order that the lab does not know")


_SENDFILE_ORDERS: dict[str, Callable[[int, int], tuple[Any, ...]]] = {
    # Linux and illumos; FreeBSD and DragonFly; macOS.
    "out, in, offset, count": lambda out, source: (
        c_int(out), c_int(source), ctypes.byref(c_int64(2)), c_size_t(5)
    ),
    "in, out, offset, count, headers, sent": lambda out, source: (
        c_int(source), c_int(out), c_int64(2), c_size_t(5), None, ctypes.byref(c_int64()), 0
    ),
    "in, out, offset, length, headers": lambda out, source: (
        c_int(source), c_int(out), c_int64(2), ctypes.byref(c_int64(5)), None, 0
    ),
}  # fmt: skip
"""The arguments that send DATA[2:7] from the descriptor ``source`` to ``out``."""


def _moves_data(order: str, source: int) -> bool:
    """Return whether sendfile() with its arguments in this order sends DATA[2:7] to a socket."""
    # With a 64-bit offset: that of the plain call may have 32 bits.
    large = order.startswith("out") and libc.has("sendfile64")
    function = libc.get_function("sendfile64" if large else "sendfile")
    # Untyped, so that it takes any arguments; zeros follow, for orders with more of them.
    call = ctypes.CFUNCTYPE(c_int)(ctypes.cast(function, ctypes.c_void_p).value or 0)
    with sockets.connect_pair() as (client, server):
        call(*_SENDFILE_ORDERS[order](client.fileno(), source), None, None, None)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: server.recv(4096), b"")) == DATA[2:7]


@probe(
    matters="Readers that share a descriptor skip what another reader's sendfile() has sent.",
    advice="Pass an offset to sendfile(), and keep it yourself.",
    symptoms=[
        "the same part of a file is sent again after sendfile(): file position does not move",
    ],
    reference="sendfile(2) Linux",
    documented={"linux": True},
)
def sendfile_keeps_offset() -> bool:
    """Does sendfile() with an offset leave the file offset unchanged?"""
    source = _make_file("data", DATA)
    os.lseek(source, 3, os.SEEK_SET)
    _send_part(source)
    return _get_position(source) == 3


@probe(
    matters="Copying from file to file with sendfile() works only on Linux.",
    advice="Copy files by copy_file_range() or read() and write(); use sendfile() for sockets.",
    symptoms=[
        "copying a file with sendfile() fails: ENOTSOCK, EINVAL, Socket operation on non-socket",
        "fast copy falls back",
    ],
    reference="sendfile(2) Linux (since 2.6.33); sendfile(2) ERRORS FreeBSD, macOS",
    documented={"linux": "ok", "freebsd": "ENOTSOCK", "macos": "ENOTSOCK"},
)
def sendfile_to_file() -> str:
    """What does sendfile() from a file to a file return?"""
    target = _make_file("copy")
    try:
        _sendfile(target, _make_file("data", DATA), 2, 5)
    except OSError as error:
        return _name_error(error)
    os.lseek(target, 0, os.SEEK_SET)
    return "ok" if os.read(target, 16) == DATA[2:7] else "nothing sent"


@probe(
    matters="A loop that waits for sendfile() to fail at the end of the file never ends.",
    advice="Take 0 bytes sent as the end of the file.",
    symptoms=[
        "sendfile() returns 0 and loops for ever at the end of a file that was truncated",
    ],
    reference="sendfile(2) FreeBSD, macOS",
    documented={"freebsd": True, "macos": True},
)
def sendfile_at_end() -> bool:
    """Does sendfile() at the end of the file send 0 bytes, without an error?"""
    return _send_to_socket(_make_file("data", DATA), len(DATA), 5) == (0, b"")


ROOM = 512
"""KiB on the small file system that is filled."""
TOO_MUCH = bytes(2 * 1024 * ROOM)

# FreeBSD, NetBSD: vn_write sets IO_UNIT, so the file system takes all of a write or nothing.
# UFS cuts the file back to its old end; tmpfs makes room for all before it begins.
_ALL_OR_NOTHING = dict.fromkeys(("freebsd", "netbsd"), "ENOSPC")
_NOTHING_LEFT = dict.fromkeys(_ALL_OR_NOTHING, "nothing")


def _write(descriptor: int, data: bytes) -> tuple[str, int]:
    """Return ``whole``, ``partial`` or an error's name, and how many bytes write() took."""
    try:
        written = libc.call("write", descriptor, data, len(data))
    except OSError as error:
        return libc.name_errno(error.errno), 0
    return "whole" if written == len(data) else "partial", written


class _Filled(NamedTuple):
    """What two writes did that had more than the disk had room for."""

    first: str
    written: int
    """By the first write()."""
    size: int
    """Of the file after the first write()."""
    next: str


def _fill_disk() -> _Filled:
    """Write twice to a file on a small file system, more than it has room for.

    Raises Blocked if the limit of file sizes came before the disk was full.
    """
    with privileges.mount_small_filesystem(ROOM) as folder:
        log = os.open(os.path.join(folder, "log"), os.O_RDWR | os.O_CREAT, 0o600)
        first, written = _write(log, TOO_MUCH)
        size = os.fstat(log).st_size
        filled = _Filled(first, written, size, _write(log, TOO_MUCH)[0])
    if "EFBIG" in (filled.first, filled.next):
        raise Blocked(refusals.LIMITS[errno.EFBIG])
    return filled


@probe(
    matters="A logger that takes any write() of more than 0 bytes as done leaves half a record.",
    advice="Compare what write() returns with what you asked for, and write the rest.",
    symptoms=[
        "No space left on device: part of a line was written, short write",
        "half a record at the end of the log after the disk was full",
    ],
    reference="POSIX XSH write(); ffs_vnops.c, tmpfs_vnops.c FreeBSD: IO_UNIT",
    documented={"posix": "partial", **_ALL_OR_NOTHING},
)
def full_disk_first_write() -> Sample:
    """What does write() return if the disk has less room than it needs?"""
    filled = _fill_disk()
    return Sample(filled.first, filled.written)


@probe(
    matters="A daemon that repeats a short write() never gets on if the next one does not fail.",
    advice="At ENOSPC give up the record: cut the file back to where it began, and report it.",
    symptoms=[
        "No space left on device, ENOSPC, on write",
    ],
    reference="POSIX XSH write() ERRORS",
    documented={"posix": "ENOSPC"},
)
def full_disk_next_write() -> str:
    """What does the next write() return once the disk is full?"""
    return _fill_disk().next


@probe(
    matters="The next reader of the log takes what a failed write left for a record.",
    advice="Note the size before you append, and ftruncate() to it when write() came up short.",
    symptoms=[
        "file is truncated or corrupt after No space left on device",
        "empty or partial config after the disk was full",
    ],
    reference="POSIX XSH write(); ffs_vnops.c, tmpfs_vnops.c FreeBSD: IO_UNIT",
    documented={"posix": "the written part", **_NOTHING_LEFT},
)
def full_disk_leaves() -> str:
    """What does the file contain after a write() that did not fit on the disk?"""
    filled = _fill_disk()
    if filled.size == 0:
        return "nothing"
    return "the written part" if filled.size == filled.written else "more than was written"


def _write_past_limit() -> Sequence[str]:
    """Return the results of two writes; the first begins below RLIMIT_FSIZE and ends past it."""
    limit = 1000
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    if hard != resource.RLIM_INFINITY and hard < limit:
        raise Blocked(refusals.LIMITS[errno.EFBIG])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    log = _make_file("log")
    results = [_write(log, bytes(limit + 500))[0] for _ in range(2)]
    if "ENOSPC" in results:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return results


@probe(
    matters="A log that reaches its limit ends in half a record, and every later one is lost.",
    advice="Handle short writes and EFBIG, or raise RLIMIT_FSIZE, or rotate below it.",
    symptoms=[
        "File too large, EFBIG: ulimit -f",
        "write stops at the file size limit",
    ],
    reference="POSIX XSH write(); setrlimit(2)",
    documented={"posix": "partial, then EFBIG"},
)
def fsize_limit_write() -> str:
    """With SIGXFSZ ignored, what do writes past RLIMIT_FSIZE return?"""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    return ", then ".join(_write_past_limit())


@probe(
    matters="A daemon whose log reaches RLIMIT_FSIZE is killed, unless it ignores SIGXFSZ.",
    advice="Ignore SIGXFSZ explicitly: write() then fails with EFBIG.",
    symptoms=[
        "File size limit exceeded (core dumped), SIGXFSZ, ulimit -f",
    ],
    reference="POSIX XSH write(); POSIX XBD <signal.h>",
    documented={"posix": True},
)
def fsize_limit_kills() -> bool:
    """Does SIGXFSZ kill a process that writes past RLIMIT_FSIZE?"""

    def subject(_: Channel) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        _write_past_limit()

    with children.fork(subject) as child:
        status = child.wait()
        if os.WIFSIGNALED(status):
            return os.WTERMSIG(status) == signal.SIGXFSZ
        child.receive()  # Raises if something kept the child from the limit.
        return False


@contextlib.contextmanager
def _make_pipe() -> Iterator[tuple[int, int]]:
    """Yield both ends of a pipe; close those that are still open at the end."""
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            with contextlib.suppress(OSError):
                os.close(end)


def _try_open(path: str, flags: int) -> str:
    try:
        os.close(os.open(path, flags))
    except OSError as error:
        return _name_error(error)
    return "ok"


@probe(
    matters="A daemon that opens its FIFO to write before anyone reads it takes this for a fault.",
    advice="On ENXIO try again later, or open the FIFO for reading yourself first.",
    symptoms=[
        "open of a named pipe fails: ENXIO, No such device or address",
        "mkfifo: writer without reader, O_NONBLOCK",
    ],
    reference="POSIX XSH open(); fifo(7)",
    documented={"posix": "ENXIO"},
)
def fifo_nonblock_write_without_reader() -> str:
    """What does a non-blocking open of a FIFO without a reader return?"""
    os.mkfifo("fifo")
    return _try_open("fifo", os.O_WRONLY | os.O_NONBLOCK)


@probe(
    matters="No standard lets a daemon keep its FIFO open by opening it for reading and writing.",
    advice="Open the FIFO once to read and once to write, each non-blocking, in that order.",
    symptoms=[
        "open of a named pipe hangs until the other side opens it",
        "reader of a FIFO gets end of file whenever a writer leaves",
    ],
    reference="POSIX XSH open(): undefined; fifo(7) Linux",
    documented={"linux": "ok"},
)
def fifo_open_read_write() -> str:
    """What does opening a FIFO for reading and writing return?"""
    os.mkfifo("fifo")
    return _try_open("fifo", os.O_RDWR | os.O_NONBLOCK)


@probe(
    matters="A tool that recognises a stale socket by open()'s error works on one platform only.",
    advice="Use lstat() and S_ISSOCK, and connect() to learn whether a process listens.",
    symptoms=[
        "No such device or address, ENXIO, when opening a Unix socket like a file",
        "cat or open of /dev/log, /dev/stderr or docker.sock fails",
    ],
    reference="open(2) ERRORS Linux, FreeBSD",
    documented={"linux": "ENXIO", "freebsd": "EOPNOTSUPP"},
)
def open_socket_file() -> str:
    """What does open() of a Unix socket's file return?"""
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        return _try_open("socket", os.O_RDONLY | os.O_NONBLOCK)


@probe(
    matters="Messages longer than this from several writers of one pipe come out torn.",
    advice="Keep messages in a shared pipe within 512 bytes (POSIX's minimum), or use datagrams.",
    symptoms=[
        "messages of several writers to one pipe are interleaved or split",
        "PIPE_BUF, atomic pipe writes",
    ],
    reference="POSIX XSH fpathconf(); pipe(7) Linux",
    documented={"linux": 4096, **dict.fromkeys(("freebsd", "netbsd", "openbsd", "macos"), 512)},
    light=True,
)
def pipe_buf() -> Any:
    """Up to how many bytes are writes to a pipe never split?

    The smaller of what fpathconf() promises and the kernel keeps together; the raw sample has both
    numbers if they differ.
    """
    with _make_pipe() as (reading, writing):
        return _find_largest_whole(reading, writing)


def _find_largest_whole(reading: int, writing: int) -> Any:
    promised = os.fpathconf(reading, "PC_PIPE_BUF")
    capacity = blocking.fill(writing)
    os.set_blocking(writing, False)

    def whole(size: int) -> bool:
        """Return whether a pipe with room for a part of ``size`` bytes refuses that part."""
        return not any(
            0 < _write_into_room(reading, writing, capacity, size, room) < size
            for room in (1, size // 2, size - 1)
        )

    kept, torn = (promised, capacity + 1) if whole(promised) else (1, promised)
    if kept == promised and not whole(promised + 1):
        return promised
    while kept + 1 < torn:
        middle = (kept + torn) // 2
        kept, torn = (middle, torn) if whole(middle) else (kept, middle)
    return Sample(min(kept, promised), {"PC_PIPE_BUF": promised, "kept": kept})


def _write_into_room(reading: int, writing: int, capacity: int, size: int, room: int) -> int:
    """Take ``room`` bytes out of a full pipe, and write ``size``; return how many it took.

    The pipe is full before and after.
    """
    # Linux counts in pages, each with the bytes of one write: empty whole pages.
    page = os.sysconf("SC_PAGE_SIZE")
    pages = -(-size // page) * page
    emptied = len(os.read(reading, min(pages, capacity)))
    if room < emptied:
        os.write(writing, bytes(emptied - room))
    try:
        taken = os.write(writing, bytes(size))
    except BlockingIOError:
        taken = 0
    blocking.fill(writing)
    os.set_blocking(writing, False)
    return taken


@probe(
    matters="A daemon that writes more than this to a child that does not read yet blocks.",
    advice="Read while you write, or make the descriptor non-blocking and poll it.",
    symptoms=[
        "child hangs when its output fills the pipe: subprocess wait() deadlock",
        "64 KiB pipe buffer, F_SETPIPE_SZ",
    ],
    reference="pipe(7) Pipe capacity Linux",
    documented={"linux": 65536},
    scope=CONFIGURED,
    light=True,
)
def pipe_capacity() -> int:
    """How many bytes does a pipe hold before a write blocks?"""
    with _make_pipe() as (_, writing):
        return blocking.fill(writing)


def _poll_at_once(descriptor: int) -> str:
    """Return the events, as ``IN|HUP``, that poll() reports at once for input and output."""
    return "|".join(blocking.poll(descriptor, "IN", "OUT", milliseconds=0)) or "nothing"


@probe(
    matters="A loop that checks only POLLIN spins, because it never reads the end of file.",
    advice="Read on POLLIN and on POLLHUP; only 0 bytes read is the end.",
    symptoms=[
        "poll() on a pipe spins or never returns at end of file: POLLHUP without POLLIN",
        "child's output ended, event loop at 100 % CPU",
    ],
    reference="POSIX XSH poll(); poll(2)",
    light=True,
)
def poll_pipe_writer_closed() -> str:
    """Which poll() events report that the writer of an empty pipe closed?"""
    with _make_pipe() as (reading, writing):
        os.close(writing)
        return _poll_at_once(reading)


@probe(
    matters="A daemon that polls its standard input, /dev/null, spins on it or drops it.",
    advice="Pass poll() only pipes and sockets; for a device or a terminal use select().",
    symptoms=[
        "poll, kqueue or epoll of /dev/null or a tty fails: POLLNVAL, EPERM, EINVAL",
        "stdin is /dev/null: event loop fails to register descriptor 0",
    ],
    reference="POSIX XSH poll(); poll(2); poll(2) BUGS macOS: devices are not supported",
    light=True,
)
def poll_dev_null() -> str:
    """Which poll() events does /dev/null have?"""
    with open(os.devnull, "r+b", buffering=0) as device:
        return _poll_at_once(device.fileno())


@probe(
    matters="A loop that passes one struct timeval to select() again and again stops waiting.",
    advice="Set the timeout before every select(), or use poll().",
    symptoms=[
        "select() in a loop uses less and less time, 100 % CPU: timeout is zero at the second call",
        "timeval must be set again",
    ],
    reference="POSIX XSH select(); select(2) NOTES Linux",
    documented={"linux-glibc": True},
    light=True,
)
def select_modifies_timeout() -> bool:
    """Does select() write the time left into its timeout?"""
    # One that expires: if a wait ends early, a coarse clock may not have moved.
    microsecond = lens.timeval()(0.000001)
    libc.call("select", 0, None, None, None, ctypes.byref(microsecond))
    return (microsecond.seconds, microsecond.part) != (0, 1)


def _accept4() -> list[int]:
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
        listening.bind("listening")
        try:
            listening.listen()
            client.connect("listening")
            return [libc.call("accept4", listening.fileno(), None, None, socket.SOCK_CLOEXEC)]
        finally:
            os.unlink("listening")


def _pipe2() -> list[int]:
    ends = (ctypes.c_int * 2)()
    libc.call("pipe2", ends, os.O_CLOEXEC)
    return list(ends)


def _dup3() -> list[int]:
    with open(os.devnull, "rb", buffering=0) as device:
        other = os.dup(device.fileno())
        try:
            return [libc.call("dup3", device.fileno(), other, os.O_CLOEXEC)]
        except BaseException:
            os.close(other)
            raise


def _f_dupfd_cloexec() -> list[int]:
    command = absent.get_constant(fcntl, "F_DUPFD_CLOEXEC")
    with open(os.devnull, "rb", buffering=0) as device:
        return [libc.call("fcntl", device.fileno(), command, ctypes.c_int(0))]


def _o_cloexec() -> list[int]:
    return [libc.call("open", b".", os.O_RDONLY | os.O_CLOEXEC)]


class _Call:
    """A call that makes a descriptor which is close-on-exec from its first moment."""

    def __init__(self, name: str, make: Callable[[], list[int]]) -> None:
        self.name, self.make = name, make

    def __str__(self) -> str:
        return self.name


@probe(
    each={
        "has_accept4": _Call("accept4()", _accept4),
        "has_pipe2": _Call("pipe2()", _pipe2),
        "has_dup3": _Call("dup3()", _dup3),
        "has_f_dupfd_cloexec": _Call("F_DUPFD_CLOEXEC", _f_dupfd_cloexec),
        "has_o_cloexec": _Call("O_CLOEXEC", _o_cloexec),
    },
    matters="Without it a program that another thread starts inherits the descriptor of {row}.",
    advice="Set FD_CLOEXEC by fcntl() where {row} does not, before anything is started.",
    symptoms=[
        "child inherits sockets and files: port stays in use after the server has ended",
        "descriptor leak into child processes: set close-on-exec atomically, race with fork "
        "in threads",
        "Address already in use because a child still holds the listening socket",
    ],
    reference="POSIX.1-2024 XSH accept4(), pipe2(), dup3(), fcntl(), open()",
    light=True,
)
def cloexec(call: Any) -> bool:
    """Does {row} make a descriptor close-on-exec in one step?"""
    try:
        made = call.make()
    except AttributeError as missing:
        raise Unsupported(f"this system has no {str(missing).split()[-1]}") from None
    try:
        return all(fcntl.fcntl(each, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for each in made)
    finally:
        for each in made:
            os.close(each)


@probe(
    matters="An unprivileged installer that sets the sticky bit on a file fails at one chmod().",
    advice="Set S_ISVTX only on directories.",
    symptoms=[
        "chmod: sticky bit on a file fails with EFTYPE, Inappropriate file type, on FreeBSD",
    ],
    reference="POSIX XSH chmod(); chmod(2) ERRORS FreeBSD",
    documented={"freebsd": "EFTYPE"},
)
def sticky_file_by_user() -> str:
    """What does chmod(01600) of a file do without privileges?"""
    descriptor = _make_file("data")

    def owner() -> str:
        if os.geteuid() == 0:
            user = privileges.require_second_uid()
            try:
                os.fchown(descriptor, user, user)
            except OSError as error:
                # A user namespace without that id, or root without CAP_CHOWN.
                raise Blocked(f"root may not give a file away here ({error.strerror})") from None
            privileges.become_user(user)
        try:
            os.fchmod(descriptor, 0o1600)
        except OSError as error:
            return _name_error(error)
        return "set" if os.fstat(descriptor).st_mode & stat.S_ISVTX else "left out"

    return str(children.run_in_child(owner))
