"""Formats of a report: a format is a module of this package with a `render`.

    def render(report: Report, probes: Mapping[str, Probe], style: Style) -> str: ...

A new format is one new file.  This module has what formats share: texts about the platform and
the facts, and `safe`, which every string of a report must pass.  A report may come from another
host, so a fact may have no `Probe`, and its strings may hold anything.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from .. import plugins
from ..fact import BLOCKED, MEASURED, STATUSES, UNSTABLE, UNSUPPORTED, Fact, Report, show
from ..text import make_printable

if TYPE_CHECKING:
    from ..probe import Probe

BOLD, FAINT, RED, YELLOW = "1", "2", "31", "33"


@dataclass(frozen=True)
class Style:
    """The layout of a report, as far as the format leaves it open."""

    width: Optional[int] = None
    """Columns of the terminal; None, without wrapping, in a pipe or a file."""
    colour: bool = False
    verbose: bool = False


def list_formats() -> list[str]:
    """Return the names of all formats."""
    return plugins.list_plugins(sys.modules[__name__])


def render(
    name: str, report: Report, probes: Mapping[str, Probe], style: Optional[Style] = None
) -> str:
    """Return ``report`` in the format ``name``; raise CommandError for an unknown format."""
    format = plugins.load_plugin(sys.modules[__name__], "format", name)
    text: str = format.render(report, probes, style or Style())
    return text


def paint(text: str, colour: str, style: Style) -> str:
    """Return ``text`` in a colour, if the style has colours."""
    return f"\x1b[{colour}m{text}\x1b[0m" if style.colour and text else text


def embolden(text: str, style: Style) -> str:
    """Return ``text`` in bold, if the style has colours."""
    return paint(text, BOLD, style)


def group_by_family(report: Report, probes: Mapping[str, Probe]) -> dict[str, list[Fact]]:
    """Return the facts by family, in the catalogue's order, with unknown facts last."""
    order = {id: place for place, id in enumerate(probes)}
    found: dict[str, list[Fact]] = {}
    for fact in report:
        found.setdefault(fact.family, []).append(fact)
    for facts in found.values():
        facts.sort(key=lambda fact: order.get(fact.id, len(order)))
    return found


def find_question(fact: Fact, probes: Mapping[str, Probe]) -> str:
    """Return the question, or the id of a fact that this catalogue does not know."""
    return probes[fact.id].question if fact.id in probes else fact.id


def differs(fact: Fact, report: Report, probes: Mapping[str, Probe]) -> bool:
    """Return whether the answer differs from what the platform documents."""
    return fact.id in probes and probes[fact.id].differs(fact, report.environment)


def format_documented(fact: Fact, report: Report, probes: Mapping[str, Probe]) -> str:
    """Return the documented answer and its platform, ``no (linux)``; empty if there is none."""
    promise = fact.id in probes and probes[fact.id].find_documented(report.environment)
    return f"{show(promise[1])} ({promise[0]})" if promise else ""


def describe_platform(report: Report) -> list[tuple[str, str]]:
    """Return labels and texts that say where and when the report was measured."""
    platform = report.environment
    width = f"{platform.pointer_bits}-bit"
    if platform.emulated_32_bit:
        width += " userland on a 64-bit kernel"
    where = (
        "root" if platform.root else "not root",
        platform.container and f"in {platform.container}",
        platform.hypervisor and f"on {platform.hypervisor}",
    )
    interfaces: dict[str, list[str]] = {}
    for name, addresses in platform.interfaces.items():
        known = " and ".join(_ADDRESSES.get(family, family) for family in addresses)
        interfaces.setdefault(known or "no address", []).append(name)
    with_probes = f"by probes {platform.probes_hash}" if platform.probes_hash else ""
    lines = [
        ("system", platform.distribution),
        ("kernel", f"{platform.system} {platform.release} {platform.machine} {platform.version}"),
        ("C library", f"{platform.libc} {platform.libc_version}".strip() + f", {width}"),
        ("compiler", platform.compiler or "none"),
        ("Python", platform.python),
        ("run as", ", ".join(filter(None, where))),
        ("scratch", platform.scratch_filesystem),
        ("network", "; ".join(f"{known}: {', '.join(of)}" for known, of in interfaces.items())),
        ("sysctls", ", ".join(f"{name}={value}" for name, value in platform.sysctls.items())),
        ("measured", f"{report.measured_at} {with_probes}"),
    ]
    shown = ((label, " ".join(filter(None, text.split(" ")))) for label, text in lines)
    return [(label, make_printable(text)) for label, text in shown if text]


_ADDRESSES = {"inet": "IPv4", "inet6": "IPv6"}


def summarize(report: Report) -> str:
    """Return ``148 measured, 3 unsupported, 1 blocked, 0 timed out, 0 broken; 0.8 s``."""
    counts = report.counts()
    parts = [
        f"{counts[status]} {status}" for status in STATUSES if status != UNSTABLE or counts[status]
    ]
    return f"{', '.join(parts)}; {report.seconds:.1f} s"


def make_note(fact: Fact, report: Report, probes: Mapping[str, Probe]) -> str:
    """Return the note beside an answer: why there is none, or the documented answer."""
    if fact.status != MEASURED:
        return fact.reason
    if differs(fact, report, probes):
        return f"documented: {format_documented(fact, report, probes)}"
    return ""


def group_shared_reasons(report: Report) -> dict[str, list[str]]:
    """Return groups of facts that are blocked or unsupported for the same reason, by first id.

    A group has two facts or more, in the order of the ids.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for fact in report:
        if fact.status in (BLOCKED, UNSUPPORTED):
            groups.setdefault((fact.status, fact.reason), []).append(fact.id)
    return {ids[0]: ids for ids in groups.values() if len(ids) > 1}


def make_reasons(report: Report) -> dict[str, str]:
    """Return notes for facts that share a reason: the first has it, the others refer to it."""
    notes: dict[str, str] = {}
    for first, ids in group_shared_reasons(report).items():
        notes.update(dict.fromkeys(ids, f"for the same reason as {first}"))
        notes[first] = f"{report[first].reason} ({len(ids)} facts)"
    return notes
