"""Reports for hypothesis to draw: any that the reader admits, with strings that mean harm."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from probes.fact import MEASURED, SCOPES, STATUSES, Report
from probes.probe import Probe

lightly = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For a busy machine: few examples, and no verdict on how long one takes."""

HARM = (
    "\x1b[2J", "\x07", "\x00", "\x7f", "\x85", "\r", "\n", "\r\n::error::x", "::stop-commands::x",
    "##[add-mask]x", "%0A", "*/", "/*", "/*/", "??/", "???/", "\\", "\\\n", '"', "'", "|", "`",
    "<b>", "]]>", "&", "$x$", "_x_", "\u202e", "\u2028", "\ud800", "\udcff", "\uffff", "日本語",
    "é", "…", "~~x", " ", "  ", "x" * 200,
)  # fmt: skip


def _as_json(text: str) -> str:
    """As it comes back from JSON: two surrogates that stand side by side are one character."""
    found: str = json.loads(json.dumps(text))
    return found


texts = (
    st.lists(st.one_of(st.sampled_from(HARM), st.text(max_size=6)), max_size=4)
    .map("".join)
    .map(_as_json)
)
some_text = texts.filter(bool)

ids = st.one_of(
    # Those whose macros would be alike.
    st.sampled_from(["a.b_c", "a_b.c", "a.b", "a.b_is_ok", "a.b_2", "a_.b", "a.b_c_2"]),
    st.from_regex(r"[a-z_][a-z0-9_]{0,8}\.[a-z_][a-z0-9_]{0,40}", fullmatch=True),
)

settings_of_reports = st.one_of(st.sampled_from(["net.core.somaxconn", HARM[8]]), texts)
"""Facts hang on them, and the environment records them."""

numbers = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([-(2**63), 2**63 - 1, -(2**31), 2**31 - 1, 2**31, -1, 0, 1, 1.0]),
)
values = st.one_of(
    st.none(), st.booleans(), numbers, texts, st.sampled_from(["ok", "EINTR", "a-b", ""])
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
durations = st.one_of(
    st.integers(0, 10**12), st.floats(0, 1e12), st.sampled_from([0, 1, 0.25, 1e12])
)
later_fields = st.dictionaries(st.sampled_from(["later", "note", ""]), anything, max_size=2)


@st.composite
def facts(draw: st.DrawFn) -> dict[str, Any]:
    """One fact as JSON."""
    status = draw(st.sampled_from((MEASURED, *STATUSES)))
    document = draw(later_fields)
    document.update(status=status, value=None, scope=draw(st.sampled_from(SCOPES)))
    if status == MEASURED:
        document["value"] = draw(values)
        optional: dict[str, Any] = {"reason": texts}
    else:
        document["reason"] = draw(some_text)
        optional = {}
    optional.update(raw=anything, milliseconds=durations, hangs_on=settings_of_reports)
    document.update(draw(st.fixed_dictionaries({}, optional=optional)))
    return document


environments = st.fixed_dictionaries(
    {
        "system": texts,
        "release": texts,
        "machine": texts,
        "libc": texts,
        "libc_version": texts,
        "pointer_bits": st.sampled_from([16, 32, 64, 128, 64.0]),
    },
    optional={
        **dict.fromkeys(
            ("distribution", "version", "compiler", "python", "container", "hypervisor"), texts
        ),
        "scratch_filesystem": texts,
        "probes_hash": texts,
        "emulated_32_bit": st.booleans(),
        "root": st.booleans(),
        "interfaces": st.dictionaries(texts, st.lists(texts, max_size=2), max_size=2),
        "sysctls": st.dictionaries(settings_of_reports, texts, max_size=2),
        "later": anything,
    },
)

documents = st.fixed_dictionaries(
    {
        "schema": st.sampled_from([1, 1.0]),
        "environment": environments,
        "facts": st.dictionaries(ids, facts(), max_size=4),
    },
    optional={"seconds": durations, "measured_at": texts, "approvals": anything},
)

reports = documents.map(Report.from_json)


def probes_for(report: Report) -> dict[str, Probe]:
    """Return a probe for every other fact, some as table rows, all documented otherwise."""
    return {
        fact.id: Probe(
            id=fact.id,
            question=f"What does {fact.id} give, if it gives anything at all?",
            matters="It goes wrong.",
            advice="Set it.",
            reference="it(7)",
            scope=fact.scope,
            documented={"posix": "another"} if number % 3 else {},
            heading="What does … give, if it gives anything at all?" if number % 4 else "",
            function=probes_for,
        )
        for number, fact in enumerate(report)
        if number % 2 == 0
    }
