"""The binary interface: widths, alignment, byte order, and how far time reaches.

The C library is asked as it runs, so no compiler is needed: a type is as wide as what the
library's own functions write, print or take.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from ctypes import c_int64, c_void_p
from typing import Any

from .. import lens, libc
from ..fact import CONFIGURED, INFORMATIVE
from ..probe import Blocked, Sample, probe


def _print_bits(conversion: bytes) -> int:
    """Return how wide printf() takes an argument to be: with all bits set, one f for every 4."""
    buffer = ctypes.create_string_buffer(64)
    libc.call("snprintf", buffer, len(buffer), conversion, c_void_p(-1))
    return 4 * buffer.value.count(b"f")


@probe(
    matters="A byte count, an inode or a time kept in a long is cut short if a long has 32 bits.",
    advice="Use int64_t, off_t and time_t, and print them by PRId64 or a cast to intmax_t.",
    symptoms=[
        "a number is cut off at 32 bits, or overflows, on a 32-bit system",
        "word size",
    ],
    reference="ISO C 5.2.4.2.1; arch(7) FreeBSD; LP64 and ILP32 of the System V ABI",
    documented={"freebsd-64": 64, "freebsd-32": 32},
    light=True,
)
def long_bits() -> int:
    """How many bits does a long have?"""
    return _print_bits(b"%lx")


@probe(
    matters="A pointer kept in an int, or in a long of another width, is cut short.",
    advice="Keep a pointer in void * or uintptr_t.",
    symptoms=[
        "a pointer kept in an int crashes on a 64-bit build",
        "cast from pointer to integer of different size",
    ],
    reference="ISO C 7.20.1.4; arch(7) FreeBSD",
    documented={"freebsd-64": 64, "freebsd-32": 32},
    light=True,
)
def pointer_bits() -> int:
    """How many bits does a pointer have?"""
    return _print_bits(b"%p")


@probe(
    matters="A length that fits a 64-bit size_t asks a 32-bit one for something shorter.",
    advice="Check a length from outside against SIZE_MAX before it becomes a size_t.",
    symptoms=[
        "printf of a size_t with %lu warns or prints nonsense",
    ],
    reference="ISO C 7.19; arch(7) FreeBSD",
    light=True,
)
def size_t_bits() -> int:
    """How many bits does size_t have?"""
    return _print_bits(b"%zx")


@probe(
    matters="Text written to a file or a socket as wchar_t is garbage if its width differs.",
    advice="Exchange UTF-8; keep wchar_t inside the process.",
    symptoms=[
        "emoji and wide characters are cut in two",
    ],
    reference="ISO C 7.19",
    light=True,
)
def wchar_t_bits() -> int:
    """How many bits does wchar_t have?"""
    return 8 * libc.measure_extent(lambda buffer: libc.call("wmemset", buffer, -1, 1))


@probe(
    matters="With 32 bits, times after January 2038 wrap to 1901: expiry dates lie in the past.",
    advice="Build with -D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64, and write times as 64-bit numbers.",
    symptoms=[
        "dates become 1901 or negative after 2038",
        "y2038, the year 2038 problem",
        "timestamp overflow on a 32-bit ARM or i386",
    ],
    reference="feature_test_macros(7) Linux; time(3) NetBSD; arch(7) FreeBSD; musl time64 notes",
    documented={"linux-64": 64, "linux-musl-32": 64, "freebsd-64": 64, "netbsd": 64},
    light=True,
)
def time_t_bits() -> int:
    """How many bits does time_t have in programs built for this platform?"""
    return 8 * ctypes.sizeof(lens.time_t())


@probe(
    matters="With 32 bits a log that grows past 2 GiB can be neither opened nor appended to.",
    advice="Build with -D_FILE_OFFSET_BITS=64 everywhere; where off_t has 64 bits it does no harm.",
    symptoms=[
        "files over 2 GB fail: File too large, EOVERFLOW, Value too large for defined data type",
        "large file support",
    ],
    reference="feature_test_macros(7) Linux; lseek(2)",
    documented={"linux-64": 64, "linux-glibc-32": 32, "macos": 64},
)
def off_t_bits() -> int:
    """How many bits does the offset of plain lseek() have?"""
    return _measure_offset("lseek")


@probe(
    matters="A program built for large files still fails at 2 GiB if its offsets have 32 bits.",
    advice="Refuse to start if the large-file off_t has fewer than 64 bits.",
    symptoms=[
        "large file support on 32-bit: lseek64, files over 2 GB",
    ],
    reference="lseek64(3) Linux; feature_test_macros(7) Linux",
    documented={"linux": 64, "macos": 64},
)
def off_t_bits_large_file() -> int:
    """How many bits does the offset of the large-file lseek() have?"""
    return _measure_offset("lseek64" if libc.has("lseek64") else "lseek")


def _measure_offset(seek: str) -> int:
    """Return 64 if ``seek`` goes to a 64-bit offset, otherwise 32.

    A function that takes 32 bits takes the upper half, 2, for its third argument (SEEK_END, on
    i386), or takes the offset for it (EINVAL, on 32-bit Arm): either way it does not go there.
    """
    far = 2 << 32 | 5
    descriptor = os.open("file", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.lseek(descriptor, far, os.SEEK_SET)
    except (OSError, OverflowError):
        raise Blocked(
            "the scratch file system has no files of 8 GiB: set TMPDIR to another"
        ) from None
    os.lseek(descriptor, 0, os.SEEK_SET)
    with contextlib.suppress(OSError):
        libc.call(seek, descriptor, far, os.SEEK_SET)
    return 64 if os.lseek(descriptor, 0, os.SEEK_CUR) == far else 32


def _ask_sigaction(buffer: object) -> None:
    libc.call("sigaction", signal.SIGUSR2, None, buffer)


@probe(
    matters="Code with its own layout of struct sigaction sets no flags, or sets another field.",
    advice="Fill it field by field in C, after memset(), and never copy its layout.",
    symptoms=[
        "a handler set through ffi or ctypes has the wrong flags on mips or s390x",
        "struct sigaction layout",
    ],
    reference="POSIX XBD <signal.h>; sigaction(2)",
    light=True,
)
def sa_flags_offset() -> int:
    """At which byte of struct sigaction does sa_flags begin?"""
    return int(lens.find_sigaction_layout().flags)


@probe(
    matters="Code with its own layout of struct sigaction overruns its buffer or reads garbage.",
    advice="Declare it in C with <signal.h>; in other languages take a binding built from it.",
    symptoms=[
        "sigaction() through ffi overwrites memory: buffer too small",
    ],
    reference="POSIX XBD <signal.h>; sigaction(2)",
    light=True,
)
def sigaction_fills_bytes() -> int:
    """How many bytes of struct sigaction does sigaction() write?

    sizeof is more if the end is padding, or a field that the library leaves alone:
    sa_restorer of musl, and of glibc if the kernel does not need it.
    """
    return libc.measure_extent(_ask_sigaction)


@probe(
    matters="A set copied with another width loses its real-time signals, or overruns its buffer.",
    advice="Use only sigemptyset() and sigaddset(), and check what they return.",
    symptoms=[
        "a signal mask through a raw system call: EINVAL for its size",
    ],
    reference="POSIX XBD <signal.h>; sigsetops(3)",
    light=True,
)
def sigset_t_bytes() -> int:
    """How many bytes does sigset_t have?"""
    return int(lens.measure_sigset_t())


@probe(
    matters="`char c = getchar()` is never EOF where char is unsigned; byte 0xFF is, where signed.",
    advice="Keep bytes in unsigned char and getchar() in int, or build with -fsigned-char.",
    symptoms=[
        "char compares with -1 or EOF otherwise on ARM: endless loop at end of file",
        "bytes above 127 are negative on x86, not on ARM or PowerPC",
    ],
    reference="ISO C 6.2.5, 7.11.2.1; arch(7) FreeBSD",
    light=True,
)
def char_signed() -> bool:
    """Is plain char signed in the C library?"""
    # In the C locale an unset member of struct lconv is CHAR_MAX; the first of type char,
    # int_frac_digits, follows ten pointers.
    start = libc.call("localeconv") + 10 * ctypes.sizeof(c_void_p)
    largest = ctypes.string_at(start, 1)[0]
    if largest not in (0x7F, 0xFF):
        raise Blocked(f"struct lconv cannot be trusted here: int_frac_digits seems to be {largest}")
    return largest == 0x7F


@probe(
    matters="Numbers sent as they are in memory have other values on a machine of the other order.",
    advice="Send numbers as text, or convert them with htonl() and the like.",
    symptoms=[
        "numbers are swapped, or a file cannot be read, on s390x or another big-endian system",
        "endianness",
    ],
    reference="POSIX XSH htonl(); arch(7) FreeBSD",
    light=True,
)
def byte_order() -> str:
    """In which byte order are numbers stored?"""
    return {b"\1\2": "big-endian", b"\2\1": "little-endian"}[bytes(ctypes.c_uint16(0x0102))]


@probe(
    matters="A struct with a 64-bit member, in a file or shared memory, is read wrong elsewhere.",
    advice="Order members by size and pad explicitly, or write each member separately.",
    symptoms=[
        "struct sizes differ between i386 and amd64",
        "padding, offsets and sizeof differ; bus error on unaligned access",
    ],
    reference="System V ABI i386; arch(7) FreeBSD",
    documented={"freebsd-64": 8},
    light=True,
)
def int64_alignment() -> int:
    """To how many bytes is a 64-bit integer aligned in a struct?"""
    return ctypes.alignment(c_int64)


@probe(
    matters="A struct with a double, in a file or shared memory, is read wrong elsewhere.",
    advice="Order members by size and pad explicitly, or write each member separately.",
    symptoms=[
        "struct with a double has another size on 32-bit",
        "padding and sizeof differ",
    ],
    reference="System V ABI i386",
    light=True,
)
def double_alignment() -> int:
    """To how many bytes is a double aligned in a struct?"""
    return ctypes.alignment(ctypes.c_double)


AFTER_2038 = 2**31
"""The first second that 31 bits do not hold: 2038-01-19 03:14:08 UTC."""


@probe(
    matters="Certificates, cookies and expiries past January 2038 turn into dates of 1901.",
    advice="Build with -D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64, or use a 64-bit system.",
    symptoms=[
        "gmtime() or localtime() fails or goes back to 1901 after January 2038",
        "y2038, the year 2038 problem",
    ],
    reference="POSIX XSH gmtime(); feature_test_macros(7) Linux",
    light=True,
)
def time_after_2038() -> bool:
    """Does plain gmtime() handle times after January 2038?"""
    # A time that fits every time_t proves that struct tm begins with tm_sec, tm_min, tm_hour,
    # tm_mday, tm_mon and tm_year.
    if _break_down(lens.time_t()(10**9)) != [40, 46, 1, 9, 8, 101]:
        raise Blocked("struct tm cannot be trusted here: gmtime(1000000000) is not in 2001")
    # A 32-bit time_t reads half of this: 1901, or 1970 on a big-endian machine.
    return _break_down(c_int64(AFTER_2038)) == [8, 14, 3, 19, 0, 138]


def _break_down(when: Any) -> list[int]:
    """Return the first six fields of gmtime()'s struct tm; an empty list if it fails."""
    found = libc.call("gmtime", ctypes.byref(when))
    return list((ctypes.c_int * 6).from_address(found)) if found else []


@probe(
    matters="A file time after January 2038 is stored as another: backups and caches go wrong.",
    advice="Make file systems with 64-bit times: ext4 with 256-byte inodes, XFS with bigtime.",
    symptoms=[
        "file mtime wraps to 1901, or touch refuses a date after 2038",
        "y2038 on a file system: ext3, xfs without bigtime",
    ],
    reference="POSIX XSH utimensat(); Documentation/filesystems/ext4/inodes.rst Linux",
    scope=CONFIGURED,
)
def file_time_after_2038() -> Sample:
    """Does the scratch file system store times after January 2038?"""
    with open("file", "wb"):
        pass
    try:
        os.utime("file", (AFTER_2038, AFTER_2038))
    except (OSError, OverflowError) as error:
        # From the system call, or from a 32-bit time_t before it.
        return Sample(False, str(error))
    kept = int(os.stat("file").st_mtime)
    return Sample(kept == AFTER_2038, kept)


@probe(
    matters="A mapping or a guard page at a multiple of 4096 bytes fails where pages are larger.",
    advice="Ask sysconf(_SC_PAGESIZE).",
    symptoms=[
        "mmap fails with EINVAL, or alignment is wrong, on a kernel with 16 or 64 KiB pages",
        "jemalloc: unsupported system page size on ARM or ppc64",
    ],
    reference="POSIX XSH sysconf(); arch(7) FreeBSD",
    scope=INFORMATIVE,
    light=True,
)
def page_size() -> int:
    """How many bytes does a page of memory have?"""
    return os.sysconf("SC_PAGE_SIZE")


@probe(
    matters="Times from times() or /proc are wrong if another rate is assumed.",
    advice="Ask sysconf(_SC_CLK_TCK).",
    symptoms=[
        "CPU time is off by a factor: times(), clock ticks, /proc/stat, HZ",
    ],
    reference="POSIX XSH sysconf(), times()",
    scope=INFORMATIVE,
    light=True,
)
def clock_ticks() -> int:
    """How many clock ticks per second does times() count?"""
    return os.sysconf("SC_CLK_TCK")
