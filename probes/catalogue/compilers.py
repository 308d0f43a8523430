"""What a C program gets that is built here, with plain flags and with portable ones.

The families `abi` and `signals` ask the C library as it runs; this one asks its headers.
"""

from __future__ import annotations

from .. import compiler
from ..probe import probe

SIGNAL_FLAGS = """
#include <signal.h>
#include <stdio.h>
static void handler(int signum) { (void)signum; }
int main(void) {
    struct sigaction installed;
    signal(SIGUSR1, handler);
    sigaction(SIGUSR1, 0, &installed);
    if (installed.sa_flags & SA_NOCLDSTOP) puts("SA_NOCLDSTOP");
#ifdef SA_NOCLDWAIT
    if (installed.sa_flags & SA_NOCLDWAIT) puts("SA_NOCLDWAIT");
#endif
#ifdef SA_NODEFER
    if (installed.sa_flags & SA_NODEFER) puts("SA_NODEFER");
#endif
#ifdef SA_ONSTACK
    if (installed.sa_flags & SA_ONSTACK) puts("SA_ONSTACK");
#endif
#ifdef SA_RESETHAND
    if (installed.sa_flags & SA_RESETHAND) puts("SA_RESETHAND");
#endif
#ifdef SA_RESTART
    if (installed.sa_flags & SA_RESTART) puts("SA_RESTART");
#endif
#ifdef SA_SIGINFO
    if (installed.sa_flags & SA_SIGINFO) puts("SA_SIGINFO");
#endif
    return 0;
}
"""


def _build_signal_flags(*flags: str) -> str:
    """Return the names of the flags that signal() sets, as the headers name them."""
    return "|".join(compiler.run(SIGNAL_FLAGS, *flags).split()) or "none"


@probe(
    matters="The same source restarts its calls on one system and loses its handler on another.",
    advice="Install handlers by sigaction() with sa_flags set to what you mean.",
    symptoms=[
        "handler runs once and then the program dies at the second signal",
        "SysV or BSD semantics of signal() in C",
    ],
    reference="signal(2) Portability Linux; signal(3) FreeBSD",
    documented={"linux-glibc": "SA_RESTART", "freebsd": "SA_RESTART"},
)
def signal_flags() -> str:
    """Which flags does signal() set in a program built with plain cc?"""
    return _build_signal_flags()


@probe(
    matters="Built as strict C99 and X/Open, a daemon's handler is gone after the first signal.",
    advice="Install handlers by sigaction(); on glibc -D_DEFAULT_SOURCE keeps signal()'s own.",
    symptoms=[
        "with -std=c99 or -ansi the handler runs once: second SIGINT kills the program",
        "works with gnu99, not with c99 or _XOPEN_SOURCE",
    ],
    reference="signal(2) Portability Linux; feature_test_macros(7) Linux",
    documented={"linux-glibc": "SA_NODEFER|SA_RESETHAND"},
)
def signal_flags_strict() -> str:
    """Which flags does signal() set in a program built as strict C99 with X/Open?"""
    return _build_signal_flags("-std=c99", "-D_XOPEN_SOURCE=700")


# FreeBSD's arch(7): time_t has 32 bits on i386 only.  On 32-bit Linux with glibc both depend on
# how the distribution built its compiler.
@probe(
    matters="A log of more than 2 GiB stops a daemon whose off_t has 32 bits.",
    advice="Build with -D_FILE_OFFSET_BITS=64 everywhere.",
    symptoms=[
        "configure: large files on 32-bit; File too large over 2 GB",
        "stat fails with EOVERFLOW, Value too large for defined data type",
    ],
    reference="feature_test_macros(7) Linux; sys/_types.h FreeBSD",
    documented={
        "linux-64": 64,
        "linux-musl": 64,
        "freebsd": 64,
        "netbsd": 64,
        "openbsd": 64,
        "macos": 64,
    },
)
def off_t_bits_plain() -> int:
    """How many bits does off_t have in a program built with plain cc?"""
    return 8 * compiler.read_constant("sizeof(off_t)", "sys/types.h")


@probe(
    matters="A 32-bit program built with the defaults takes times after 2038 for 1901.",
    advice="Build with -D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64, and check sizeof(time_t).",
    symptoms=[
        "time_t is 32 bits in my build: y2038, year 2038 problem",
        "printf of time_t with %ld",
    ],
    reference="feature_test_macros(7) Linux; arch(7) FreeBSD; musl time64 notes",
    documented={
        "linux-64": 64,
        "linux-musl": 64,
        "freebsd-64": 64,
        "netbsd": 64,
        "openbsd": 64,
        "macos": 64,
    },
)
def time_t_bits_plain() -> int:
    """How many bits does time_t have in a program built with plain cc?"""
    return 8 * compiler.read_constant("sizeof(time_t)", "sys/types.h")


@probe(
    matters="A log of more than 2 GiB stops a daemon whose off_t has 32 bits.",
    advice="Build with -D_FILE_OFFSET_BITS=64 everywhere.",
    symptoms=[
        "_FILE_OFFSET_BITS=64 and AC_SYS_LARGEFILE have no effect",
        "library built with another off_t: ABI mismatch",
    ],
    reference="feature_test_macros(7) Linux",
    documented={"linux": 64, "macos": 64},
)
def off_t_bits_file_offset_bits_64() -> int:
    """How many bits does off_t have with _FILE_OFFSET_BITS=64?"""
    return 8 * compiler.read_constant("sizeof(off_t)", "sys/types.h", "-D_FILE_OFFSET_BITS=64")


@probe(
    matters="Without it, a 32-bit program takes times after January 2038 for 1901.",
    advice="Build with -D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64, and check sizeof(time_t).",
    symptoms=[
        "_TIME_BITS=64 has no effect, or is refused without _FILE_OFFSET_BITS",
        "time64 transition, t64: ABI mismatch",
    ],
    reference="feature_test_macros(7) Linux; glibc manual 1.3.4; musl time64 notes",
    documented={"linux-glibc": 64, "linux-musl": 64, "netbsd": 64, "freebsd-64": 64},
)
def time_t_bits_time_bits_64() -> int:
    """How many bits does time_t have with _TIME_BITS=64?"""
    return 8 * compiler.read_constant(
        "sizeof(time_t)", "sys/types.h", "-D_TIME_BITS=64", "-D_FILE_OFFSET_BITS=64"
    )
