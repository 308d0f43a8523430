"""The C library's calls are looked up by the names that programs built here are linked to."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import time
from typing import Any

import pytest

from probes import libc
from tests.worlds import ROOT


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the interpreter seem to have pointers and a time_t of so many bits."""

    def build(pointer: int, time_t: int) -> None:
        monkeypatch.setattr(ctypes, "sizeof", lambda type: pointer // 8)
        monkeypatch.setattr(libc, "TIME_T_BITS", time_t)
        monkeypatch.setattr(libc, "NETBSD", False)

    return build


TIMES = ["clock_gettime", "gettimeofday", "gmtime", "nanosleep", "select", "sigtimedwait", "time"]


@pytest.mark.parametrize(
    ("pointer", "time_t", "of_time", "of_offset", "lseek"),
    [
        (64, 64, [], [], []),
        # Old 32-bit glibc, and its large files; then that of Debian 13, and musl.
        (32, 32, [], ["{}64"], []),
        (32, 64, ["__{}64", "__{}_time64"], ["{}64"], ["lseek64"]),
    ],
)
def test_a_call_is_linked_as_a_programs_own(
    pointer: int, time_t: int, of_time: list[str], of_offset: list[str], lseek: list[str],
    built: Any,
) -> None:  # fmt: skip
    built(pointer, time_t)
    for name in TIMES:
        assert libc._list_symbols(name) == [*(form.format(name) for form in of_time), name]
    for name in ("pwrite", "lockf"):
        assert libc._list_symbols(name) == [*(form.format(name) for form in of_offset), name]
    assert libc._list_symbols("lseek") == [*lseek, "lseek"]
    assert libc._list_symbols("read") == ["read"]
    assert libc._list_symbols("sigaction") == ["sigaction"]


@pytest.mark.parametrize(("pointer", "time_t"), [(64, 64), (32, 64), (32, 32)])
def test_netbsd_renames_calls_whose_types_changed(
    pointer: int, time_t: int, built: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(pointer, time_t)
    monkeypatch.setattr(libc, "NETBSD", True)
    assert libc._list_symbols("sigaction") == ["__sigaction14"]
    assert libc._list_symbols("nanosleep") == ["__nanosleep50"]
    assert libc._list_symbols("read") == ["read"]


def test_the_first_symbol_there_is_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libc, "_list_symbols", lambda name: ["no_such_call", "dup", name])
    monkeypatch.setattr(libc, "_PROTOTYPES", {"dup2": (ctypes.c_int, [ctypes.c_int])})
    assert libc._find_functions()["dup2"].__name__ == "dup"
    monkeypatch.setattr(libc, "_list_symbols", lambda name: ["no_such_call"])
    assert libc._find_functions() == {}


@pytest.mark.parametrize("error", [OverflowError, OSError, ValueError])
def test_an_interpreter_that_cannot_tell_a_far_time_has_32_bits(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_32_bits(seconds: int) -> None:
        if seconds >= 1 << 31:
            raise error("timestamp out of range for platform time_t")

    assert libc._time_t_is_64_bit() == (libc.TIME_T_BITS == 64)
    monkeypatch.setattr(time, "gmtime", of_32_bits)
    assert not libc._time_t_is_64_bit()
    monkeypatch.setattr(time, "gmtime", lambda seconds: None)
    assert libc._time_t_is_64_bit()


@pytest.mark.parametrize(("last", "bits"), [(1 << 31, "32"), (1 << 62, "64")])
def test_the_interpreter_tells_the_width_of_time_t(last: int, bits: str) -> None:
    program = f"""
import time
def gmtime(seconds):
    if seconds >= {last}:
        raise OverflowError("timestamp out of range for platform time_t")
time.gmtime = gmtime
from probes import libc
print(libc.TIME_T_BITS)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [bits]


# As in the headers that libc.py names, in bytes from the start.
OFFSETS = {
    "Linux": {"l_type": 0, "l_whence": 2, "l_start": 8, "l_len": 16, "l_pid": 24},
    "BSD": {"l_start": 0, "l_len": 8, "l_pid": 16, "l_type": 20, "l_whence": 22, "l_sysid": 24},
    "illumos": {
        "l_type": 0, "l_whence": 2, "l_start": 8, "l_len": 16, "l_sysid": 24, "l_pid": 28,
        "l_pad": 32,
    },
}  # fmt: skip


@pytest.mark.skipif(ctypes.alignment(ctypes.c_int64) != 8, reason="where an int64_t is aligned")
@pytest.mark.parametrize("form", libc.FLOCKS)
def test_a_struct_flock_is_laid_out_as_its_header_says(form: str) -> None:
    made = libc.FLOCKS[form]
    fields = [name for name, *_ in made._fields_]
    assert {name: getattr(made, name).offset for name in fields} == OFFSETS[form]
    sizes = {"l_type": 2, "l_whence": 2, "l_start": 8, "l_len": 8, "l_pid": 4, "l_sysid": 4}
    for name in set(fields) & set(sizes):
        assert getattr(made, name).size == sizes[name]
    # All of them are signed: -1 must be read back as -1.
    lock = made(**{name: -1 for name in fields if name in sizes})
    assert {getattr(lock, name) for name in fields if name in sizes} == {-1}


@pytest.mark.parametrize("written", [b"", b"\xaa", b"\x55", b"abc\xaa", b"abc\x55", b"\0" * 512])
def test_how_far_a_call_writes_is_seen_whatever_it_writes(written: bytes) -> None:
    def fill(buffer: Any) -> None:
        ctypes.memmove(buffer, written, len(written))

    assert libc.measure_extent(fill) == len(written)
