"""Reading allowed differences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from probes.allowances import find_allowances, load_allowances
from probes.errors import ReportError
from probes.report_json import LARGEST_FILE
from tests.gated import SETTING, allowance, by_cause


def entry(**fields: object) -> dict[str, object]:
    return {
        "fact": "a.b", "from": True, "to": False, "reason": "known", "expires": "2026-11-22",
        **fields,
    }  # fmt: skip


def cause_entry(**fields: object) -> dict[str, object]:
    """Return an entry by cause; a setting's value may be a number."""
    ends = {"cause": SETTING, "from": 0, "to": "1"}
    kept = {name: value for name, value in entry(**ends).items() if name != "fact"}
    return {**kept, **fields}


def test_allowances_are_read_from_beside_the_baseline(tmp_path: Path) -> None:
    path = Path(find_allowances(tmp_path / "freebsd.json"))
    assert path == tmp_path / "freebsd.allowed.json"
    assert load_allowances(path) == []
    path.write_text(json.dumps({"allowed": [entry()]}))
    assert load_allowances(path) == [allowance()]
    path.write_text(json.dumps({"allowed": [cause_entry()]}))
    assert load_allowances(path) == [by_cause()]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("[]", 'no list "allowed"'),
        ('{"allowed": 1}', 'no list "allowed"'),
        ('{"allowed": [1]}', "entry 1 is not an object"),
        (
            json.dumps({"allowed": [entry(), {}]}),
            "entry 2 has no fact or cause, from, to, reason",
        ),
        (json.dumps({"allowed": [entry(until="x")]}), "unknown until"),
        (json.dumps({"allowed": [entry(fact=["a.b"])]}), "entry 1 has a fact that is not a string"),
        (
            json.dumps({"allowed": [cause_entry(cause=1)]}),
            "has a cause that is not a string",
        ),
        (json.dumps({"allowed": [entry(cause=SETTING)]}), "entry 1 has both a fact and a cause"),
        (
            json.dumps({"allowed": [cause_entry(to=True)]}),
            "not a value of a setting; write",
        ),
        (json.dumps({"allowed": [{"cause": SETTING}]}), "entry 1 has no from, to, reason, expires"),
        (json.dumps({"allowed": [entry(reason=" ")]}), "has no reason"),
        (json.dumps({"allowed": [entry(expires="never")]}), "expires: not a date"),
        (json.dumps({"allowed": [entry(expires=3)]}), "expires: not a date"),
        # Which of these are dates hangs on the version of Python.
        *(
            (
                json.dumps({"allowed": [entry(expires=text)]}),
                "entry 1 expires: not a date",
            )
            for text in (
                "20300101",
                "2030-W01-1",
                "2030W011",
                "2030-001",
                "2030-1-1",
                "2030-13-01",
                "2030-02-30",
                " 2030-01-01",
                "2030-01-01T00:00",
                "\uff12\uff10\uff13\uff10-01-01",
            )
        ),
        ('{"allowed": [], "allowed": []}', "it has the key 'allowed' twice"),
        ('{"allowed": [{"fact": "a.b", "fact": "a.c"}]}', "it has the key 'fact' twice"),
        ('{"allowed": [{"from": NaN}]}', "it holds NaN"),
        ('{"allowed": [' + "9" * 5000 + "]}", "hundreds of digits"),
        ("[" * 100_000, "nested deeper"),
        ('{"allowed": []}' + " " * LARGEST_FILE, "larger than"),
    ],
)
def test_a_broken_list_of_allowances_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.allowed.json"
    path.write_text(text)
    with pytest.raises(ReportError, match=said) as raised:
        load_allowances(path)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)
