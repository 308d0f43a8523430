"""Reading a report: what is accepted, and what each refusal says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes import Fact, Platform, Report, ReportError
from probes.fact import STATUSES
from probes.probe import is_same
from probes.report_json import DEEPEST, LARGEST_FILE
from probes.text import make_printable
from tests.strategies import documents, lightly, reports, texts
from tests.worlds import ROOT

HERE = Platform("Linux", "6.1.0", "x86_64", "glibc", "2.36", 64)
SMALL = Report(
    HERE,
    {
        "a.b": Fact("a.b", "measured", 5, raw=[1, {"x": 0.5}], milliseconds=1.25),
        "a.c": Fact("a.c", "blocked", reason="needs r\u00f6\u00f6t"),
    },
    seconds=0.5,
    measured_at="2026-11-22T23:59:59Z",
)


def complaint(text: Any) -> str:
    """Return the line that refuses ``text``; empty if it is read, and can be written."""
    try:
        Report.loads(text).dumps()
    except ReportError as error:
        return str(error)
    return ""


def refused(text: Any) -> str:
    """Return the line that refuses ``text``."""
    message = complaint(text)
    assert message
    assert message.isprintable()
    return message


def ordered(value: Any) -> str:
    """As text, since Python calls 1 and True equal."""
    return json.dumps(value, sort_keys=True)


@lightly
@given(documents)
def test_what_is_written_reads_the_same(document: dict[str, Any]) -> None:
    report = Report.from_json(document)
    text = report.dumps()
    again = Report.loads(text)
    assert again.dumps() == text
    assert again.dumps() == Report.loads(text.encode()).dumps()
    assert again.environment == report.environment
    for fact in report:
        read = again[fact.id]
        assert (read.status, read.scope, read.reason) == (fact.status, fact.scope, fact.reason)
        assert is_same(read.value, fact.value)
        assert ordered([read.raw, read.later]) == ordered([fact.raw, fact.later])
    assert again.later == report.later
    assert text.endswith("}\n")
    assert text.isascii()


@lightly
@given(reports, st.dictionaries(st.text(st.characters(codec="ascii")).map("x".__add__), texts))
def test_fields_of_a_later_version_are_kept(report: Report, fields: dict[str, Any]) -> None:
    document = report.to_json()
    for part in (document, document["environment"], *document["facts"].values()):
        part.update(fields)
    read = json.loads(Report.from_json(document).dumps())
    for part in (read, read["environment"], *read["facts"].values()):
        assert fields.items() <= part.items()


def test_cut_short_anywhere_it_is_refused() -> None:
    data = SMALL.dumps().encode()
    Report.loads(data[:-1])  # The final newline alone may go.
    for length in range(len(data) - 1):
        refused(data[:length])


@settings(lightly, max_examples=150)
@given(st.one_of(st.binary(), st.text(), st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["schema", "facts", "environment", "a.b", "status"]), inner
    ),
).map(json.dumps)))  # fmt: skip
def test_what_is_no_report_is_refused(text: Any) -> None:
    refused(text)


@lightly
@given(reports, st.binary(max_size=3), st.data())
def test_a_report_with_bytes_changed_is_read_or_refused(
    report: Report, junk: bytes, data: st.DataObject
) -> None:
    text = report.dumps().encode()
    at = data.draw(st.integers(0, len(text)))
    changed = text[:at] + junk + text[at + data.draw(st.integers(0, 3)) :]
    said = complaint(changed)
    assert not said or said.isprintable()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"status": "blocked", "reason": "x"}, "fact a.b is blocked, but has a value"),
        *(
            ({"status": status, "value": None, "reason": ""}, "but has no reason")
            for status in STATUSES
            if status != "measured"
        ),
        ({"status": "fine"}, "the unknown status 'fine'"),
        ({"status": None}, "the unknown status None"),
        ({"scope": "local"}, "the unknown scope 'local'"),
        ({"value": 0.5}, "not a bool, integer, string or null"),
        ({"value": [1]}, "not a bool, integer, string or null"),
        ({"value": 2**63}, "not a bool, integer, string or null"),
        ({"value": -(2**63) - 1}, "not a bool, integer, string or null"),
        ({"milliseconds": -1}, "milliseconds that are not a duration"),
        ({"milliseconds": 1e12 + 1}, "milliseconds that are not a duration"),
        ({"milliseconds": True}, "milliseconds that are not a duration"),
        ({"reason": 1}, "a reason that is not a string"),
    ],
)
def test_what_is_no_fact(changed: dict[str, Any], said: str) -> None:
    right = {"status": "measured", "value": True, "scope": "inherent"}
    Fact.from_json("a.b", right)
    with pytest.raises(ReportError, match=said):
        Fact.from_json("a.b", {**right, **changed})


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 0, "", None, False, 7.0])
def test_what_a_fact_may_answer(value: Any) -> None:
    fact = Fact.from_json("a.b", {"status": "measured", "value": value, "scope": "inherent"})
    assert (fact.value, fact.measured) == (value, True)


@pytest.mark.parametrize("id", ["a", "a.", ".b", "A.b", "a.B", "a.b.c", "a.b c", "\u00e9.b", "1.b"])
def test_what_is_no_id(id: str) -> None:
    with pytest.raises(ReportError, match="is not a fact id"):
        Fact.from_json(id, {"status": "measured", "value": 1, "scope": "inherent"})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pointer_bits": 8}, "pointer_bits is of the wrong kind"),
        ({"pointer_bits": True}, "pointer_bits is of the wrong kind"),
        ({"machine": 7}, "machine is of the wrong kind"),
        ({"root": 1}, "root is of the wrong kind"),
        ({"interfaces": {"lo": "inet"}}, "interfaces is of the wrong kind"),
        ({"interfaces": {"lo": [1]}}, "interfaces is of the wrong kind"),
        ({"sysctls": {"a": 1}}, "sysctls is of the wrong kind"),
    ],
)
def test_what_is_no_platform(changed: dict[str, Any], said: str) -> None:
    right = HERE.to_json()
    assert Platform.from_json(right) == HERE
    with pytest.raises(ReportError, match=said):
        Platform.from_json({**right, **changed})
    for name in ("system", "release", "machine", "libc", "libc_version", "pointer_bits"):
        lacking = {key: value for key, value in right.items() if key != name}
        with pytest.raises(ReportError, match=f"the environment has no {name}"):
            Platform.from_json(lacking)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON, or cut short"),
        ("{}", 'no "schema"'),
        ("[]", 'no "schema"'),
        ("<html>", "not JSON"),
        ('{"schema": 2}', "its schema is 2; this version reads only schema 1"),
        ('{"schema": "1\\n2"}', "its schema is"),
        ('{"schema": true}', "its schema is True"),
        ('{"schema": 1}', "environment is missing"),
        ('{"schema": NaN}', "NaN"),
        ('{"schema": 1, "x": -Infinity}', "-Infinity"),
        ('{"schema": 1, "x": 1e999}', "JSON cannot express"),
        ('{"schema": 1, "x": ' + "9" * 5000 + "}", "hundreds of digits"),
        ('{"schema": 1, "x": ' + "9" * 350 + "}", "JSON cannot express"),
        ('{"schema": 1, "x": ' + nested(DEEPEST) + "}", "nested deeper than"),
        (nested(100_000), "nested deeper than"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested deeper than"),
        ('{"schema": 1, "schema": 1}', "has the key 'schema' twice"),
        ('{"schema": 1, "x": {"a": 1, "\\n\\u001b": 2, "\\n\\u001b": 3}}', "twice"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (SMALL.dumps().encode("utf-16"), "not UTF-8"),
        (b"\x00" * 100, "not JSON"),
        (b'{"schema": "\xed\xa0\x80"}', "not UTF-8"),
        (b"\x7fELF\x02\x01\x01", "not JSON"),
    ],
)
def test_each_refusal_says_why(text: Any, said: str) -> None:
    assert said in refused(text)


@pytest.mark.parametrize("depth", [900, 990, 5000])
def test_what_is_read_can_be_written(depth: int) -> None:
    """Some Pythons read deeper than they write: nothing in between is let through."""
    document = SMALL.to_json()
    for part in (document, document["environment"], document["facts"]["a.b"]):
        part["later"] = None
    text = json.dumps(document)
    for at in range(3):
        parts = text.split('"later": null')
        refused(f'"later": {nested(depth)}'.join(["null".join(parts[: at + 1]), parts[at + 1]]))
    deepest = '"later": ' + nested(DEEPEST - 3)
    report = Report.loads(text.replace('"later": null', deepest))
    assert Report.loads(report.dumps()).dumps() == report.dumps()


def test_a_fact_that_is_read_fits_a_report() -> None:
    for depth in range(DEEPEST - 5, DEEPEST + 3):
        raw = json.loads(nested(depth))
        try:
            fact = Fact.from_json(
                "a.b", {"status": "measured", "value": 1, "scope": "inherent", "raw": raw}
            )
        except ReportError:
            assert depth > DEEPEST - 3
        else:
            assert not complaint(Report(HERE, {"a.b": fact}).dumps())


def test_a_byte_order_mark_and_a_lone_surrogate_are_no_harm() -> None:
    assert Report.loads(b"\xef\xbb\xbf" + SMALL.dumps().encode()).dumps() == SMALL.dumps()
    report = Report.loads(SMALL.dumps().replace("needs", "\\udcff"))
    assert report["a.c"].reason.startswith("\udcff")
    assert Report.loads(report.dumps()).dumps() == report.dumps()


def load_refused(path: Path) -> str:
    with pytest.raises(ReportError) as raised:
        Report.load(path)
    message = str(raised.value)
    assert message.isprintable()
    assert message.startswith(make_printable(str(path)))
    return message


def test_files_that_are_none(tmp_path: Path) -> None:
    assert "No such file" in load_refused(tmp_path / "missing")
    assert "Is a directory" in load_refused(tmp_path)
    assert "Not a directory" in load_refused(Path(__file__) / "x")
    assert "null" in load_refused(Path("a\0b"))
    assert "No such file" in load_refused(Path("two\nlines\x1b[31m\udcff"))
    path = tmp_path / "empty"
    path.touch()
    assert "cut short" in load_refused(path)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    load_refused(loop)


def test_a_file_past_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(LARGEST_FILE + 1)
    assert "larger than" in load_refused(path)
    if os.path.exists("/dev/zero"):
        assert "larger than" in load_refused(Path("/dev/zero"))


def test_a_fifo_nobody_writes_to_is_no_reason_to_wait(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    program = "import sys; from probes import Report; Report.load(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert f"ReportError: {path}: not JSON, or cut short" in done.stderr


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    """As a shell gives it: ``diff a.json <(ssh host …)``."""
    reading, writing = os.pipe()
    large = SMALL.with_later(x="y" * 200_000)

    def write() -> None:
        with open(writing, "w") as file:
            file.write(large.dumps())

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert Report.load(f"/dev/fd/{reading}").dumps() == large.dumps()
    finally:
        os.close(reading)
        thread.join()
