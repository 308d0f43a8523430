"""Times, pollfd, flock and addresses: another form is found, a wrong one is not believed."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from probes import lens, libc
from probes.lens import structures
from probes.lens.proof import Unproven
from probes.probe import Blocked


@pytest.mark.parametrize(
    ("interpreters", "librarys"), [(64, 32), (32, 64)], ids=["old library", "old interpreter"]
)
def test_two_widths_of_time_t_are_no_answer(
    interpreters: int, librarys: int, change: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(_: object, now: Any) -> int:
        ctypes.memset(now, 0, librarys // 8)
        return 0

    monkeypatch.setattr(libc, "TIME_T_BITS", interpreters)
    change("time", write)
    with pytest.raises(Blocked, match=rf"has {interpreters} bits, but time\(\) writes"):
        lens.time_t()
    monkeypatch.setattr(libc, "TIME_T_BITS", librarys)
    lens.proof._seen.clear()
    assert ctypes.sizeof(lens.time_t()) == librarys // 8


NOW = 1_700_000_000
HALF = 500_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the time to half a second past NOW."""
    stopped = types.SimpleNamespace(time=lambda: NOW + 0.5, CLOCK_REALTIME=0)
    monkeypatch.setattr(structures, "time", stopped)


def pair(raw: bytes, units: int = 1_000_000_000) -> str:
    """Return what the lens finds when a call writes ``raw``."""
    made = structures._find_pair(lambda buffer: ctypes.memmove(buffer, raw, len(raw)), units)
    return str(made)


@pytest.mark.parametrize(
    ("width", "raw", "form"),
    [
        (8, struct.pack("=qq", NOW, HALF), "8 bytes at 0 and 8 bytes at 8"),
        (4, struct.pack("=ii", NOW, HALF), "4 bytes at 0 and 4 bytes at 4"),
        # Linux on SPARC: the microseconds are an int, and any bytes may follow.
        (8, struct.pack("=qii", NOW, HALF, -1), "8 bytes at 0 and 4 bytes at 8"),
        (8, struct.pack("=qiI", NOW, HALF, 0xAAAAAAAA), "8 bytes at 0 and 4 bytes at 8"),
        # The following bytes are not written: a 0 there, as in a program's own, is read as part.
        pytest.param(
            8,
            struct.pack("=qi", NOW, HALF),
            "8 bytes at 0 and 8 bytes at 8",
            marks=pytest.mark.skipif(sys.byteorder == "big", reason="the 0 comes last"),
        ),
    ],
)
@pytest.mark.usefixtures("clock")
def test_a_time_is_found_in_the_form_it_is_told(
    width: int, raw: bytes, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    width_of = {4: ctypes.c_int32, 8: ctypes.c_int64}[width]
    monkeypatch.setattr(structures, "time_t", lambda: width_of)
    assert pair(raw) == form


@pytest.mark.parametrize(
    "raw",
    [
        struct.pack("=qq", NOW + 1, HALF),
        struct.pack("=qq", NOW - 1, HALF),
        struct.pack("=qq", NOW, HALF + 10_000_000),
        struct.pack("=qq", NOW, HALF - 10_000_000),
        # Another unit; more than a second; a negative number.
        struct.pack("=qq", NOW, HALF // 1000),
        struct.pack("=qq", NOW - 1, HALF + 1_000_000_000),
        struct.pack("=qq", NOW + 1, -HALF),
        # More bytes are written than a time has.
        struct.pack("=qqq", NOW, HALF, 0),
        struct.pack("=qqb", NOW, HALF, 0),
        struct.pack("=qq", HALF, NOW),
        struct.pack(">qq" if sys.byteorder == "little" else "<qq", NOW, HALF),
    ],
)
@pytest.mark.usefixtures("clock")
def test_a_time_that_it_is_not_is_unproven(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structures, "time_t", lambda: ctypes.c_int64)
    with pytest.raises(Unproven, match=rf"expected about {NOW}"):
        pair(raw)


def test_times_are_in_their_units(change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for found, units in ((lens.timespec(), 10**9), (lens.timeval(), 10**6)):
        made = found(2.25)
        assert (made.seconds, made.part) == (2, units // 4)
        assert ctypes.sizeof(made) >= 8
    lens.proof._seen.clear()
    # A clock whose fraction has the unit of the other structure is not believed.
    stopped = types.SimpleNamespace(time=lambda: NOW + 0.5, CLOCK_REALTIME=0)
    monkeypatch.setattr(structures, "time", stopped)
    monkeypatch.setattr(structures, "time_t", lambda: ctypes.c_int64)

    def tell(part: int) -> Any:
        raw = struct.pack("=qq", NOW, part)
        return lambda _real, *arguments: ctypes.memmove(
            next(a for a in arguments if not isinstance(a, int)), raw, len(raw)
        )

    change("clock_gettime", tell(500_000))
    change("gettimeofday", tell(500_000_000))
    for see in (lens.timespec, lens.timeval):
        with pytest.raises(Blocked, match="shows the time as"):
            see()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: setattr(entry, "fd", entry.fd + 1),
        lambda entry: setattr(entry, "revents", 0),
        lambda entry: setattr(entry, "revents", entry.revents | select.POLLHUP),
        lambda entry: setattr(entry, "revents", select.POLLIN),
        lambda entry: setattr(entry, "revents", select.POLLOUT),
    ],
    ids=["another descriptor", "nothing", "more", "always readable", "always writable"],
)
def test_a_poll_that_answers_otherwise_is_unproven(spoil: Any, change: Any) -> None:
    def poll(real: Any, entry: Any, *arguments: int) -> int:
        done = int(real(entry, *arguments))
        spoil(entry._obj)
        return done

    change("poll", poll)
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(Blocked, match=r"struct pollfd cannot be trusted here: poll\(\) returns"):
        lens.pollfd()
    assert len(os.listdir("/dev/fd")) == before


def test_a_poll_that_changes_what_was_asked_is_believed(change: Any) -> None:
    def poll(real: Any, entry: Any, *arguments: int) -> int:
        done = int(real(entry, *arguments))
        entry._obj.events |= select.POLLERR | select.POLLHUP  # As gVisor does.
        return done

    change("poll", poll)
    made = lens.pollfd()(fd=3, events=1)
    assert (made.fd, made.events, made.revents, ctypes.sizeof(made)) == (3, 1, 0, 8)


@pytest.mark.parametrize("width", [32, 64])
def test_the_words_of_fd_set_are_as_wide_as_select_takes_them(width: int, change: Any) -> None:
    """A machine that stores the highest byte first, with a descriptor's bit elsewhere."""

    def select_big_endian(_: Any, most: int, asked: Any, *__: Any) -> int:
        named = int.from_bytes(bytes(asked)[: width // 8], "big")
        found = [bit for bit in range(most) if named >> bit & 1]
        for bit in found:
            os.fstat(bit)
        return len(found)

    change("select", select_big_endian)

    class Big(structures.FdSet):
        def __call__(self, *descriptors: int, room: int = 1024) -> Any:
            made = super().__call__(*descriptors, room=room)
            for at, word in enumerate(made):
                made[at] = int.from_bytes(word.to_bytes(self.bits // 8, sys.byteorder), "big")
            return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structures, "FdSet", Big)
        assert str(lens.fd_set()) == f"words of {width} bits"


def test_a_select_that_finds_nothing_is_not_believed(change: Any) -> None:
    change("select", lambda *_: 0)
    with pytest.raises(Blocked, match="fd_set cannot be trusted here: select"):
        lens.fd_set()


LOCK = (fcntl.F_WRLCK, structures._START, structures._LENGTH)
FREE = (fcntl.F_UNLCK, 0, 0, 0)


def answers(
    monkeypatch: pytest.MonkeyPatch, told: Any, outcome: str = "ok", wrong: Any = ()
) -> None:
    """Make F_GETLK return ``told``, and the errors of ``wrong`` for impossible values."""
    refusals = {"l_whence": "EINVAL", "l_type": "EINVAL", "l_start": "EINVAL", **dict(wrong)}

    def asked(form: str, descriptor: int, fields: dict[str, int]) -> tuple[str, Any]:
        for name in fields:
            return refusals[name], FREE
        lock = told if isinstance(told, tuple) else told[form]
        return outcome, (*lock, os.getppid()) if len(lock) == 3 else lock

    monkeypatch.setattr(structures, "_ask", asked)


@pytest.mark.parametrize("told", [LOCK, (*LOCK, -1), FREE], ids=["process", "open file", "free"])
def test_a_lock_that_is_told_as_it_is_proves_the_form(
    told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    structures.folder = str(tmp_path)
    answers(monkeypatch, told)
    assert lens.flock().type is libc.Flock
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("told", "outcome", "wrong"),
    [
        (LOCK, "EINVAL", {}),
        ((fcntl.F_RDLCK, *LOCK[1:]), "ok", {}),
        ((LOCK[0], LOCK[1] + 1, LOCK[2]), "ok", {}),
        ((LOCK[0], LOCK[1], 0), "ok", {}),
        ((*LOCK, 1), "ok", {}),
        (LOCK, "ok", {"l_whence": "ok"}),
        (LOCK, "ok", {"l_type": "ok"}),
        (LOCK, "ok", {"l_start": "ok"}),
        (LOCK, "ok", {"l_whence": "EBADF", "l_type": "EBADF", "l_start": "EBADF"}),
    ],
)
def test_a_lock_that_is_told_otherwise_is_unproven(
    told: Any, outcome: str, wrong: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    structures.folder = str(tmp_path)
    answers(monkeypatch, told, outcome, wrong)
    with pytest.raises(Blocked, match="and EINVAL for wrong fields"):
        lens.flock()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("form", libc.FLOCKS)
def test_the_form_that_fits_is_taken(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    structures.folder = str(tmp_path)
    answers(monkeypatch, {name: LOCK if name == form else (77, 0, 0) for name in libc.FLOCKS})
    found = lens.flock()
    assert found.type is libc.FLOCKS[form]
    assert str(found) == f"{form}'s"


def test_the_lock_of_another_process_is_seen_in_this_platforms_form(tmp_path: Path) -> None:
    structures.folder = str(tmp_path)
    found = lens.flock()
    assert found.type is libc.Flock
    with open(tmp_path / "file", "w+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 3, 1 << 33)
        name = next(name for name, form in libc.FLOCKS.items() if form is found.type)
        told = lens.proof.run_trial(
            lambda: {"told": structures._ask(name, os.open(file.name, os.O_RDWR), {})}
        )["told"]
    assert told == ("ok", (fcntl.F_WRLCK, 1 << 33, 3, os.getpid()))


def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    structures.folder = str(tmp_path)
    monkeypatch.setattr(fcntl, "lockf", refuse)
    with pytest.raises(Blocked, match=r"has no record locks \(ENOLCK\): set TMPDIR to another$"):
        lens.flock()
    assert os.listdir(tmp_path) == []


def test_the_file_for_a_trial_is_where_the_caller_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "TMPDIR", str(tmp_path))
    assert structures._get_scratch() == str(tmp_path)
    structures.folder = "/elsewhere"
    assert structures._get_scratch() == "/elsewhere"
    with pytest.raises(Blocked, match=r"struct flock cannot be asked for here: .*/elsewhere"):
        lens.flock()
    structures.folder = ""
    monkeypatch.delitem(os.environ, "TMPDIR")
    assert structures._get_scratch() == "/tmp"


FAMILY, LENGTH = "a family of 16 bits", "a length and a family of 8 bits each"


@pytest.mark.parametrize(
    ("order", "head", "form"),
    [
        ("little", bytes((socket.AF_UNIX, 0)), FAMILY),
        ("big", bytes((0, socket.AF_UNIX)), FAMILY),
        ("little", bytes((16, socket.AF_UNIX)), LENGTH),
        ("big", bytes((16, socket.AF_UNIX)), LENGTH),
        ("little", bytes((socket.AF_UNIX, 7)), None),
        ("little", bytes((7, 7)), None),
    ],
)
def test_the_head_of_an_address_is_found(
    order: str, head: bytes, form: Any, change: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getsockname(real: Any, descriptor: int, address: Any, size: Any) -> int:
        address[:2] = head
        return 0

    monkeypatch.setattr(sys, "byteorder", order)
    change("getsockname", getsockname)
    if form:
        assert lens.sockaddr() == form
    else:
        with pytest.raises(Blocked, match=f"starts with {head.hex()}, without AF_UNIX"):
            lens.sockaddr()


def test_a_unix_address_is_in_the_form_found(monkeypatch: pytest.MonkeyPatch) -> None:
    unix = socket.AF_UNIX
    monkeypatch.setattr(structures, "sockaddr", lambda: FAMILY)
    assert lens.make_unix_address(b"/a/b") == struct.pack("=H", unix) + b"/a/b"
    monkeypatch.setattr(structures, "sockaddr", lambda: LENGTH)
    assert lens.make_unix_address(b"/a/b") == bytes((6, unix)) + b"/a/b"


def test_a_unix_address_is_one_that_a_socket_binds_to(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "s")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as bound:
        address = lens.make_unix_address(path)
        libc.call("bind", bound.fileno(), address, len(address))
        assert bound.getsockname() == os.fsdecode(path)
