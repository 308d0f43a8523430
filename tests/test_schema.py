"""report.schema.json and the reader hold a report against the same rules."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import probes
from probes import Platform, Report, ReportError
from probes.fact import SCOPES, STATUSES
from tests.strategies import documents, lightly

SCHEMA = json.loads((Path(probes.__file__).parent / "report.schema.json").read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)

MINIMAL: dict[str, Any] = {
    "schema": 1,
    "environment": {
        "system": "Linux",
        "release": "6.1",
        "machine": "x86_64",
        "libc": "glibc",
        "libc_version": "2.36",
        "pointer_bits": 64,
    },
    "facts": {
        "a.b": {"status": "measured", "value": True, "scope": "inherent"},
        "a.c": {"status": "blocked", "value": None, "scope": "inherent", "reason": "needs root"},
    },
}


def accepted(document: Any) -> bool:
    """Whether the reader takes it; the schema must agree."""
    try:
        Report.from_json(document)
        read = True
    except ReportError:
        read = False
    assert VALIDATOR.is_valid(document) == read, list(VALIDATOR.iter_errors(document))
    return read


def test_the_schema_is_one_and_names_every_field() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    parts = SCHEMA["$defs"]
    assert sorted(parts["environment"]["properties"]) == sorted(Platform._fields())
    assert parts["fact"]["properties"]["status"]["enum"] == list(STATUSES)
    assert parts["fact"]["properties"]["scope"]["enum"] == list(SCOPES)


def test_the_report_of_this_host_is_valid(here: Report) -> None:
    assert accepted(json.loads(here.dumps()))


@lightly
@given(documents)
def test_every_report_is_valid(document: dict[str, Any]) -> None:
    assert accepted(document)
    assert accepted(json.loads(Report.from_json(document).dumps()))


JUNK: tuple[Any, ...] = (
    None, True, False, 0, 1, 1.0, 2, -1, 64, 64.0, 0.5, 1e12, 1e13, 2**63, 2**63 - 1, -(2**63),
    -(2**63) - 1, float(2**63), float(-(2**63)), "", "1", "measured", "blocked", "unstable",
    "inherent", "reason", [], [None], ["inet"], {}, {"a": None}, {"a": ["inet"]}, {"a": [1]},
    {"a": "1"},
)  # fmt: skip
NAMES = ("status", "value", "scope", "reason", "raw", "milliseconds", "schema", "seconds",
         "pointer_bits", "interfaces", "sysctls", "a.b", "a.B", "a", "a.b.c", "a.b\n", "a.é", "a.1",
         ".a", "a.", "", "class.def")  # fmt: skip


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Every container in it with each of its keys."""
    found = []
    items = list(document.items()) if isinstance(document, dict) else list(enumerate(document))
    for key, value in items:
        found.append((document, key))
        if isinstance(value, (dict, list)):
            found += _places(value)
    return found


@settings(lightly, max_examples=150)
@given(st.one_of(st.just(MINIMAL), documents), st.data())
def test_the_reader_accepts_what_the_schema_accepts(document: Any, data: st.DataObject) -> None:
    document = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 2))):
        container, key = data.draw(st.sampled_from(_places(document)))
        how = data.draw(st.sampled_from(["remove", "replace", "rename", "add"]))
        junk = copy.deepcopy(data.draw(st.sampled_from(JUNK)))
        if how == "replace" or isinstance(container, list):
            container[key] = junk
        elif how == "remove":
            del container[key]
        elif how == "rename":
            container[data.draw(st.sampled_from(NAMES))] = container.pop(key)
        else:
            container[data.draw(st.sampled_from(NAMES))] = junk
        if not _places(document):
            break
    accepted(document)


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        ((), [], False),
        (("schema",), 1.0, True),
        (("schema",), True, False),
        (("schema",), 2, False),
        (("schema",), "1", False),
        (("seconds",), -1, False),
        (("seconds",), True, False),
        (("measured_at",), None, False),
        (("later",), {"any": [1]}, True),
        (("environment", "pointer_bits"), 63, False),
        (("environment", "pointer_bits"), 32.0, True),
        (("environment", "root"), 1, False),
        (("environment", "libc"), None, False),
        (("environment", "interfaces"), {"lo": ["inet", "inet6"]}, True),
        (("environment", "interfaces"), {"lo": "inet"}, False),
        (("environment", "sysctls"), {"a": "1"}, True),
        (("environment", "sysctls"), {"a": 1}, False),
        (("environment", "later"), 1, True),
        (("facts",), {}, True),
        (("facts",), [], False),
        (("facts", "a.b", "value"), 2**63 - 1, True),
        (("facts", "a.b", "value"), 2**63, False),
        (("facts", "a.b", "value"), -(2**63), True),
        (("facts", "a.b", "value"), -(2**63) - 1, False),
        (("facts", "a.b", "value"), 0.5, False),
        (("facts", "a.b", "value"), 5.0, True),
        (("facts", "a.b", "value"), [], False),
        (("facts", "a.b", "value"), None, True),
        (("facts", "a.b", "status"), "blocked", False),
        (("facts", "a.b", "status"), "failed", False),
        (("facts", "a.b", "scope"), None, False),
        (("facts", "a.b", "reason"), "", True),
        (("facts", "a.b", "milliseconds"), "1", False),
        (("facts", "a.c", "value"), False, False),
        (("facts", "a.c", "reason"), "", False),
        (("facts", "a.c", "status"), "measured", True),
        (("facts", "A.c"), MINIMAL["facts"]["a.b"], False),
        (("facts", "a.b\n"), MINIMAL["facts"]["a.b"], False),
        (("facts", "class.def"), MINIMAL["facts"]["a.b"], True),
    ],
)
def test_each_rule(place: tuple[str, ...], value: Any, expected: bool) -> None:
    assert accepted(MINIMAL)
    document = copy.deepcopy(MINIMAL)
    if place:
        part = document
        for name in place[:-1]:
            part = part[name]
        part[place[-1]] = value
    else:
        document = value
    assert accepted(document) is expected


@pytest.mark.parametrize("missing", ["schema", "environment", "facts"])
def test_each_part_is_needed(missing: str) -> None:
    assert not accepted({name: part for name, part in MINIMAL.items() if name != missing})


def test_each_field_that_explains_a_difference_is_needed() -> None:
    for name in MINIMAL["environment"]:
        document = copy.deepcopy(MINIMAL)
        del document["environment"][name]
        assert not accepted(document)
    for name in ("status", "value", "scope", "reason"):
        document = copy.deepcopy(MINIMAL)
        del document["facts"]["a.c"][name]
        assert not accepted(document)
