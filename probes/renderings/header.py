"""header: a C header, so that a C program can be configured by measured behaviour.

    #if PROBE_SIGNALS_LIBC_SIGNAL_RESTARTS
    #if PROBE_SOCKETS_BIND_TIME_WAIT_IS_EADDRINUSE

Whatever a report holds, the header compiles as C99 without a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..fact import Fact, Report, Value
from ..probe import Probe
from . import Style, described, families, question, safe, summary

LONGEST_STRING = 509
"""Bytes of a string literal that every C compiler takes (C89 5.2.4.1)."""
LONGEST_SLUG = 40
"""A string longer than this is a text, not a word to ask the preprocessor for."""


def render(report: Report, probes: Mapping[str, Probe], style: Style) -> str:
    lines = ["/* How the system calls of this platform behave, measured.", " *"]
    lines += [f" * {label:9}  {comment(text)}" for label, text in described(report)]
    lines += [" *", f" * {comment(summary(report))}", " */"]
    lines += ["#ifndef PROBES_H", "#define PROBES_H"]
    macros = _Macros(report)
    for family, facts in families(report, probes).items():
        lines += ["", f"/* {family} */"]
        for fact in facts:
            lines += ["", f"/* {comment(question(fact, probes))} */"]
            lines += _lines(fact, macros)
    lines += ["", "#endif /* PROBES_H */"]
    return "\n".join(lines) + "\n"


def _lines(fact: Fact, macros: _Macros) -> Iterator[str]:
    name, value = macros.of[fact.id], fact.value
    if not fact.measured:
        yield f"/* {name} is not defined: {fact.status}: {comment(fact.reason)} */"
    elif value is None:
        yield f"/* {name} is not defined: none */"
    elif not isinstance(value, str):
        yield f"#define {name} {number(value)}"
    elif len(literal(value)) > LONGEST_STRING:
        yield f"/* {name} is not defined: too long for a string in C */"
    else:
        yield f"#define {name} {literal(value)}"
        if len(value) <= LONGEST_SLUG:
            yield f"#define {macros.free(f'{name}_IS_{slug(value)}')} 1"


class _Macros:
    """The names of macros, no two alike: ``a.b_c`` and ``a_b.c`` would both be PROBE_A_B_C."""

    def __init__(self, report: Report) -> None:
        self.taken: set[str] = set()
        self.of = {fact.id: self.free("PROBE_" + slug(fact.id)) for fact in report}

    def free(self, name: str) -> str:
        """``name``, or the first of ``name_2``, ``name_3``, … that is not taken; it is now."""
        found, number = name, 1
        while found in self.taken:
            number += 1
            found = f"{name}_{number}"
        self.taken.add(found)
        return found


def slug(text: str) -> str:
    """``text`` as a part of a macro's name: EADDRINUSE, PARTIAL_THEN_EFBIG."""
    kept = "".join(c if c.isascii() and c.isalnum() else "_" for c in text)
    return kept.upper() or "EMPTY"


def number(value: Value) -> str:
    """A bool or an integer as a constant expression, also for the preprocessor."""
    plain = int(value or 0)
    suffix = "" if -(2**31) <= plain < 2**31 else "LL"
    if plain in (-(2**31), -(2**63)):
        # C has no negative constants: the minus is applied to a number one too large.
        return f"(-{-plain - 1}{suffix} - 1)"
    return f"(-{-plain}{suffix})" if plain < 0 else f"{plain}{suffix}"


def literal(text: str) -> str:
    """``text`` as a string literal: what is not printable ASCII as UTF-8, in octal."""
    return '"' + "".join(map(_escaped, text.encode("utf-8", "surrogatepass"))) + '"'


def _escaped(byte: int) -> str:
    character = chr(byte)
    if character in '"\\?':  # "??=" would be a trigraph.
        return "\\" + character
    return character if 32 <= byte < 127 else f"\\{byte:03o}"


def comment(text: str) -> str:
    """``text`` for the inside of a comment that it neither ends nor nests."""
    text = safe(text).encode("ascii", "backslashreplace").decode()
    # ??/ is the trigraph of a backslash, which continues a line.
    return text.replace("*/", "* /").replace("/*", "/ *").replace("??/", "? ?/")
