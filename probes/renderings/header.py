"""header: a C header, so that a C program can be configured by measured behaviour.

    #if PROBE(signals_libc_signal_restarts)
    #if PROBE_IS(accepting_accept_after_reset, ACCEPTED)
    #if !PROBE_MEASURED(locks_ofd_exists)

The name of a fact that does not exist is a syntax error in these, but a silent 0 in
PROBE_SIGNALS_LIBC_SIGNAL_RESTARTS, which is defined too.

On the platform of the report, the header compiles as C99 without a warning, whatever the report
holds.  On another platform it is an #error unless PROBES_ANY_PLATFORM is defined.  If the compiler
does not reveal its target, that is not an error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping

from ..differences import find_architecture
from ..fact import Fact, Platform, Report, Value
from ..probe import Probe
from ..text import make_printable
from . import Style, describe_platform, find_question, group_by_family, summarize

LONGEST_STRING = 509
"""Bytes of the longest string literal that every C compiler accepts (C89 5.2.4.1)."""
LONGEST_SLUG = 40
"""Characters of the longest string for which the preprocessor gets a macro."""


def render(report: Report, probes: Mapping[str, Probe], style: Style) -> str:
    """Return the report as a C header."""
    lines = ["/* How the system calls of one host behave, measured there by probes.", " *"]
    lines += [f" * {label:9}  {format_comment(text)}" for label, text in _describe_host(report)]
    lines += [" *", f" * {format_comment(_summarize(report))}", " *", _NOTICE, " */"]
    lines += ["#ifndef PROBES_H", "#define PROBES_H"]
    lines += _make_refusals(report.environment)
    lines.append(_ACCESS)
    if len(host := format_literal(str(report.environment))) <= LONGEST_STRING:
        lines += ["", "/* The host that was measured. */", f"#define PROBES_HOST {host}"]
    macros = _Macros(report)
    for family, facts in group_by_family(report, probes).items():
        lines += ["", f"/* {family} */"]
        for fact in facts:
            lines += ["", f"/* {format_comment(find_question(fact, probes))} */"]
            lines += _make_lines(fact, macros)
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


def _describe_host(report: Report) -> Iterator[tuple[str, str]]:
    """Yield what is known about the host, with the time of SOURCE_DATE_EPOCH if that is set."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    for label, text in describe_platform(report):
        if label == "measured" and epoch is not None:
            text = text.replace(report.measured_at, _format_date(epoch), 1).strip()
        if text:
            yield label, text


def _format_date(epoch: str) -> str:
    """Return the time of a reproducible build; "" if ``epoch`` is not a time."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(epoch)))
    except (ValueError, OverflowError, OSError):
        return ""


def _summarize(report: Report) -> str:
    """Return the counts, and the duration unless the build is reproducible."""
    text = summarize(report)
    return text.partition(";")[0] if "SOURCE_DATE_EPOCH" in os.environ else text


_SYSTEMS = {
    "linux": "__linux__", "freebsd": "__FreeBSD__", "netbsd": "__NetBSD__",
    "openbsd": "__OpenBSD__", "dragonfly": "__DragonFly__", "darwin": "__APPLE__",
    "sunos": "__sun", "aix": "_AIX", "gnu": "__GNU__", "haiku": "__HAIKU__",
}  # fmt: skip
"""Systems as uname(2) names them, in lower case, and the macro of each in compilers."""
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
"""Architectures that differ only in width or byte order, and their macros in compilers."""


def _make_refusals(platform: Platform) -> Iterator[str]:
    """Yield an #error for each way in which the compiler's target is another platform."""
    system = platform.system.lower()
    machine = find_architecture(platform.machine, platform.pointer_bits)
    bits = platform.pointer_bits
    conditions = [
        _make_condition([macro], _SYSTEMS.values())
        for name, macro in _SYSTEMS.items()
        if name == system
    ]
    every = [macro for _, macros in _FAMILIES for macro in macros]
    conditions += [
        _make_condition(macros, every) for names, macros in _FAMILIES if machine in names
    ]
    conditions.append(f"defined __SIZEOF_POINTER__ && __SIZEOF_POINTER__ * 8 != {bits}")
    yield from ("", "#ifndef PROBES_ANY_PLATFORM")
    for condition in conditions:
        yield from _make_refusal(condition, platform)
    if platform.libc in _C_LIBRARIES:
        # Only a header of the C library identifies it, and every hosted one has <limits.h>.
        yield "#include <limits.h>"
        yield from _make_refusal(_C_LIBRARIES[platform.libc], platform)
    yield "#endif /* PROBES_ANY_PLATFORM */"


_HOSTED = "defined __linux__ && (!defined __STDC_HOSTED__ || __STDC_HOSTED__)"
_C_LIBRARIES = {
    "glibc": f"{_HOSTED} && (!defined __GLIBC__ || defined __UCLIBC__)",
    "musl": f"{_HOSTED} && defined __GLIBC__",
}
"""By C library, the condition that the program is built with another; musl has no macro."""


def _make_condition(own: Iterable[str], every: Iterable[str]) -> str:
    """Return the condition that one of ``every`` macro is defined, but none of ``own``."""
    others = " || ".join(f"defined {macro}" for macro in every if macro not in own)
    return f"{' && '.join(f'!defined {macro}' for macro in own)} && ({others})"


def _make_refusal(condition: str, platform: Platform) -> Iterator[str]:
    where = _make_word(
        f"{platform.system} {platform.machine}, {platform.libc}, {platform.pointer_bits}-bit"
    )
    yield f"#if {condition}"
    yield f'#error "probes.h: measured on {where}; measure here, or define PROBES_ANY_PLATFORM"'
    yield "#endif"


def _make_word(text: str) -> str:
    """Return ``text`` for the inside of a string that no compiler decodes."""
    return "".join(c if c.isascii() and (c.isalnum() or c in " .,-_") else "_" for c in text)


def _make_lines(fact: Fact, macros: _Macros) -> Iterator[str]:
    name, value = macros.of[fact.id], fact.value
    short = "PROBES_" + name[len("PROBE_") :].lower()
    yield f"#define {macros.take(f'{name}_MEASURED')} {int(fact.measured)}"
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
            yield f"#define {macros.take(f'{name}_IS_{make_slug(value)}')} 1"
            yield f"#define {short}_IS_{make_slug(value)} 1"


class _Macros:
    """Unique names of macros; ``a.b_c`` and ``a_b.c`` would both be PROBE_A_B_C."""

    def __init__(self, report: Report) -> None:
        self.taken = {"PROBE_IS", "PROBE_MEASURED"}
        self.of = {fact.id: self.take("PROBE_" + make_slug(fact.id)) for fact in report}

    def take(self, name: str) -> str:
        """Take ``name``, or the first of ``name_2``, ``name_3``, … that is free, and return it."""
        found, number = name, 1
        while found in self.taken:
            number += 1
            found = f"{name}_{number}"
        self.taken.add(found)
        return found


def make_slug(text: str) -> str:
    """Return ``text`` as a part of a macro's name: EADDRINUSE, PARTIAL_THEN_EFBIG."""
    kept = "".join(c if c.isascii() and c.isalnum() else "_" for c in text)
    return kept.upper() or "EMPTY"


def format_number(value: Value) -> str:
    """Return a bool or an integer as a constant expression that the preprocessor accepts, too."""
    plain = int(value or 0)
    suffix = "" if -(2**31) <= plain < 2**31 else "LL"
    if plain in (-(2**31), -(2**63)):
        # C has no negative constants: the minus would be applied to a number that is too large.
        return f"(-{-plain - 1}{suffix} - 1)"
    return f"(-{-plain}{suffix})" if plain < 0 else f"{plain}{suffix}"


def format_literal(text: str) -> str:
    """Return ``text`` as a string literal, with octal UTF-8 for what is not printable ASCII."""
    return '"' + "".join(map(_escape_byte, text.encode("utf-8", "surrogatepass"))) + '"'


def _escape_byte(byte: int) -> str:
    character = chr(byte)
    if character in '"\\?':  # "??=" would be a trigraph.
        return "\\" + character
    return character if 32 <= byte < 127 else f"\\{byte:03o}"


def format_comment(text: str) -> str:
    """Return ``text`` for the inside of a comment, which it must not end or nest."""
    text = make_printable(text).encode("ascii", "backslashreplace").decode()
    # ??/ is the trigraph for a backslash, which continues a line.
    return text.replace("*/", "* /").replace("/*", "/ *").replace("??/", "? ?/")
