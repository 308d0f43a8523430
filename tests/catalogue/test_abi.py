"""The abi family can be wrong: change the world, see the answers flip."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes import Report, compiler
from tests.needs import needs
from tests.worlds import flipped, measure, needs_linux, shim

HEADERS = r"""
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
"""


def write_snprintf(conversion: str) -> str:
    """Return a snprintf() that takes the argument of this conversion to have 32 bits."""
    return (
        "int snprintf(char *to, size_t n, const char *how, ...) { va_list rest, again;"
        " va_start(rest, how); va_copy(again, rest); unsigned given = va_arg(again, unsigned);"
        f' int length = strcmp(how, "{conversion}") ? vsnprintf(to, n, how, rest)'
        ' : (snprintf)(to, n, "%x", given); va_end(rest); va_end(again); return length; }'
    )


WORLDS = {
    "long has 32 bits": (write_snprintf("%lx"), {"abi.long_bits": "32"}),
    "pointers have 32 bits": (write_snprintf("%p"), {"abi.pointer_bits": "32"}),
    "size_t has 32 bits": (write_snprintf("%zx"), {"abi.size_t_bits": "32"}),
    "wchar_t has 16 bits": (
        r"""
        wchar_t *wmemset(wchar_t *to, wchar_t c, size_t n)
        {
            for (size_t i = 0; i < n; i++) ((short *)to)[i] = c;
            return to;
        }
        """,
        {"abi.wchar_t_bits": "16"},
    ),
    "off_t has 32 bits": (
        "off_t lseek(int fd, off_t to, int from) { return REAL(lseek)(fd, (int)to, from); }",
        {"abi.off_t_bits": "32"},
    ),
    "off_t has 32 bits, and the upper half is taken for SEEK_END": (
        "off_t lseek(int fd, off_t to, int from) { return REAL(lseek)(fd, (int)to, to >> 32); }",
        {"abi.off_t_bits": "32"},
    ),
    "the large-file off_t has 32 bits": (
        "off64_t lseek64(int fd, off64_t to, int from){ return REAL(lseek64)(fd, (int)to, from); }",
        {"abi.off_t_bits_large_file": "32"},
    ),
    "sigaction leaves sa_restorer alone": (
        r"""
        int sigaction(int signum, const struct sigaction *act, struct sigaction *old)
        {
            struct sigaction read;
            int done = REAL(sigaction)(signum, act, old ? &read : NULL);
            if (old && done == 0) memcpy(old, &read, offsetof(struct sigaction, sa_flags) + 4);
            return done;
        }
        """,
        {"abi.sigaction_fills_bytes": "140"},
    ),
    "char is unsigned": (
        r"""
        struct lconv *localeconv(void)
        {
            static struct lconv made;
            made = *REAL(localeconv)();
            made.int_frac_digits = (char)UCHAR_MAX;
            return &made;
        }
        """,
        {"abi.char_signed": "no"},
    ),
    "time ends in 2038": (
        r"""
        struct tm *gmtime(const time_t *when)
        {
            if (*when > INT_MAX) return errno = EOVERFLOW, NULL;
            return REAL(gmtime)(when);
        }
        """,
        {"abi.time_after_2038": "no"},
    ),
    "time goes back to 1901 in 2038": (
        r"""
        struct tm *gmtime(const time_t *when)
        {
            time_t wrapped = (int)*when;
            return REAL(gmtime)(&wrapped);
        }
        """,
        {"abi.time_after_2038": "no"},
    ),
    "struct tm begins otherwise": (
        r"""
        struct tm *gmtime(const time_t *when)
        {
            static int other[32];
            memcpy(other + 1, REAL(gmtime)(when), sizeof(struct tm));
            return (struct tm *)other;
        }
        """,
        {"abi.time_after_2038": "blocked"},
    ),
    "struct lconv is laid out otherwise": (
        r"""
        struct lconv *localeconv(void)
        {
            static struct lconv made;
            made = *REAL(localeconv)();
            made.int_frac_digits = 2;
            return &made;
        }
        """,
        {"abi.char_signed": "blocked"},
    ),
    "files' times end in 2038": (
        r"""
        int utimensat(int folder, const char *path, const struct timespec given[2], int flags)
        {
            struct timespec kept[2] = {given[0], given[1]};
            for (int i = 0; i < 2; i++) if (kept[i].tv_sec > INT_MAX) kept[i].tv_sec = INT_MAX;
            return REAL(utimensat)(folder, path, kept, flags);
        }
        """,
        {"abi.file_time_after_2038": "no"},
    ),
}


SHIMS = {world: (HEADERS + source, expected) for world, (source, expected) in WORLDS.items()}


PYTHON_OF_32_BITS = """
import time
gmtime = time.gmtime
def of_32_bits(seconds=None):
    if seconds and seconds >= 2**31:
        raise OverflowError("timestamp out of range for platform time_t")
    return gmtime(seconds)
time.gmtime = of_32_bits
"""


@needs_linux
@pytest.mark.parametrize("interpreter_too", [True, False])
def test_a_time_of_32_bits_flips_its_width(
    interpreter_too: bool, tmp_path: Path, here: Report
) -> None:
    source = r"""
    time_t time(time_t *to)
    {
        time_t now = REAL(time)(NULL);
        if (to) memcpy(to, &now, 4);
        return now;
    }
    """
    if interpreter_too:
        (tmp_path / "sitecustomize.py").write_text(PYTHON_OF_32_BITS)
    # Only this family: with a library whose time() and nanosleep() disagree on time_t, a probe
    # that waits has no right answer.
    world = {**shim(tmp_path, HEADERS + source), "PYTHONPATH": str(tmp_path)}
    changed = flipped(here, measure("--only=abi", environment=world))
    # The C library and the interpreter disagree, so there is no answer.
    expected = {"abi.time_t_bits": (here["abi.time_t_bits"].answer, "32")}
    if not interpreter_too:
        expected = {
            id: (here[id].answer, "blocked") for id in ("abi.time_t_bits", "abi.time_after_2038")
        }
    assert changed == expected


# The same according to the C compiler, with the library's defaults.
DECLARED = {
    "long_bits": ("8 * sizeof(long)", "stddef.h"),
    "pointer_bits": ("8 * sizeof(void *)", "stddef.h"),
    "size_t_bits": ("8 * sizeof(size_t)", "stddef.h"),
    "wchar_t_bits": ("8 * sizeof(wchar_t)", "wchar.h"),
    "time_t_bits": ("8 * sizeof(time_t)", "time.h"),
    "off_t_bits": ("8 * sizeof(off_t)", "sys/types.h"),
    "sigset_t_bytes": ("sizeof(sigset_t)", "signal.h"),
    "sa_flags_offset": ("__builtin_offsetof(struct sigaction, sa_flags)", "signal.h"),
    "int64_alignment": ("__builtin_offsetof(struct { char c; long long n; }, n)", "stddef.h"),
    "double_alignment": ("__builtin_offsetof(struct { char c; double n; }, n)", "stddef.h"),
    "char_signed": ("(char)-1 < 0", "stddef.h"),
}


@needs("cc")
@pytest.mark.parametrize("name", DECLARED)
def test_what_runs_is_what_the_headers_declare(
    name: str, tmp_path: Path, here: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert here[f"abi.{name}"].value == compiler.read_constant(*DECLARED[name])


@needs("cc")
def test_sigaction_fills_its_struct_but_for_the_end(
    tmp_path: Path, here: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    declared = compiler.read_constant("sizeof(struct sigaction)", "signal.h")
    filled = here["abi.sigaction_fills_bytes"].value
    assert isinstance(filled, int)
    assert declared - 12 <= filled <= declared


@needs("cc")
def test_the_byte_order_is_the_compilers(
    tmp_path: Path, here: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    little = compiler.read_constant("__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__", "stddef.h")
    assert here["abi.byte_order"].value == ("little-endian" if little else "big-endian")
