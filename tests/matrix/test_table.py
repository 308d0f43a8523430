"""table: which rows differ, and that a promise is never taken for a measurement."""

from __future__ import annotations

import datetime
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix import assemble, cli
from matrix.cell import name_baseline
from matrix.report import FORMATS, render_table
from matrix.table import (
    DOCUMENTED,
    DOCUMENTED_ONLY,
    MEASURED_HERE,
    NOT_KNOWN,
    RECORDED,
    Column,
    Row,
    Table,
    make_table,
)
from probes import Report
from probes.load_catalogue import load_catalogue
from probes.renderings import Style
from tests import strategies
from tests.matrix.reports import ELSEWHERE, FREEBSD, changed, host, saved
from tests.matrix.workplace import ROOT
from tests.strategies import lightly

ID = "sockets.v6only_default"


@pytest.fixture(scope="module")
def linux() -> Report:
    return changed(host(), {})


@pytest.fixture(scope="module")
def freebsd(linux: Report) -> Report:
    return changed(linux, FREEBSD, {ID: True, "locks.flock_conflicts_with_fcntl": True})


def run(*arguments: str) -> int:
    """``python -m matrix`` with these arguments."""
    return cli.main(list(arguments))


def row(table: Table, id: str) -> Row:
    return next(row for row in table.rows if row.id == id)


def test_rows_that_differ_are_just_those_that_were_changed(linux: Report) -> None:
    values = {ID: "changed", "locks.flock_second_open_conflicts": "changed"}
    table = make_table([("a", linux), ("b", changed(linux, ELSEWHERE, values))], [])
    assert [row.id for row in table.select_differing().rows] == sorted(values)
    assert len(table.rows) == len(load_catalogue())


def test_true_is_not_one(linux: Report) -> None:
    ones = changed(linux, ELSEWHERE, {ID: 1}), changed(linux, ELSEWHERE, {ID: True})
    assert row(make_table([("a", ones[0]), ("b", ones[1])], []), ID).differs


def test_informative_facts_differ_freely(linux: Report) -> None:
    other = changed(linux, ELSEWHERE, {"abi.page_size": 16384})
    assert linux["abi.page_size"].scope == "informative"
    assert not make_table([("a", linux), ("b", other)], []).select_differing().rows


@pytest.mark.parametrize(
    ("status", "differs"),
    [("unsupported", True), ("blocked", False), ("timed out", False), ("broken", False)],
)
def test_only_what_tells_of_the_platform_differs(linux: Report, status: str, differs: bool) -> None:
    fact = {"status": status, "value": None, "scope": "inherent", "reason": "said so"}
    other = changed(linux, ELSEWHERE, facts={ID: fact})
    found = row(make_table([("a", linux), ("b", other)], []), ID)
    assert found.differs == differs
    assert found.entries[1].answer == status


def test_a_fact_that_a_report_lacks_is_unknown_and_differs_from_nothing(linux: Report) -> None:
    few = Report(linux.environment, {id: f for id, f in linux.facts.items() if id != ID})
    found = row(make_table([("a", linux), ("b", few)], []), ID)
    assert found.entries[1].status == NOT_KNOWN
    assert found.entries[1].answer == "?"
    assert not found.differs


def test_a_fact_of_another_catalogue_is_shown_last_in_its_family(linux: Report) -> None:
    fact = {"status": "measured", "value": 7, "scope": "inherent"}
    table = make_table([("a", changed(linux, ELSEWHERE, facts={"sockets.aaa": fact}))], [])
    assert [row.id for row in table.rows if row.family == "sockets"][-1] == "sockets.aaa"
    assert row(table, "sockets.aaa").question == "sockets.aaa"


def test_a_documented_value_is_never_shown_as_measured(linux: Report) -> None:
    table = make_table([("here", linux)], ["freebsd", "openbsd"], here=["here"])
    assert [column.kind for column in table.columns] == [
        MEASURED_HERE, DOCUMENTED_ONLY, DOCUMENTED_ONLY,
    ]  # fmt: skip
    for found in table.rows:
        assert found.entries[0].status == "measured"
        assert {cell.status for cell in found.entries[1:]} <= {DOCUMENTED, NOT_KNOWN}
        assert all(cell.fact is None for cell in found.entries[1:])
    assert row(table, ID).entries[1].status == DOCUMENTED
    document = json.loads(render_table("json", table, show_all=True))
    statuses = {
        (cell or {}).get("status") for found in document["rows"] for cell in found["cells"][1:]
    }
    assert statuses == {DOCUMENTED, None}
    text = render_table("markdown", table, show_all=True)
    line = next(line for line in text.splitlines() if line.startswith(f"| {ID}"))
    assert line.count("(yes)") == 2, line
    assert answers(render_table("text", table, show_all=True), ID)["yes"] == [
        "(freebsd)",
        "(openbsd)",
    ]


def test_a_report_lacking_a_fact_is_not_filled_from_the_manual(linux: Report) -> None:
    few = Report(linux.environment, {})
    assert {c.status for r in make_table([("few", few)], []).rows for c in r.entries} == {NOT_KNOWN}


def test_posix_is_no_platforms_own_word() -> None:
    probe = load_catalogue()["signals.unknown_sa_flags_accepted"]
    only_posix = next(
        p
        for p in load_catalogue().values()
        if "posix" in p.documented and "openbsd" not in p.documented
    )
    assert "openbsd" not in probe.documented
    table = make_table([], ["openbsd", "posix"])
    assert [cell.status for cell in row(table, only_posix.id).entries] == [NOT_KNOWN, DOCUMENTED]


@pytest.mark.parametrize(
    ("name", "id", "value"),
    [("freebsd", "abi.long_bits", 64), ("freebsd-32", "abi.long_bits", 32)],
)
def test_documented_width(name: str, id: str, value: int) -> None:
    assert row(make_table([], [name]), id).entries[0].value == value


def test_what_breaks_its_promise_is_marked(freebsd: Report) -> None:
    wrong = changed(freebsd, {}, {ID: False})
    assert row(make_table([("bsd", wrong)], []), ID).entries[0].breaks_promise
    assert not row(make_table([("bsd", freebsd)], []), ID).entries[0].breaks_promise
    assert answers(render_table("text", make_table([("b", wrong)], []), True), ID) == {"no": ["b!"]}
    # It is named though many others, which promise otherwise, answer the same.
    others = [(name, host()) for name in "cdefg"]
    table = make_table([("b", wrong), *others], ["freebsd"])
    assert row(table, ID).entries[1].answer == "no"
    assert answers(render_table("text", table, True), ID) == {
        "yes": ["(freebsd)"], "no": ["the other 5 measured", "b!"],
    }  # fmt: skip


def answers(text: str, id: str) -> dict[str, list[str]]:
    """Return the platforms of each answer that the text gives for a fact."""
    _, _, after = text.partition(f"\n{id} ")
    found: dict[str, list[str]] = {}
    for line in after.splitlines()[1:]:
        if not line.startswith("      "):
            break
        answer, _, names = line.strip().partition("  ")
        found[answer] = names.strip().split(", ")
    assert found, text
    return found


def test_text_tells_where_each_column_is_from(linux: Report, freebsd: Report) -> None:
    recorded = changed(freebsd, {"release": "13.4"}, approvals=[{"reason": "first"}])
    text = render_table(
        "text",
        make_table(
            [("here", linux), ("bsd", freebsd), ("bsd13", recorded)], ["netbsd"], here=["here"]
        ),
    )
    assert re.search(r"^here\* +measured here \d+ days ago: ", text, re.M)
    assert re.search(r"^bsd +report of 2026-11-23: FreeBSD 14.1-RELEASE amd64, 64-bit", text, re.M)
    assert re.search(r"^bsd13 +baseline of 2026-11-23: FreeBSD 13.4", text, re.M)
    assert re.search(r"^\(netbsd\) +documented only: ", text, re.M)
    assert answers(text, ID) == {"no": ["here*"], "yes": ["bsd", "bsd13", "(netbsd)"]}


FIFTEEN = [f"platform-{number}" for number in range(15)]


def test_text_of_fifteen_platforms_groups_those_that_agree(linux: Report) -> None:
    reports = [
        (name, changed(linux, ELSEWHERE, {ID: name in FIFTEEN[:3]}))
        for name in FIFTEEN
    ]  # fmt: skip
    text = render_table(
        "text", make_table(reports, ["freebsd", "macos", "netbsd", "openbsd"]), True
    )
    assert max(map(len, text.splitlines())) <= 100
    assert answers(text, ID) == {
        "yes": [*(f"{name}!" for name in FIFTEEN[:3]), "(freebsd)", "(netbsd)", "(openbsd)"],
        "no": ["the other 12 measured"],
    }
    assert answers(text, "abi.page_size") == {"yes": ["all 15 measured"]}


def test_a_platform_whose_manuals_are_silent_is_not_named(linux: Report) -> None:
    table = make_table([("a", linux)], ["openbsd"])
    id = next(each.id for each in table.rows if each.entries[1].status == NOT_KNOWN)
    assert list(answers(render_table("text", table, True), id).values()) == [["a"]]
    few = Report(linux.environment, {})
    told = answers(render_table("text", make_table([("a", linux), ("few", few)], []), True), ID)
    assert told == {"no": ["a"], "?": ["few"]}


@pytest.mark.parametrize("width", [40, 80, 120])
def test_text_keeps_to_the_terminal(linux: Report, freebsd: Report, width: int) -> None:
    table = make_table([("here", linux), ("bsd", freebsd)], ["macos", "netbsd"], here=["here"])
    text = render_table("text", table, style=Style(width=width))
    ids = max(len(row.id) for row in table.rows)
    assert max(map(len, text.splitlines())) <= max(width, ids)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "measured here just now"), (59, "measured here just now"),
        (60, "measured here 1 minute ago"), (300, "measured here 5 minutes ago"),
        (7199, "measured here 119 minutes ago"), (7200, "measured here 2 hours ago"),
        (172799, "measured here 47 hours ago"), (172800, "measured here 2 days ago"),
        (-59, "measured here just now"), (-3600, "measured here in the future: is a clock wrong?"),
    ],
)  # fmt: skip
def test_the_age_of_what_was_measured(seconds: int, said: str) -> None:
    now = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC)
    at = (now - datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert Column("here", MEASURED_HERE, "-", measured_at=at).describe_origin(now) == said


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z"])
def test_a_report_without_a_time_has_no_age(text: str) -> None:
    assert Column("a", RECORDED, "-", measured_at=text).describe_origin() == "report"


def test_markdown_has_as_many_cells_in_each_line(linux: Report, freebsd: Report) -> None:
    text = render_table("markdown", make_table([("a|b", linux), ("bsd", freebsd)], ["macos"]), True)
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) <= 1
    assert r"a\|b (recorded)" in text


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


@pytest.mark.parametrize("name", FORMATS)
def test_words_of_a_report_mean_nothing_to_who_shows_them(linux: Report, name: str) -> None:
    harm = "\x1b[2J</td></script><script>alert(1)</script>\u202e\ud800"
    bad = changed(linux, {"distribution": harm}, {ID: harm}, way=harm)
    text = render_table(name, make_table([(harm, bad)], ["freebsd"]), show_all=True)
    text.encode()
    assert "\x1b" not in text
    assert "\u202e" not in text
    if name in ("html", "markdown"):
        assert "<script>alert" not in text


@lightly
@given(st.lists(strategies.reports, max_size=3), st.sampled_from(FORMATS), st.booleans())
def test_any_report_can_be_shown(reports: list[Report], name: str, everything: bool) -> None:
    named = [(f"{at}\udcff<b>", report) for at, report in enumerate(reports)]
    for style in (Style(), Style(width=60)):
        text = render_table(name, make_table(named, ["freebsd"]), everything, style)
        text.encode()
        assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", FORMATS)
def test_no_rows_is_no_fault(linux: Report, name: str) -> None:
    assert render_table(name, make_table([("a", linux)], []))


@pytest.mark.parametrize("name", FORMATS)
def test_command_writes_each_format(tmp_path: Path, linux: Report, name: str) -> None:
    path = saved(linux, tmp_path / "one.json")
    output = tmp_path / "table"
    assert run("table", path, "--format", name, "-o", str(output)) == 0
    assert ID in output.read_text()


def test_command_knows_a_report_of_this_host(
    tmp_path: Path, linux: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = saved(linux, tmp_path / "mine.json")
    other = saved(changed(linux, ELSEWHERE), tmp_path / "other.json")
    assert run("table", mine, other, "--format", "json") == 0
    kinds = {c["name"]: c["kind"] for c in json.loads(capsys.readouterr().out)["columns"]}
    assert kinds["mine"] == MEASURED_HERE
    assert kinds["other"] == RECORDED
    assert kinds["freebsd"] == DOCUMENTED_ONLY


def test_a_measured_system_has_no_documented_column(
    tmp_path: Path, freebsd: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [
        saved(changed(freebsd, {"release": release}), tmp_path / f"{name}.json")
        for name, release in (("freebsd", "14.1"), ("freebsd13", "13.4"), ("freebsd15", "15.0"))
    ]
    assert run("table", *paths, "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    documented = [c["name"] for c in document["columns"] if c["kind"] == DOCUMENTED_ONLY]
    assert documented == ["linux", "macos", "netbsd", "openbsd"]


@pytest.mark.parametrize("command", ["table --format html", "table --format text", "atlas"])
@pytest.mark.parametrize(
    "locale",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
)
def test_whatever_the_locale(command: str, locale: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "matrix", *command.split()],
        cwd=ROOT, env={**os.environ, **locale}, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert ID in done.stdout.decode()


def test_a_report_that_was_run_here_is_named_after_its_cell(tmp_path: Path, linux: Report) -> None:
    i386 = {"distribution": "Debian GNU/Linux 12", "libc": "glibc", "pointer_bits": 32}
    report = changed(linux, {**i386, "emulated_32_bit": False}, cell="debian32")
    ((name, loaded),) = assemble.load_reports([saved(report, tmp_path / "report.json")])
    assert name == "debian32"
    titles = [
        each for those in assemble.find_unmeasured([(name, loaded)]).values() for each in those
    ]
    assert "Debian 12 i386 on its own kernel" not in titles
    assert "Debian 12 i386 on this host's kernel" in titles
    # What only says so is not it.
    false = changed(report, {"pointer_bits": 64})
    titles = [
        each for those in assemble.find_unmeasured([(name, false)]).values() for each in those
    ]
    assert "Debian 12 i386 on its own kernel" in titles


def test_columns_of_one_file_name_are_told_apart(tmp_path: Path, linux: Report) -> None:
    (tmp_path / "a").mkdir()
    paths = [saved(linux, tmp_path / "x.json"), saved(linux, tmp_path / "a" / "x.json")]
    assert len({name for name, _ in assemble.load_reports(paths)}) == 2


def test_without_a_report_it_takes_the_baselines(tmp_path: Path, linux: Report) -> None:
    saved(linux, tmp_path / "debian12.json")
    (tmp_path / "debian12.allowed.json").write_text('{"allowed": []}')
    assert [name for name, _ in assemble.load_baselines(str(tmp_path))] == ["debian12"]


def test_what_was_just_measured_comes_first(
    tmp_path: Path, linux: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    """And takes the place of what is recorded of the same platform, be it days old."""
    results, baselines = tmp_path / "results", tmp_path / "baselines"
    baselines.mkdir()
    old = changed(linux, {}, approvals=[{"reason": "first"}], measured_at="2026-11-20T12:00:00Z")
    for name in ("musl", "gvisor", name_baseline("here")):
        saved(old, baselines / f"{name}.json")
    for name, at in (("musl", "2026-11-26T11:00:00Z"), ("here", "2026-11-26T12:00:00Z")):
        (results / name).mkdir(parents=True)
        saved(changed(linux, {}, cell=name, measured_at=at), results / name / "report.json")
    (results / "failed").mkdir()
    options = ("--baselines", str(baselines), "table", "--measured", "--results", str(results))
    assert run(*options, "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)["columns"]
    assert [(c["name"], c["where"], c["measured_at"][:10]) for c in found] == [
        ("here", MEASURED_HERE, "2026-11-26"),
        ("musl", MEASURED_HERE, "2026-11-26"),
        ("gvisor", "baseline", "2026-11-20"),
    ]
    assert run(*options) == 0
    said = capsys.readouterr().out
    assert re.search(r"^musl\* +measured here \d+ (minute|hour|day)s ago: ", said, re.M)
    assert re.search(r"^gvisor +baseline of 2026-11-20: ", said, re.M)
    page = tmp_path / "atlas.html"
    options = ("--baselines", str(baselines), "atlas", "--measured", "--results", str(results))
    assert run(*options, "-o", str(page)) == 0
    embedded = re.search(r'id="data">(.*?)</script>', page.read_text(), re.S)
    assert embedded
    assert [
        (c["name"], c["where"], c["measured_at"]) for c in json.loads(embedded[1])["columns"]
    ] == [
        ("here", MEASURED_HERE, "2026-11-26T12:00:00Z"),
        ("musl", MEASURED_HERE, "2026-11-26T11:00:00Z"),
        ("gvisor", "baseline", "2026-11-20T12:00:00Z"),
    ]


def test_a_baseline_of_this_platform_is_not_measured_here(
    tmp_path: Path, linux: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(changed(linux, {}, approvals=[{"reason": "first"}]), tmp_path / "mine.json")
    assert run("table", path, "--measured", "--format", "json") == 0
    (column,) = json.loads(capsys.readouterr().out)["columns"]
    assert (column["kind"], column["where"]) == (RECORDED, "baseline")


@pytest.mark.parametrize("content", [None, "{", '{"schema": 99}', "[]"])
def test_bad_input_is_one_clear_line(
    tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content)
    for command in ("table", "atlas"):
        assert run(command, str(path)) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "bad.json" in line


@pytest.mark.parametrize("command", ["table", "atlas"])
def test_no_report_at_all_says_how_to_get_one(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ("--baselines", str(tmp_path), command, "--results", str(tmp_path / "none"))
    assert run(*folders) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        rf"matrix: no report in {tmp_path}/none, and no baseline in {tmp_path}; "
        r"to measure one: .*matrix run here",
        line,
    )


def test_measured_columns_alone(
    tmp_path: Path, linux: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(linux, tmp_path / "one.json")
    assert run("table", path, "--measured", "--format", "json") == 0
    assert [c["name"] for c in json.loads(capsys.readouterr().out)["columns"]] == ["one"]


def test_unknown_documented_name_is_refused(
    tmp_path: Path, linux: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(linux, tmp_path / "one.json")
    assert run("table", path, "--documented", "beos") == 2
    assert re.search(r"'beos': there are .*freebsd", capsys.readouterr().err)
