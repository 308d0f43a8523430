"""Test the table as JSON."""

from __future__ import annotations

import json

from matrix.report import render_table
from matrix.table import (
    DOCUMENTED_ONLY,
    RECORDED,
    make_table,
)
from probes import Report
from probes.load_catalogue import load_catalogue
from tests.matrix.report.tables import twenty
from tests.matrix.tables import ID


def test_json_tells_all(linux: Report, freebsd: Report) -> None:
    document = json.loads(
        render_table("json", make_table([("a", linux), ("b", freebsd)], ["netbsd"]))
    )
    found = next(each for each in document["rows"] if each["id"] == ID)
    assert found["differs"]
    assert found["cells"][1] == {
        "status": "measured", "value": True, "documented": {"name": "freebsd", "value": True},
    }  # fmt: skip
    assert found["cells"][2]["status"] == "documented"
    assert document["facts"] == len(load_catalogue())
    assert [column["kind"] for column in document["columns"]] == [
        RECORDED, RECORDED, DOCUMENTED_ONLY,
    ]  # fmt: skip
    assert [column["family"] for column in document["columns"]][1:] == ["FreeBSD", "NetBSD"]
    assert document["columns"][1]["build"] == "amd64, 14.1-RELEASE"


def test_json_has_every_platform_however_many() -> None:
    names = {column["name"] for column in json.loads(render_table("json", twenty()))["columns"]}
    assert {"python3.9", "python3.13", "debian12-amd64"} <= names
