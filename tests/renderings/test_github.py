"""Test the format github: the runner obeys the intended commands and no others."""

import re
from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given

from probes import Fact, Report
from probes.fact import FAULTS
from probes.renderings import differs, render
from probes.renderings.github import MOST, format_annotations
from probes.text import make_printable
from tests.renderings import PROBES, SAMPLE
from tests.strategies import lightly, probes_for, reports


def commands(text: str) -> list[tuple[str, dict[str, str], str]]:
    """Parse a log as the runner does (actions/runner, ActionCommand.cs)."""
    found = []
    for line in text.split("\n"):
        stripped = line.lstrip()
        if stripped.startswith("::"):
            head, _, data = stripped[2:].partition("::")
            name, _, rest = head.partition(" ")
            pairs = dict(pair.split("=", 1) for pair in rest.split(",") if pair)
            found.append((name, {k: unescaped(v) for k, v in pairs.items()}, unescaped(data)))
        elif "##[" in line:
            found.append(("old", {}, line))
    return found


def unescaped(text: str) -> str:
    for escape, character in (("%3A", ":"), ("%2C", ","), ("%0D", "\r"), ("%0A", "\n")):
        text = text.replace(escape, character)
    return text.replace("%25", "%")


def annotated(text: str, *kinds: str) -> list[tuple[str, dict[str, str], str]]:
    return [command for command in commands(text) if command[0] in kinds]


def test_the_sample() -> None:
    text = render("github", SAMPLE, PROBES)
    found = commands(text)
    groups = [data for name, _, data in found if name == "group"]
    assert groups == ["platform", "restarts (8)", "sockets (9)", "strangers (1)"]
    assert [name for name, _, _ in found].count("endgroup") == 4
    errors = annotated(text, "error")
    assert [at["title"] for _, at, _ in errors] == [
        "sockets.broke", "sockets.late", "sockets.unsure"
    ]  # fmt: skip
    assert errors[0][2] == "Why? broken: ValueError: x (sockets.py:7)"
    file, line = PROBES["sockets.broke"].source
    assert (errors[0][1]["file"], errors[0][1]["line"]) == (file, str(line))
    assert file == "probes/catalogue/sockets.py"
    assert [(at["title"], data) for _, at, data in annotated(text, "warning")] == [
        (
            "restarts.pause",
            "What does pause do? EINTR; documented: restarts (posix). Advice: Loop.",
        ),
        (
            "sockets.v6only_default",
            "Is it for IPv6 alone? no; documented: yes (freebsd). "
            "Advice: Advice on sockets.v6only_default.",
        ),
    ]
    assert text.splitlines()[-1].startswith("13 measured, 1 unsupported")


@lightly
@given(reports)
def test_no_string_is_obeyed(report: Report) -> None:
    probes = probes_for(report)
    text = render("github", report, probes)
    found = commands(text)
    assert {name for name, _, _ in found} <= {"group", "endgroup", "error", "warning"}
    titles = {kind: [at["title"] for _, at, _ in annotated(text, kind)] for kind in
              ("error", "warning")}  # fmt: skip
    assert titles["error"] == [fact.id for fact in report if fact.status in FAULTS]
    assert titles["warning"] == [fact.id for fact in report if differs(fact, report, probes)]
    for _, at, data in annotated(text, "error"):
        assert data.endswith(f": {make_printable(report[at['title']].reason)}")


def test_at_most_ten_of_a_kind_and_the_tenth_names_the_rest() -> None:
    for number in (9, 10, 11, 12, 200):
        facts = [
            Fact(f"abi.{status}{n}", status, reason="x")
            for n in range(number)
            for status in ("broken", "blocked")
        ]
        text = render("github", replace(SAMPLE, facts={fact.id: fact for fact in facts}), {})
        errors = annotated(text, "error")
        assert len(errors) == min(number, MOST)
        said = " ".join(at["title"] + data for _, at, data in errors)
        assert set(re.findall(r"abi\.broken\d+", said)) == {f"abi.broken{n}" for n in range(number)}
        if number > MOST:
            assert errors[-1][1]["title"] == f"{number - 9} more"


def test_properties_and_data_come_through() -> None:
    def written(title: str, text: str) -> Iterable[tuple[str, dict[str, str], str]]:
        return commands(format_annotations([("notice", ("a:b,c.py", 7), title, text)]))

    ((name, at, data),) = written("50%: a,b", "100%0A :: %25 x")
    assert (name, at, data) == (
        "notice", {"file": "a:b,c.py", "line": "7", "title": "50%: a,b"}, "100%0A :: %25 x"
    )  # fmt: skip
    ((_, at, data),) = written("a\nb", "c\r\n::error::d")
    assert (at["title"], data) == ("a\\nb", "c\\r\\n::error::d")
