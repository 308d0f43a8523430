"""header: a C header, so that a C program can be configured by measured behaviour.

    #if PROBE(signals_libc_signal_restarts)
    #if PROBE_IS(accepting_accept_after_reset, ACCEPTED)
    #if !PROBE_MEASURED(locks_ofd_exists)

A name that no fact has is a syntax error there, and not a silent 0 as it would be in
PROBE_SIGNALS_LIBC_SIGNAL_RESTARTS, which is defined too.

Whatever a report holds, the header compiles as C99 without a warning on the platform that
the report is of.  On another it is an #error, unless PROBES_ANY_PLATFORM is defined; what the
compiler does not tell of its target is never an error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping

from ..differences import architecture
from ..fact import Fact, Platform, Report, Value
from ..probe import Probe
from . import Style, describe_platform, find_question, group_by_family, safe, summarize

LONGEST_STRING = 509
"""Bytes of a string literal that every C compiler takes (C89 5.2.4.1)."""
LONGEST_SLUG = 40
"""A string longer than this is a text, not a word to ask the preprocessor for."""


def render(report: Report, probes: Mapping[str, Probe], style: Style) -> str:
    lines = ["/* How the system calls of one host behave, measured there by probes.", " *"]
    lines += [f" * {label:9}  {format_comment(text)}" for label, text in _describe_platform(report)]
    lines += [" *", f" * {format_comment(_summarize(report))}", " *", _NOTICE, " */"]
    lines += ["#ifndef PROBES_H", "#define PROBES_H"]
    lines += _refusals(report.environment)
    lines.append(_ACCESS)
    if len(host := format_literal(str(report.environment))) <= LONGEST_STRING:
        lines += ["", "/* The host that was measured. */", f"#define PROBES_HOST {host}"]
    macros = _Macros(report)
    for family, facts in group_by_family(report, probes).items():
        lines += ["", f"/* {family} */"]
        for fact in facts:
            lines += ["", f"/* {format_comment(find_question(fact, probes))} */"]
            lines += _lines(fact, macros)
    lines += ["", "#endif /* PROBES_H */"]
    return "\n".join(lines) + "\n"


_NOTICE = """\
 * Make this file on each host that you build for: another may behave otherwise.
 *
 * As a special exception to the licence of probes (AGPL-3.0-or-later), this file, which is
 * its output, may be copied, changed and distributed, also as a part of other programs,
 * without restriction, under terms of your choice.  It comes without any warranty."""
_ACCESS = """
/* PROBE(sockets_v6only_default) is a fact's answer, and 0 if it has none; PROBE_IS(fact, WORD)
 * tells whether the answer is that word, and PROBE_MEASURED(fact) whether it was measured.
 * A fact that does not exist is an error. */
#define PROBE(fact) PROBES_##fact()
#define PROBE_IS(fact, WORD) (PROBES_##fact##_MEASURED() && PROBES_##fact##_IS_##WORD)
#define PROBE_MEASURED(fact) PROBES_##fact##_MEASURED()"""


def _describe_platform(report: Report) -> Iterator[tuple[str, str]]:
    """What is known of the host; the time is SOURCE_DATE_EPOCH's if that is set."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    for label, text in describe_platform(report):
        if label == "measured" and epoch is not None:
            text = text.replace(report.measured_at, _date(epoch), 1).strip()
        if text:
            yield label, text


def _date(epoch: str) -> str:
    """Return the time of a reproducible build; nothing if there is none in ``epoch``."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(epoch)))
    except (ValueError, OverflowError, OSError):
        return ""


def _summarize(report: Report) -> str:
    """Return the counts, and how long it took if the same may not come out twice."""
    text = summarize(report)
    return text.partition(";")[0] if "SOURCE_DATE_EPOCH" in os.environ else text


_SYSTEMS = {
    "linux": "__linux__", "freebsd": "__FreeBSD__", "netbsd": "__NetBSD__",
    "openbsd": "__OpenBSD__", "dragonfly": "__DragonFly__", "darwin": "__APPLE__",
    "sunos": "__sun", "aix": "_AIX", "gnu": "__GNU__", "haiku": "__HAIKU__",
}  # fmt: skip
"""Systems as uname(2) names them, in lower case, and what compilers define for each."""
_FAMILIES = (
    ({"amd64", "i386"}, ("__x86_64__", "__x86_64", "__i386__", "__i386")),
    ({"arm64", "arm64_be", "arm", "armeb"}, ("__aarch64__", "__arm__")),
    ({"riscv64", "riscv32"}, ("__riscv",)),
    ({"s390x", "s390"}, ("__s390__",)),
    ({"mips64", "mips", "mips64el", "mipsel"}, ("__mips__",)),
    (
        {"ppc64", "ppc64le", "ppc", "ppcle", "powerpc", "powerpc64"},
        ("__powerpc__", "__ppc__", "_ARCH_PPC"),
    ),
    ({"sparc64", "sparc", "sun4u", "sun4v"}, ("__sparc__", "__sparc")),
    ({"loongarch64", "loongarch32"}, ("__loongarch__",)),
    ({"alpha"}, ("__alpha__",)),
    ({"parisc64", "parisc", "hppa"}, ("__hppa__",)),
    ({"m68k"}, ("__m68k__",)),
)
"""Architectures that differ in width or byte order alone, and what compilers define for them."""


def _refusals(platform: Platform) -> Iterator[str]:
    """An #error where the compiler's target is known to be another platform."""
    system = platform.system.lower()
    machine = architecture(platform.machine, platform.pointer_bits)
    bits = platform.pointer_bits
    conditions = [
        _other([macro], _SYSTEMS.values()) for name, macro in _SYSTEMS.items() if name == system
    ]
    every = [macro for _, macros in _FAMILIES for macro in macros]
    conditions += [_other(macros, every) for names, macros in _FAMILIES if machine in names]
    conditions.append(f"defined __SIZEOF_POINTER__ && __SIZEOF_POINTER__ * 8 != {bits}")
    yield from ("", "#ifndef PROBES_ANY_PLATFORM")
    for condition in conditions:
        yield from _refusal(condition, platform)
    if platform.libc in _C_LIBRARIES:
        # Only a header of the C library says which that is, and every hosted one has this.
        yield "#include <limits.h>"
        yield from _refusal(_C_LIBRARIES[platform.libc], platform)
    yield "#endif /* PROBES_ANY_PLATFORM */"


_HOSTED = "defined __linux__ && (!defined __STDC_HOSTED__ || __STDC_HOSTED__)"
_C_LIBRARIES = {
    "glibc": f"{_HOSTED} && (!defined __GLIBC__ || defined __UCLIBC__)",
    "musl": f"{_HOSTED} && defined __GLIBC__",
}
"""By C library, when the program is built with another; musl defines nothing to be known by."""


def _other(own: Iterable[str], every: Iterable[str]) -> str:
    """The condition that one of ``every`` macro is defined, and none of our ``own``."""
    others = " || ".join(f"defined {macro}" for macro in every if macro not in own)
    return f"{' && '.join(f'!defined {macro}' for macro in own)} && ({others})"


def _refusal(condition: str, platform: Platform) -> Iterator[str]:
    where = _word(
        f"{platform.system} {platform.machine}, {platform.libc}, {platform.pointer_bits}-bit"
    )
    yield f"#if {condition}"
    yield f'#error "probes.h: measured on {where}; measure here, or define PROBES_ANY_PLATFORM"'
    yield "#endif"


def _word(text: str) -> str:
    """``text`` for the inside of a string that no compiler decodes."""
    return "".join(c if c.isascii() and (c.isalnum() or c in " .,-_") else "_" for c in text)


def _lines(fact: Fact, macros: _Macros) -> Iterator[str]:
    name, value = macros.of[fact.id], fact.value
    short = "PROBES_" + name[len("PROBE_") :].lower()
    yield f"#define {macros.free(f'{name}_MEASURED')} {int(fact.measured)}"
    yield f"#define {short}_MEASURED() {int(fact.measured)}"
    text = format_literal(value) if fact.measured and isinstance(value, str) else ""
    has_answer = fact.measured and value is not None and len(text) <= LONGEST_STRING
    yield f"#define {short}() {name if has_answer else 0}"
    if not fact.measured:
        yield f"/* {name} is not defined: {fact.status}: {format_comment(fact.reason)} */"
    elif value is None:
        yield f"/* {name} is not defined: none */"
    elif not isinstance(value, str):
        yield f"#define {name} {format_number(value)}"
    elif not has_answer:
        yield f"/* {name} is not defined: too long for a string in C */"
    else:
        yield f"#define {name} {text}"
        if len(value) <= LONGEST_SLUG:
            yield f"#define {macros.free(f'{name}_IS_{make_slug(value)}')} 1"
            yield f"#define {short}_IS_{make_slug(value)} 1"


class _Macros:
    """The names of macros, no two alike: ``a.b_c`` and ``a_b.c`` would both be PROBE_A_B_C."""

    def __init__(self, report: Report) -> None:
        self.taken = {"PROBE_IS", "PROBE_MEASURED"}
        self.of = {fact.id: self.free("PROBE_" + make_slug(fact.id)) for fact in report}

    def free(self, name: str) -> str:
        """``name``, or the first of ``name_2``, ``name_3``, … that is not taken; it is now."""
        found, number = name, 1
        while found in self.taken:
            number += 1
            found = f"{name}_{number}"
        self.taken.add(found)
        return found


def make_slug(text: str) -> str:
    """``text`` as a part of a macro's name: EADDRINUSE, PARTIAL_THEN_EFBIG."""
    kept = "".join(c if c.isascii() and c.isalnum() else "_" for c in text)
    return kept.upper() or "EMPTY"


def format_number(value: Value) -> str:
    """A bool or an integer as a constant expression, also for the preprocessor."""
    plain = int(value or 0)
    suffix = "" if -(2**31) <= plain < 2**31 else "LL"
    if plain in (-(2**31), -(2**63)):
        # C has no negative constants: the minus is applied to a number one too large.
        return f"(-{-plain - 1}{suffix} - 1)"
    return f"(-{-plain}{suffix})" if plain < 0 else f"{plain}{suffix}"


def format_literal(text: str) -> str:
    """``text`` as a string literal: what is not printable ASCII as UTF-8, in octal."""
    return '"' + "".join(map(_escaped, text.encode("utf-8", "surrogatepass"))) + '"'


def _escaped(byte: int) -> str:
    character = chr(byte)
    if character in '"\\?':  # "??=" would be a trigraph.
        return "\\" + character
    return character if 32 <= byte < 127 else f"\\{byte:03o}"


def format_comment(text: str) -> str:
    """``text`` for the inside of a comment that it neither ends nor nests."""
    text = safe(text).encode("ascii", "backslashreplace").decode()
    # ??/ is the trigraph of a backslash, which continues a line.
    return text.replace("*/", "* /").replace("/*", "/ *").replace("??/", "? ?/")
