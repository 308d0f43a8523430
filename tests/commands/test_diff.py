"""The command diff."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.commands import ID
from tests.worlds import run_lab


def test_diff_shows_what_differs(baseline: Path, drifted: Path) -> None:
    same = run_lab("diff", str(baseline), str(baseline))
    assert (same.returncode, "0 of 1 facts differ" in same.stdout) == (0, True)
    done = run_lab("diff", str(baseline), str(drifted), str(baseline))
    assert done.returncode == 1
    assert re.search(rf"^{ID}  +\w+ +\w+ +\w+  Is IPV6_V6ONLY .*\?$", done.stdout, re.MULTILINE)
    document = json.loads(run_lab("diff", "--json", str(baseline), str(drifted)).stdout)
    (row,) = document["rows"]
    assert row["facts"][0]["value"] is not row["facts"][1]["value"]


def test_a_fact_blocked_in_one_report_does_not_differ(baseline: Path, tmp_path: Path) -> None:
    document = json.loads(baseline.read_text())
    document["facts"][ID].update(status="blocked", value=None, reason="a filter")
    document["facts"]["a.b"] = {"status": "measured", "value": 1, "scope": "inherent"}
    blocked, other = tmp_path / "blocked.json", tmp_path / "other.json"
    blocked.write_text(json.dumps(document))
    document["facts"][ID] = json.loads(baseline.read_text())["facts"][ID]
    other.write_text(json.dumps(document))
    done = run_lab("diff", str(other), str(blocked))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"  B  blocked: a filter; 1 fact: {ID}\n" in done.stdout
    assert done.stdout.endswith("0 of 2 facts differ, 1 not compared\n")
    # Reports without a common fact do not agree.
    done = run_lab("diff", str(baseline), str(blocked))
    assert done.returncode == 3
    assert done.stderr == "probes: nothing to compare: no fact is measured in two of the reports\n"


def test_all_shows_equal_facts_too(baseline: Path) -> None:
    assert ID not in run_lab("diff", str(baseline), str(baseline)).stdout
    assert ID in run_lab("diff", "--all", str(baseline), str(baseline)).stdout
