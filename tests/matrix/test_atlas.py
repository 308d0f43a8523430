"""atlas: the page as a user meets it, in headless Chromium, from a file."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from matrix import atlas
from matrix.atlas.grid import FULL, HOLLOW, groups
from matrix.table import Table, columns
from probes import Report
from tests.browser import launched
from tests.matrix.reports import ELSEWHERE, FREEBSD, changed, host

ID = "sockets.v6only_default"
NEXT = "sockets.v4mapped_default"
HARM = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


def made() -> Table:
    """A table with every kind of cell there is."""
    here = host()
    failed = {"status": "blocked", "value": None, "scope": "inherent", "reason": "needs root"}
    reports: list[tuple[str, Report]] = [
        ("here", here),
        ("bsd", changed(here, FREEBSD, {ID: True, NEXT: True}, way="vagrant/libvirt")),
        ("odd", changed(here, ELSEWHERE, {ID: HARM}, {NEXT: failed})),
    ]
    return columns(reports, ["freebsd", "openbsd"], here=["here"])


@pytest.fixture(scope="module")
def table() -> Table:
    return made()


@pytest.fixture(scope="module")
def address(table: Table, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("atlas") / "atlas.html"
    path.write_text(atlas.page(table))
    return path.as_uri()


# The text of the page ------------------------------------------------------------------


def test_groups_put_what_is_measured_most_first(table: Table) -> None:
    row = next(row for row in table.rows if row.id == ID)
    # here: no, bsd: yes, odd: HARM, freebsd: (yes), openbsd: (yes)
    assert groups(row) == [1, 0, 2, 0, 0]


def test_an_answer_is_told_without_colour(table: Table) -> None:
    row = re.search(rf'<tr[^>]* id="{ID}".*?</tr>', atlas.page(table), re.S)
    assert row
    cells = re.findall(r"<td.*?</td>", row[0], re.S)
    shapes = [re.findall(f"[{FULL}{HOLLOW}]", cell) for cell in cells]
    assert shapes == [["◆"], ["●"], ["▲"], ["○"], ["○"]]
    told = ["documented, not measured" in cell for cell in cells]
    assert told == [False, False, False, True, True]


@pytest.mark.parametrize("make", [atlas.page, lambda table: atlas.plain(table, 7)])
def test_nothing_in_the_page_can_reach_a_network(
    table: Table, make: Callable[[Table], str]
) -> None:
    text = make(table)
    assert "default-src 'none'" in text
    assert not re.search(r"(src|href|action)=\"(?!#|data:)", text)
    assert not re.search(r"url\(|@import|https?://", text)


def test_a_value_is_data_and_never_a_script(table: Table) -> None:
    text = atlas.page(table)
    assert text.count("</script>") == 2
    assert "<img" not in text
    embedded = re.search(r'id="data">(.*?)</script>', text, re.S)
    assert embedded
    facts = {fact["id"]: fact for fact in json.loads(embedded[1])["facts"]}
    assert facts[ID]["cells"][2]["answer"] == HARM


# In a browser --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as chromium:
        yield chromium


class Visit:
    """A page, and what it said and asked for meanwhile."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.address = address
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def open(self, fragment: str = "") -> Any:
        self.page.goto(self.address + fragment)
        return self.page

    def visible(self) -> list[str]:
        """The ids of the facts that are seen."""
        found: list[str] = self.page.eval_on_selector_all(
            "tr.fact", "rows => rows.filter(row => row.checkVisibility()).map(row => row.id)"
        )
        return found

    def panel(self) -> str:
        """What the panel shows of a fact: its id, or nothing where it is closed."""
        if not self.page.locator("#panel").is_visible():
            return ""
        text: str = self.page.locator("#which").inner_text()
        return text.split(" ")[0]

    def expect(self, id: str) -> None:
        """The panel comes to show this fact; none where it is empty."""
        if id:
            self.page.locator("#which", has_text=re.compile(rf"^{re.escape(id)} ")).wait_for()
        else:
            self.page.locator("#panel").wait_for(state="hidden")
        assert self.panel() == id

    def fragment(self) -> str:
        """What the page's address links to; the driver's own copy of it may lag behind."""
        found: str = self.page.evaluate("location.hash")
        return found

    def focused(self) -> str:
        found: str = self.page.evaluate(
            "document.activeElement.id || document.activeElement.getAttribute('href') || ''"
        )
        return found


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Callable[..., Visit]]:
    visits: list[Visit] = []

    def start(**options: Any) -> Visit:
        visits.append(Visit(browser, address, **options))
        return visits[-1]

    yield start
    for each in visits:
        each.context.close()
        assert each.said == []
        # The page, at whatever fragment, and nothing else.
        assert {url.partition("#")[0] for url in each.asked} - {"data:,"} == {address}


def differing(table: Table) -> list[str]:
    return [row.id for row in table.rows if row.differs]


def test_first_it_shows_what_differs(visit: Callable[..., Visit], table: Table) -> None:
    here = visit()
    page = here.open()
    assert here.visible() == differing(table)
    page.uncheck("#differs")
    assert here.visible() == [row.id for row in table.rows]
    assert page.inner_text("#count") == f"{len(table.rows)} of {len(table.rows)} facts"


def test_search(visit: Callable[..., Visit], table: Table) -> None:
    here = visit()
    page = here.open()
    page.uncheck("#differs")
    page.fill("#search", "FLOCK  fork")
    found = here.visible()
    assert found
    assert set(found) < {row.id for row in table.rows}
    page.fill("#search", ID)
    assert here.visible() == [ID]
    page.fill("#search", "no such words")
    assert here.visible() == []
    page.click("#reset")
    assert len(here.visible()) == len(table.rows)


def test_search_says_when_all_that_matches_is_alike(
    visit: Callable[..., Visit], table: Table
) -> None:
    alike = next(row.id for row in table.rows if not row.differs)
    here = visit()
    page = here.open()
    page.fill("#search", alike)
    assert here.visible() == []
    assert "the same wherever it is known" in page.inner_text("#nothing")


def test_family_and_platforms(visit: Callable[..., Visit], table: Table) -> None:
    here = visit()
    page = here.open()
    page.select_option("#family", "sockets")
    assert here.visible() == [id for id in differing(table) if id.startswith("sockets.")]
    page.select_option("#family", "")
    page.click("#platforms summary")
    page.click("#none")
    assert here.visible() == []
    page.check("#platforms [data-column='0']")
    assert here.visible() == []
    page.check("#platforms [data-column='2']")
    assert here.visible() == [ID]
    assert page.locator("thead th:visible").count() == 3
    page.click("#measured")
    assert page.locator("thead th:visible").count() == 4
    page.keyboard.press("Escape")
    assert not page.locator("#platforms fieldset").is_visible()


def test_a_click_opens_question_advice_and_evidence(visit: Callable[..., Visit]) -> None:
    here = visit()
    page = here.open()
    page.locator(f"tr[id='{ID}'] td").first.click()
    here.expect(ID)
    assert here.fragment() == f"#{ID}"
    told = page.inner_text("#panel")
    assert "A daemon that binds [::]" in told
    assert "Set IPV6_V6ONLY on every AF_INET6 socket" in told
    assert "RFC 3493" in told
    evidence = page.locator(".evidence li").all_inner_texts()
    shown = page.locator(".evidence .answer").all_inner_texts()
    assert shown == ["◆ no", "● yes", f"▲ {HARM}", "○ yes", "○ yes"]
    assert "measured here" in evidence[0]
    assert "at 2026-11-23T12:00:00Z" in evidence[0]
    assert "recorded" in evidence[1]
    assert "by vagrant/libvirt on FreeBSD 14.1-RELEASE amd64" in evidence[1]
    assert HARM in evidence[2]
    assert "documented only" in evidence[3]
    assert "Documented for freebsd, not measured" in evidence[3]
    assert not any("Measured" in text for text in evidence[3:])
    page.click("#next")
    here.expect(NEXT)
    assert "blocked: needs root" in page.locator(".evidence li").nth(2).inner_text()
    page.click("#close")
    here.expect("")
    assert here.fragment() == ""


def test_a_link_opens_its_fact_and_history_works(visit: Callable[..., Visit]) -> None:
    here = visit()
    page = here.open(f"#{ID}")
    here.expect(ID)
    assert page.title().startswith(ID)
    page.click("#next")
    here.expect(NEXT)
    page.go_back()
    here.expect(ID)
    page.go_forward()
    here.expect(NEXT)
    page.keyboard.press("Escape")
    here.expect("")
    page.go_back()
    here.expect(NEXT)


def test_back_closes_what_a_click_opened(visit: Callable[..., Visit]) -> None:
    here = visit()
    page = here.open()
    page.click(f"a[href='#{ID}']")
    here.expect(ID)
    page.go_back()
    here.expect("")
    assert here.fragment() == ""
    page.go_forward()
    here.expect(ID)


def test_a_focused_row_is_not_below_the_head_of_the_table(visit: Callable[..., Visit]) -> None:
    here = visit(viewport={"width": 1000, "height": 600})
    page = here.open()
    page.uncheck("#differs")
    page.locator("tr.fact a").first.focus()
    page.keyboard.press("End")
    head = page.locator("thead").bounding_box()
    for _ in range(30):
        page.keyboard.press("ArrowUp")
        assert page.locator("a:focus").bounding_box()["y"] >= head["y"] + head["height"]


def test_a_link_to_a_fact_that_is_filtered_out_opens_it(
    visit: Callable[..., Visit], table: Table
) -> None:
    alike = next(row.id for row in table.rows if not row.differs)
    here = visit()
    page = here.open(f"#{alike}")
    here.expect(alike)
    page.keyboard.press("Escape")
    here.expect("")
    assert here.focused() == "search"


@pytest.mark.parametrize("fragment", ["#no.such_fact", "#%", "#grid", "#__proto__"])
def test_a_link_to_no_fact_is_said(visit: Callable[..., Visit], fragment: str) -> None:
    here = visit()
    page = here.open(fragment)
    here.expect("")
    assert f"no fact {fragment[1:]}" in page.inner_text("#count")


def test_keyboard_alone(visit: Callable[..., Visit], table: Table) -> None:
    rows = differing(table)
    here = visit()
    page = here.open()
    page.keyboard.press("/")
    assert here.focused() == "search"
    page.keyboard.press("ArrowDown")
    assert here.focused() == f"#{rows[0]}"
    page.keyboard.press("ArrowDown")
    assert here.focused() == f"#{rows[1]}"
    style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid"
    page.keyboard.press("End")
    assert here.focused() == f"#{rows[-1]}"
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    here.expect(rows[0])
    assert here.focused() == "question"
    page.keyboard.press("ArrowRight")
    here.expect(rows[1])
    page.keyboard.press("Tab")
    assert page.evaluate("document.getElementById('panel').contains(document.activeElement)")
    page.keyboard.press("Escape")
    here.expect("")
    assert here.focused() == f"#{rows[1]}"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert here.focused() == "search"


def test_tab_reaches_everything_in_order(visit: Callable[..., Visit], table: Table) -> None:
    here = visit()
    page = here.open()
    found = []
    for _ in range(6):
        page.keyboard.press("Tab")
        found.append(here.focused())
    assert found == ["search", "family", "differs", "", "facts", f"#{differing(table)[0]}"]


@pytest.mark.parametrize("width", [320, 390, 800, 1366])
def test_the_page_is_no_wider_than_the_window(visit: Callable[..., Visit], width: int) -> None:
    here = visit(viewport={"width": width, "height": 800})
    page = here.open()
    size = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert size == [width, width]
    page.click("#platforms summary")
    box = page.locator("#platforms fieldset").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    here.open(f"#{ID}")
    here.expect(ID)
    box = page.locator("#panel").bounding_box()
    assert 0 <= box["x"] < box["x"] + box["width"] <= width


LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1366, "height": 800}},
    "phone, dark": {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}},
}


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_serious(browser: Any, visit: Callable[..., Visit], look: str) -> None:
    try:
        axe: Any = importlib.import_module("axe_playwright_python.sync_playwright")
    except ImportError:
        pytest.skip("axe-core is not installed: pip install axe-playwright-python")
    # The page's policy would keep axe itself out.
    here = visit(bypass_csp=True, **LOOKS[look])
    # The rows that differ have every kind of cell, and axe takes long over all of them.
    page = here.open()

    def check(state: str) -> None:
        found = axe.Axe().run(page).response["violations"]
        serious = [
            (each["id"], each["nodes"][0]["html"][:200])
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert serious == [], state

    check("facts")
    page.click("#platforms summary")
    check("platforms")
    here.open(f"#{ID}")
    here.expect(ID)
    check("panel")


def test_without_a_script_the_table_is_there(browser: Any, table: Table, tmp_path: Path) -> None:
    path = tmp_path / "table.html"
    path.write_text(atlas.plain(table, len(table.rows)))
    here = Visit(browser, path.as_uri(), java_script_enabled=False)
    page = here.open()
    assert page.locator(f"tr[id='{ID}'] td").all_inner_texts()[0].strip()
    assert here.asked == [path.as_uri()]
    here.context.close()
    assert here.said == []
