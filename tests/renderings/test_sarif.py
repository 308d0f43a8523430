"""sarif: valid by the rules of SARIF 2.1.0 and of GitHub's code scanning, and stable."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from hypothesis import given

from probes import Fact, Report
from probes.baseline import approve, judge
from probes.fact import FAULTS
from probes.render_verdict import render_verdict
from probes.renderings import Style, differs, render
from tests.renderings import PROBES, SAMPLE
from tests.strategies import lightly, probes_for, reports


def check(text: str) -> dict[str, Any]:
    """Return the run of a log that keeps the rules; of its keys, those that SARIF knows."""
    log = json.loads(text)
    assert set(log) == {"$schema", "version", "runs"}
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert set(run) == {"tool", "columnKind", "properties", "results"}
    driver = run["tool"]["driver"]
    assert driver["name"]
    rules = [rule["id"] for rule in driver["rules"]]
    assert len(rules) == len(set(rules))  # SARIF 3.19.23
    for rule in driver["rules"]:
        assert set(rule) <= {"id", "shortDescription", "fullDescription", "help"}
        assert rule["shortDescription"]["text"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]  # SARIF 3.27.7
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        uri = place["artifactLocation"]["uri"]
        assert re.fullmatch(r"[\w.~!$&'()*+,;=:@%/-]+", uri, re.ASCII)
        assert urlsplit(uri).scheme in ("", "file")
        assert place["region"]["startLine"] >= 1
        (print,) = result["partialFingerprints"].values()
        assert re.fullmatch("[0-9a-f]{64}", print)
        for suppression in result.get("suppressions", ()):
            assert suppression["kind"] == "external"
    checked: dict[str, Any] = run
    return checked


@lightly
@given(report=reports)
def test_every_report_is_valid(report: Report) -> None:
    probes = probes_for(report)
    run = check(render("sarif", report, probes))
    odd = [f.id for f in report if f.status in FAULTS or differs(f, report, probes)]
    assert len(run["results"]) == len(odd)
    assert len(run["tool"]["driver"]["rules"]) == len(report)


def test_a_fingerprint_is_of_the_fact_and_the_kind_of_platform() -> None:
    def prints(report: Report) -> dict[str, str]:
        return {
            result["ruleId"]: result["partialFingerprints"]["probesFact/v1"]
            for result in check(render("sarif", report, PROBES))["results"]
        }

    first = prints(SAMPLE)
    assert len(set(first.values())) == len(first) > 1
    newer = replace(SAMPLE.environment, release="15.0", probes_hash="fedcba9876543210")
    assert prints(replace(SAMPLE, environment=newer, measured_at="2031-01-01T00:00:00Z")) == first
    wider = replace(SAMPLE.environment, pointer_bits=64)
    assert not set(prints(replace(SAMPLE, environment=wider)).values()) & set(first.values())


def test_the_gate_reports_what_fails_and_suppresses_what_is_allowed() -> None:
    ids = ("sockets.v6only_default", "sockets.backlog", "sockets.order")
    kept = {id: Fact(id, "measured", 1, scope="configured") for id in ids}
    report = Report(SAMPLE.environment, kept)
    baseline = approve(None, report, "first", date(2026, 1, 1), ids)

    def run(*changed: str) -> dict[str, Any]:
        facts = {id: replace(f, value=2) if id in changed else f for id, f in kept.items()}
        found = judge(
            baseline, replace(report, facts=facts), allow=["sockets.order"], path="ci/a b.json"
        )
        return check(render_verdict("sarif", found, PROBES, Style()))

    assert run()["results"] == []
    allowed, failing = sorted(
        run("sockets.order", "sockets.backlog")["results"], key=lambda r: "suppressions" not in r
    )
    assert (failing["ruleId"], failing["level"]) == ("sockets.backlog", "error")
    assert "1 -> 2" in failing["message"]["text"]
    place = failing["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "ci/a%20b.json"}
    assert (allowed["ruleId"], allowed["level"]) == ("sockets.order", "note")
    assert allowed["suppressions"][0]["justification"]
