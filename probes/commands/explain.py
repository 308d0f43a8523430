"""explain: all there is to say of one fact."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from ..fact import Report, show
from ..probe import Probe

if TYPE_CHECKING:
    from ..renderings import Style


def explained(probe: Probe, report: Report) -> dict[str, Any]:
    """Question, why it matters, advice, reference, what is documented, what is measured."""
    fact = report[probe.id]
    return {
        "id": probe.id,
        "question": probe.question,
        "scope": probe.scope,
        "hangs_on": dict(probe.hangs_on),
        "matters": probe.matters,
        "advice": probe.advice,
        "reference": probe.reference,
        "documented": dict(probe.documented),
        "measured": {**fact.to_json(), "platform": str(report.environment)},
        "differs": probe.differs(fact, report.environment),
    }


def explain(probe: Probe, report: Report, style: Style) -> str:
    """The same for people."""
    from ..renderings import bold, safe

    fact = report[probe.id]
    width = min(style.width or 80, 100)
    measured = fact.answer if fact.measured else f"{fact.status}: {fact.reason}"
    if fact.raw is not None:
        measured += f" (raw sample: {fact.raw})"
    if probe.differs(fact, report.environment):
        measured += " - not what is documented"
    documented = "; ".join(f"{name}: {show(value)}" for name, value in probe.documented.items())
    setting = report.environment.sysctls.get(fact.hangs_on)
    entries = (
        ("Matters", probe.matters),
        ("Advice", probe.advice),
        ("Documented", documented or "by no platform the lab has read"),
        ("Here", f"{measured}, on {report.environment}"),
        ("Scope", probe.scope),
        *[("Hangs on", f"{fact.hangs_on}, {setting} here")] * bool(fact.hangs_on),
        ("Reference", probe.reference),
        ("Source", ":".join(map(str, probe.source))),
    )
    lines = [bold(probe.id, style)]
    lines += textwrap.wrap(probe.question, width, initial_indent="  ", subsequent_indent="  ")
    for name, text in entries:
        lines += textwrap.wrap(
            safe(text), width, initial_indent=f"  {name:11} ", subsequent_indent=" " * 14,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return "\n".join(lines) + "\n"
