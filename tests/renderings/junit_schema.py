"""What junit-10.xsd of Jenkins' xunit plugin admits, as far as our documents use it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element


@dataclass(frozen=True)
class Admits:
    """What one element may hold."""

    children: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    text: bool = False
    times: frozenset[str] = field(default=frozenset())
    """Attributes whose type is SUREFIRE_TIME."""


def _admits(children: str = "", required: str = "", optional: str = "", **more: object) -> Admits:
    words = (frozenset(text.split()) for text in (children, required, optional))
    return Admits(*words, **more)  # type: ignore[arg-type]


_OUTCOME = _admits(optional="type message", text=True)
_TIME = frozenset({"time"})
SCHEMA = {
    "testsuites": _admits("testsuite", "", "name time tests failures errors", times=_TIME),
    "testsuite": _admits(
        "testsuite properties testcase system-out system-err",
        "name tests failures errors",
        "group time skipped timestamp hostname id package file log url",
        times=_TIME,
    ),
    "properties": _admits("property"),
    "property": _admits("", "name value"),
    "testcase": _admits(
        "skipped error failure rerunFailure rerunError flakyFailure flakyError "
        "system-out system-err",
        "name",
        "time classname group",
    ),
    "skipped": _OUTCOME, "error": _OUTCOME, "failure": _OUTCOME,
    "system-out": _admits(text=True), "system-err": _admits(text=True),
}  # fmt: skip

# As the schema has it, but for the repetition of a repetition, which takes Python for ever.
_SUREFIRE_TIME = re.compile(r"[0-9,]*(\.[0-9]*)?")


def faults_of(root: Element) -> list[str]:
    """Return what of a document the schema does not admit, a line each."""
    found = [] if root.tag in ("testsuites", "testsuite") else [f"{root.tag} at the top"]
    return [*found, *_faults(root)]


def _faults(element: Element) -> Iterator[str]:
    admitted = SCHEMA.get(element.tag)
    if admitted is None:
        yield f"no element {element.tag}"
        return
    names = set(element.attrib)
    for name in sorted(admitted.required - names):
        yield f"{element.tag} has no {name}"
    for name in sorted(names - admitted.required - admitted.optional):
        yield f"{element.tag} has the attribute {name}"
    for name in sorted(admitted.times & names):
        if not _SUREFIRE_TIME.fullmatch(element.attrib[name]):
            yield f"{element.tag} has the {name} {element.attrib[name]}"
    text = (element.text or "") + "".join(child.tail or "" for child in element)
    if text.strip() and not admitted.text:
        yield f"{element.tag} holds text"
    for child in element:
        if child.tag not in admitted.children:
            yield f"{element.tag} holds {child.tag}"
        yield from _faults(child)
