"""What `report` makes of a folder: files, a page in a browser, a terminal's view."""

from __future__ import annotations

import importlib
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import papaya.experiment
from papaya.errors import Refused
from papaya.experiment import report
from tests.browser import launched
from tests.papaya.experiment import synthetic

HARM = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
SOME = {
    "c-processes": 0.9, "c-epoll": 0.35, "go-goroutines": 0.38, "python-threads": 0.95,
    "c-processes-original": 0.6, "go-goroutines-original": 1.0, "papaya-fork": 1.6,
    "papaya-pool": 0.55,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a run with everything in it, and markup where text should be."""
    made = synthetic.folder(
        tmp_path_factory.mktemp("run"), SOME, connections=(1, 4, 16, 64), repeats=5, seconds=5,
        paper=True, refuse={("python-threads", 64): HARM}, left_out={"python-trio": HARM},
    )  # fmt: skip
    report.write(made, lambda line: None)
    return made


# Files ----------------------------------------------------------------------------------


def test_all_of_it_is_made(folder: Path) -> None:
    names = ("cpu", "megabit", "delivery", "ratios", "cv", "time", "latency")
    expected = {f"{name}.{kind}" for name in names for kind in ("svg", "png")}
    assert {path.name for path in (folder / "plots").iterdir()} == expected
    text = (folder / "tables.md").read_text()
    assert text.startswith("# What do concurrency paradigms cost?\n\n8 subjects, ")
    for heading in ("Method", "Host and run", "Refused repetitions", "Left out"):
        assert f"\n## {heading}\n" in text


def test_what_is_made_again_is_the_same(folder: Path) -> None:
    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    before, said = files(), list[str]()
    report.write(folder, said.append)
    assert files() == before
    assert len(said) == 3


def test_the_json_says_what_the_tables_say(folder: Path) -> None:
    document = json.loads(json.dumps(report.as_json(folder)))
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


def test_a_run_without_a_repetition_that_counts_is_refused(tmp_path: Path) -> None:
    synthetic.folder(tmp_path, {"c-epoll": 0.4}, connections=(1,), refuse={("c-epoll", 1): "slow"})
    for make in (lambda: report.write(tmp_path, print), lambda: report.as_json(tmp_path)):
        with pytest.raises(Refused, match="no repetition in it counts") as refused:
            make()
        assert refused.value.status == 1


@pytest.mark.parametrize(
    ("missing", "make"),
    [
        ("numpy", report.as_json),
        ("matplotlib", lambda folder: report.write(folder, print)),
        ("plotext", lambda folder: report.terminal(folder, sys.stdout)),
    ],
)
def test_what_is_not_installed_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, missing: str, make: Callable[[Path], object]
) -> None:
    # As in a process that has imported none of it.
    for name in list(sys.modules):
        if name.startswith(("papaya.experiment.", missing)) and name != report.__name__:
            monkeypatch.delitem(sys.modules, name)
            monkeypatch.delattr(papaya.experiment, name.rpartition(".")[2], raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(Refused) as refused:
        make(folder)
    line = f"a report needs {missing}: in a clone, pip install '.[experiment]'"
    assert (str(refused.value), refused.value.status) == (line, 3)


# In a terminal --------------------------------------------------------------------------


def test_in_a_file_there_is_no_colour(folder: Path) -> None:
    out = io.StringIO()
    report.terminal(folder, out)
    text = out.getvalue()
    assert "\x1b" not in text
    assert "Read and discard: percent of a core by connections" in text
    assert "aa papaya-fork" in text
    assert "go-goroutines uses 0.4" in " ".join(text.split())
    assert max(len(line) for line in text.splitlines()) <= 80


@pytest.mark.parametrize("colour", [True, False])
def test_in_a_terminal_there_is_colour_unless_it_is_not_wanted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, colour: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", "" if colour else "1")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    report.terminal(folder, out)
    assert bool(re.search(r"\x1b\[[\d;]*[1-9]", out.getvalue())) == colour


# In a browser ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as chromium:
        yield chromium


@pytest.fixture
def visit(browser: Any, folder: Path) -> Iterator[Callable[..., Any]]:
    """Opens the page; in the end it said nothing, and asked for nothing but itself."""
    address = (folder / "index.html").as_uri()
    contexts: list[Any] = []
    said: list[str] = []
    asked: set[str] = set()

    def open(**options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.add(request.url.partition("#")[0]))
        page.goto(address)
        return page

    yield open
    for context in contexts:
        context.close()
    assert said == []
    assert asked - {"data:,"} == {address}


def test_nothing_in_the_page_can_reach_a_network(folder: Path) -> None:
    text = (folder / "index.html").read_text()
    assert "default-src 'none'" in text
    assert not re.search(r'(src|href|action)="(?!#|data:)', text)
    assert not re.search(r"url\((?!#)|@import|https?://", text)
    assert "<script" not in text
    assert "<img" not in text
    assert "style=" not in text


def test_every_link_and_clip_has_its_one_end(folder: Path) -> None:
    text = (folder / "index.html").read_text()
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    ends = re.findall(r'(?:href="|url\()#([^")]*)|aria-(?:labelled|described)by="([^"]*)"', text)
    assert ends
    assert {first or second for first, second in ends} <= set(ids)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_ink_of_the_plots_follows_the_theme(visit: Callable[..., Any], scheme: str) -> None:
    page = visit(color_scheme=scheme)
    ink, paper, title = page.evaluate(
        "[getComputedStyle(document.querySelector('svg text')).fill,"
        " getComputedStyle(document.body).backgroundColor,"
        " getComputedStyle(document.querySelector('h1')).color]"
    )
    assert ink == title
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    sheet = page.evaluate("getComputedStyle(document.querySelector('svg path')).fill")
    assert sheet == paper


def test_all_plots_and_tables_are_seen(visit: Callable[..., Any]) -> None:
    page = visit()
    assert page.locator("svg[role=img]:visible").count() == 7
    assert page.locator("table").count() >= 12
    assert page.locator("table:visible").count() < page.locator("table").count()
    for summary in page.locator("details summary").all():
        summary.click()
    assert page.locator("table:visible").count() == page.locator("table").count()
    assert HARM in page.inner_text("main")
    assert "cgroup, a cgroup of its own for each start" in page.inner_text("main")
    assert "bench" in page.inner_text("header")


@pytest.mark.parametrize("width", [320, 390, 800, 1366])
def test_the_page_is_no_wider_than_the_window(visit: Callable[..., Any], width: int) -> None:
    page = visit(viewport={"width": width, "height": 800})
    for summary in page.locator("details summary").all():
        summary.click()
    size = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert size == [width, width]


def test_what_is_wide_is_scrolled_with_the_keys(visit: Callable[..., Any]) -> None:
    page = visit(viewport={"width": 390, "height": 800})
    wide = page.locator("figure .wide").first
    wide.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.activeElement.scrollLeft > 0")


LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1366, "height": 800}},
    "phone, dark": {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}},
}


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_serious(visit: Callable[..., Any], look: str) -> None:
    try:
        axe: Any = importlib.import_module("axe_playwright_python.sync_playwright")
    except ImportError:
        pytest.skip("axe-core is not installed: pip install axe-playwright-python")
    # The page's policy would keep axe itself out.
    page = visit(bypass_csp=True, **LOOKS[look])
    for summary in page.locator("details summary").all():
        summary.click()
    found = axe.Axe().run(page).response["violations"]
    serious = [
        (each["id"], each["nodes"][0]["html"][:200])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == []
