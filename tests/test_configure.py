"""Test the table of what configure scripts ask."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from probes.load_catalogue import load_catalogue

TABLE = Path(__file__).resolve().parents[1] / "docs" / "configure.csv"


def test_each_fact_exists_and_each_test_is_asked_once() -> None:
    probes = load_catalogue()
    asked: Counter[str] = Counter()
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    for row in rows:
        assert row["behaviour"], row
        assert set(row["facts"].split()) <= probes.keys(), row
        # A project alone, without a test's name, may ask many things.
        asked.update(one for one in row["asked by"].split("; ") if " " in one)
    assert [one for one, times in asked.items() if times > 1] == []
    assert len(rows) > 80
