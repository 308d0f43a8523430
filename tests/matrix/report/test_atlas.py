"""atlas: the page as a user meets it, in headless Chromium, from a file."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from matrix.cell import load_cells
from matrix.families import arrange_platforms
from matrix.report import atlas, render_table
from matrix.report.atlas.grid import list_sections
from matrix.table import Table, make_table
from probes import Report
from probes.catalogue import SURPRISES
from probes.errors import ReportError
from probes.load_catalogue import load_catalogue
from probes.version import VERSION
from tests.browser import launched
from tests.matrix.report.tables import HARM, ID, NAMES, NEXT, fifteen, twenty
from tests.matrix.reports import FREEBSD, changed, debian, host
from tests.worlds import ROOT


def in_order(table: Table) -> list[str]:
    """Return the ids of the differing facts in the page's order: the surprises first."""
    found = [row.id for title, family, rows in list_sections(table) for row in rows]
    differing = {row.id for row in table.rows if row.differs} | set(SURPRISES)
    return [id for id in found if id in differing]


def written(table: Table, folder: Path) -> str:
    path = folder / "atlas.html"
    path.write_text(atlas.render_page(table))
    return path.as_uri()


@pytest.fixture(scope="module")
def address(table: Table, tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(table, tmp_path_factory.mktemp("atlas"))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a page of fifteen platforms."""
    return written(fifteen(), tmp_path_factory.mktemp("many"))


@pytest.mark.parametrize("make", [atlas.render_page, lambda table: atlas.render_plain(table, 7)])
def test_nothing_in_the_page_loads_from_a_network(
    table: Table, make: Callable[[Table], str]
) -> None:
    text = make(table)
    assert "default-src 'none'" in text
    assert not re.search(r"(src|href|action)=\"(?!#|data:)", text)
    assert not re.search(r"url\(|@import", text)
    # Addresses are in the data alone, for the links of the references.
    assert not re.search(r"https?://", re.sub(r'id="data">.*?</script>', "", text, flags=re.S))


def test_a_value_is_data_and_never_a_script(table: Table) -> None:
    text = atlas.render_page(table)
    assert text.count("</script>") == 2
    assert "<img" not in text
    embedded = re.search(r'id="data">(.*?)</script>', text, re.S)
    assert embedded
    facts = {fact["id"]: fact for fact in json.loads(embedded[1])["facts"]}
    assert facts[ID]["cells"][1]["answer"] == HARM


def test_the_footer_tells_date_version_and_licence(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert atlas.render_page(table) == atlas.render_page(table)
    for text in (atlas.render_page(table), atlas.render_plain(table, 7)):
        footer = text[text.index("<footer>") :]
        assert f"Made 1970-01-02 by papaya-lab {VERSION}." in footer
        assert "AGPL-3.0-or-later" in footer


@pytest.mark.parametrize("epoch", ["yesterday", "9" * 30])
def test_a_wrong_date_is_said_in_one_line(
    table: Table, monkeypatch: pytest.MonkeyPatch, epoch: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(ReportError, match=r"^SOURCE_DATE_EPOCH: .* is not a time; set it to .*$"):
        atlas.render_page(table)


def test_a_platform_is_listed_with_the_end_of_its_release() -> None:
    old = debian(host(), "12 (bookworm)", "6.1", "2.36")
    strange = changed(old, {"distribution": "Alpine Linux v3.20"})
    table = make_table([("old", old), ("strange", strange)], ["freebsd"])
    for page in (atlas.render_page(table), atlas.render_plain(table, 1)):
        assert page.count("glibc 2.36, 64-bit; Debian 12: end of life 2028-06-30 (LTS)</") == 1
        assert page.count("end of life") == 1


def test_the_footer_tells_how_to_add_a_platform(table: Table, tmp_path: Path) -> None:
    footer = atlas.render_page(table).partition("<footer>")[2]
    blocks = [unescape(text) for text in re.findall(r"<pre>(.*?)</pre>", footer, re.S)]
    measure, cell, record = blocks
    assert measure == "python3 lab.pyz report --format json -o mybox.json"
    changed(host(), FREEBSD).save(tmp_path / "mybox.json")
    (tmp_path / "mybox.toml").write_text(cell)
    # The lab's own baselines are left as they are.
    command = f"{sys.executable} -m matrix --baselines {tmp_path / 'baselines'}"
    for line in record.splitlines():
        done = subprocess.run(
            ["sh", "-ec", line.replace("python3 -m matrix", command)],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert '<span class="name">mybox</span>' in (tmp_path / "atlas.html").read_text()


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
        """Return the ids of the visible facts, from top to bottom."""
        found: list[str] = self.page.eval_on_selector_all(
            "tr.fact",
            "rows => rows.filter(row => row.checkVisibility())"
            ".map(row => row.id || row.dataset.fact)",
        )
        return found

    def alike(self) -> list[str]:
        """Those of them that are below, as they differ nowhere."""
        found: list[str] = self.page.eval_on_selector_all(
            "#alike tr.fact", "rows => rows.filter(row => row.checkVisibility()).map(row => row.id)"
        )
        return found

    def panel(self) -> str:
        """Return the id of the fact in the panel, or an empty string if it is closed."""
        if not self.page.locator("#panel").is_visible():
            return ""
        text: str = self.page.locator("#which").inner_text()
        return text.split(" ")[0]

    def expect(self, id: str) -> None:
        """Wait until the panel shows this fact, or is closed if it is empty."""
        if id:
            self.page.locator("#which", has_text=re.compile(rf"^{re.escape(id)} ")).wait_for()
        else:
            self.page.locator("#panel").wait_for(state="hidden")
        assert self.panel() == id

    def fragment(self) -> str:
        """Return the page's own address; the driver's copy of it may lag behind."""
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

    def start(at: str = address, **options: Any) -> Visit:
        visits.append(Visit(browser, at, **options))
        return visits[-1]

    yield start
    for each in visits:
        each.context.close()
        assert each.said == []
        # The page, at whatever fragment, and nothing else.
        assert {url.partition("#")[0] for url in each.asked} - {"data:,"} == {each.address}


def test_first_it_shows_surprises_and_what_differs(
    visit: Callable[..., Visit], table: Table
) -> None:
    here = visit()
    page = here.open()
    assert here.visible() == in_order(table)
    assert page.locator(".family:visible").first.inner_text() == "Surprises"
    differing = sum(row.differs for row in table.rows)
    assert page.inner_text("#count") == f"{differing} of {len(table.rows)} facts differ"
    page.uncheck("#differs")
    assert sorted(here.visible()) == sorted(row.id for row in table.rows)
    assert here.alike() == []
    assert page.inner_text("#count") == f"{len(table.rows)} of {len(table.rows)} facts"


def test_search(visit: Callable[..., Visit], table: Table) -> None:
    here = visit()
    page = here.open()
    page.fill("#search", "FLOCK  fork")
    found = here.visible()
    assert "locks.flock_shared_by_fork" in found
    assert set(found) < {row.id for row in table.rows}
    page.fill("#search", ID)
    assert here.visible() == [ID]
    probe = load_catalogue()[ID]
    for words in (probe.question, probe.matters, probe.advice):
        page.fill("#search", words)
        assert ID in here.visible(), words


def test_search_knows_synonyms(visit: Callable[..., Visit]) -> None:
    here = visit()
    page = here.open()
    for words, id in {
        "fork lock": "locks.flock_shared_by_fork",
        "dual stack": ID,
        "zombie": "signals.sigchld_coalesces",
        "interrupted system call": "restarts.accept",
        # And the symptoms of each fact.
        "exit status 141": "signals.sigpipe_kills",
    }.items():
        page.fill("#search", "no such words")
        assert here.visible() == []
        page.fill("#search", words)
        assert id in here.visible(), words


def test_what_matches_and_is_alike_is_below(visit: Callable[..., Visit], table: Table) -> None:
    alike = [row.id for row in table.rows if not row.differs and row.family == "locks"]
    here = visit()
    page = here.open()
    assert here.alike() == []
    page.select_option("#family", "locks")
    assert sorted(here.alike()) == sorted(alike)
    assert here.visible()[-len(alike) :] == here.alike()
    assert "Alike on the platforms shown" in page.inner_text("#alike .family")
    assert f"{len(alike)} more match and differ nowhere" in page.inner_text("#count")
    # One that alone matches: no empty table.
    page.fill("#search", alike[0])
    assert here.visible() == [alike[0]]
    # And back in its family's place.
    page.fill("#search", "")
    page.uncheck("#differs")
    assert here.alike() == []
    order = [id for id in in_order(table) if id.startswith("locks.")]
    assert [id for id in here.visible() if id in order] == order


def test_a_search_that_matches_nothing_says_so(visit: Callable[..., Visit], table: Table) -> None:
    here = visit()
    page = here.open()
    page.fill("#search", "no such words")
    assert here.visible() == []
    assert "No fact matches “no such words”" in page.inner_text("#nothing")
    assert not page.locator("#grid").is_visible()
    page.click("#reset")
    assert len(here.visible()) == len(table.rows)
    assert here.focused() == "search"


def test_family_and_platforms(visit: Callable[..., Visit], table: Table) -> None:
    here = visit()
    page = here.open()
    page.click("#platforms summary")
    page.click("#none")
    assert page.locator(".names th:visible, .systems th[data-span]:visible").count() == 0
    page.check("#platforms [data-column='0']")
    page.check("#platforms [data-column='1']")
    assert [id for id in here.visible() if id not in SURPRISES] == []
    assert page.inner_text("#count").startswith("1 of ")
    assert page.locator(".names th:visible").count() == 2
    # Of the systems' heads one is left, as wide as what is below it.
    assert page.eval_on_selector_all(
        ".systems th[data-span]", "all => all.filter(e => !e.hidden).map(e => e.colSpan)"
    ) == [2]
    page.uncheck("#platforms [data-column='1']")
    assert page.locator(".systems th[colspan='1']:visible").count() == 1
    page.check("#platforms [data-column='1']")
    page.click("#measured")
    assert page.locator(".names th:visible").count() == 3
    page.keyboard.press("Escape")
    assert not page.locator("#platforms fieldset").is_visible()


def test_search_filters_and_fact_are_in_the_address(
    visit: Callable[..., Visit], table: Table
) -> None:
    here = visit()
    page = here.open()
    page.fill("#search", "accept()")
    page.select_option("#family", "restarts")
    page.uncheck("#differs")
    page.click("#platforms summary")
    page.uncheck("#platforms [data-column='1']")
    page.keyboard.press("Escape")
    page.click("a[href='#restarts.accept']")
    here.expect("restarts.accept")
    fragment = here.fragment()
    told = dict(part.split("=") for part in fragment[1:].split("&"))
    assert told == {
        "q": "accept%28%29", "family": "restarts", "all": "1", "without": "odd",
        "fact": "restarts.accept",
    }  # fmt: skip

    again = visit()
    other = again.open(fragment)
    again.expect("restarts.accept")
    other.keyboard.press("Escape")
    again.expect("")
    assert other.input_value("#search") == "accept()"
    assert other.input_value("#family") == "restarts"
    assert not other.is_checked("#differs")
    assert not other.is_checked("#platforms [data-column='1']")
    page.keyboard.press("Escape")
    assert again.visible() == here.visible()


def test_back_takes_each_step_back(visit: Callable[..., Visit], table: Table) -> None:
    here = visit()
    page = here.open()
    page.locator("#search").press_sequentially("flock")
    page.select_option("#family", "locks")
    page.uncheck("#differs")
    assert here.fragment() == "#q=flock&family=locks&all=1"
    page.go_back()
    assert page.is_checked("#differs")
    page.go_back()
    assert page.input_value("#family") == ""
    assert page.input_value("#search") == "flock"
    # All that was typed in one go is one step.
    page.go_back()
    assert page.input_value("#search") == ""
    assert here.visible() == in_order(table)
    page.go_forward()
    assert page.input_value("#search") == "flock"
    assert here.fragment() == "#q=flock"
    assert here.visible() != in_order(table)


def test_a_link_opens_its_fact_and_history_works(visit: Callable[..., Visit]) -> None:
    here = visit()
    page = here.open(f"#{ID}")
    here.expect(ID)
    assert page.title().startswith(ID)
    page.click("#next")
    later = here.panel()
    assert later != ID
    page.go_back()
    here.expect(ID)
    page.go_forward()
    here.expect(later)
    page.keyboard.press("Escape")
    here.expect("")
    assert here.fragment() == ""
    page.go_back()
    here.expect(later)


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


def test_a_link_to_a_fact_that_is_filtered_out_opens_it(
    visit: Callable[..., Visit], table: Table
) -> None:
    alike = next(row.id for row in table.rows if not row.differs and row.id not in SURPRISES)
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
    page.uncheck("#differs")
    assert "no fact" not in page.inner_text("#count")


def test_a_click_opens_question_advice_and_links(visit: Callable[..., Visit]) -> None:
    here = visit()
    page = here.open()
    page.locator(f"tr[id='{ID}'] td").first.click()
    here.expect(ID)
    assert here.fragment() == f"#{ID}"
    told = page.inner_text("#panel")
    for words in (
        load_catalogue()[ID].question,
        load_catalogue()[ID].matters,
        load_catalogue()[ID].advice,
    ):
        assert words in told
    link = page.locator("#panel a", has_text="RFC 3493 5.3")
    assert link.get_attribute("href") == "https://www.rfc-editor.org/rfc/rfc3493.html#section-5.3"
    assert link.get_attribute("rel") == "noreferrer"
    page.click("#close")
    here.expect("")
    assert here.fragment() == ""


def test_the_panel_groups_platforms_by_answer_the_rarest_first(
    visit: Callable[..., Visit],
) -> None:
    here = visit()
    page = here.open(f"#{ID}")
    here.expect(ID)
    assert page.locator(".group h3").all_inner_texts() == [
        f"This one: ▲ {HARM}", "This one: ◆ no", "These 3: ● yes",
    ]  # fmt: skip
    assert page.locator(".group .names").all_inner_texts() == [
        "odd", "here", "bsd, freebsd (documented), openbsd (documented)",
    ]  # fmt: skip
    for each in page.locator(".group summary").all():
        each.click()
    evidence = page.locator(".evidence li").all_inner_texts()
    assert "measured here" in evidence[1]
    assert re.search(r"at 2026-11-23T12:00:00Z \(\d+ days? ago\) on", evidence[1])
    assert "report" in evidence[2]
    assert "ago" not in evidence[2]
    assert "by vagrant/libvirt on FreeBSD 14.1-RELEASE amd64" in evidence[2]
    assert "documented only" in evidence[3]
    assert "Documented for freebsd, not measured" in evidence[3]
    assert not any("Measured" in text for text in evidence[3:])


def test_the_panel_tells_last_what_is_not_known_and_why(visit: Callable[..., Visit]) -> None:
    here = visit()
    page = here.open(f"#{NEXT}")
    here.expect(NEXT)
    last = page.locator(".group").last
    assert last.locator("h3").inner_text() == "This one: blocked"
    assert "odd: needs root" in last.inner_text()


def test_what_changed_between_two_platforms(visit: Callable[..., Visit], table: Table) -> None:
    def differing(*names: str) -> list[str]:
        at = [NAMES.index(name) for name in names]
        found = []
        for row in arrange_platforms(table).rows:
            says = [row.entries[each].says for each in at]
            if None not in says and says[0] != says[1] and row.scope != "informative":
                found.append(row.id)
        return found

    here = visit()
    page = here.open()
    page.click("#to-changes")
    # First: one system against another.
    assert page.locator("#from option:checked").inner_text() == "here"
    assert page.locator("#to option:checked").inner_text() == "bsd"
    assert sorted(here.visible()) == sorted(differing("here", "bsd")) == ["restarts.accept", ID]
    assert page.inner_text("#count").startswith(f"2 of {len(table.rows)} facts known of both")
    row = page.locator(f"tr[data-fact='{ID}']")
    assert row.locator(".answer").all_inner_texts() == ["◆ no", "● yes"]
    assert load_catalogue()[ID].advice in row.inner_text()
    page.select_option("#to", label="odd")
    assert sorted(here.visible()) == sorted(differing("here", "odd")) == [ID]
    assert here.fragment() == "#view=changes&from=here&to=odd"
    page.click("#swap")
    assert page.locator("#changes thead th").all_inner_texts()[1:3] == ["odd", "here"]
    row.locator("a").click()
    here.expect(ID)
    page.keyboard.press("Escape")
    here.expect("")
    assert here.focused() == f"#{ID}"
    page.go_back()
    page.go_back()
    here.expect("")
    assert here.fragment() == "#view=changes&from=odd&to=here"
    page.go_back()
    assert here.fragment() == "#view=changes&from=here&to=odd"

    again = visit()
    page = again.open("#view=changes&from=bsd&to=openbsd")
    assert sorted(again.visible()) == sorted(differing("bsd", "openbsd"))
    page.select_option("#to", label="bsd")
    assert again.visible() == []
    assert "does not differ between these two" in page.inner_text("#nothing")
    page.click("#reset")
    assert page.locator("#grid").is_visible()
    assert not page.locator("#changes").is_visible()


@pytest.mark.parametrize("pair", ["from=nothing&to=bsd", "to=bsd", ""])
def test_platforms_that_a_link_does_not_name_are_chosen(
    visit: Callable[..., Visit], pair: str
) -> None:
    here = visit()
    page = here.open(f"#view=changes&{pair}")
    assert page.locator("#from option:checked").inner_text() == "here"
    assert page.locator("#to option:checked").inner_text() == "bsd"


def test_a_focused_row_is_not_below_the_head_of_the_table(visit: Callable[..., Visit]) -> None:
    here = visit(viewport={"width": 1000, "height": 600})
    page = here.open()
    page.uncheck("#differs")
    page.locator("tr.fact a").first.focus()
    page.keyboard.press("End")
    head = page.locator("#grid thead").bounding_box()
    for _ in range(30):
        page.keyboard.press("ArrowUp")
        assert page.locator("a:focus").bounding_box()["y"] >= head["y"] + head["height"]


def test_keyboard_alone(visit: Callable[..., Visit], table: Table) -> None:
    rows = in_order(table)
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
    for _ in range(10):
        page.keyboard.press("Tab")
        found.append(here.focused())
    # The two systems with more than one platform fold.
    assert found == [
        "to-platforms", "to-changes", "search", "family", "differs", "", "facts", "", "",
        f"#{in_order(table)[0]}",
    ]  # fmt: skip


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
    here.open("#view=changes&from=here&to=odd")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    here.open(f"#{ID}")
    here.expect(ID)
    box = page.locator("#panel").bounding_box()
    assert 0 <= box["x"] < box["x"] + box["width"] <= width


TOO_WIDE = "all => all.filter(e => e.scrollWidth > e.clientWidth).map(e => e.textContent)"


@pytest.mark.parametrize("width", [1280, 1920])
def test_fifteen_platforms_fit(visit: Callable[..., Visit], many: str, width: int) -> None:
    here = visit(many, viewport={"width": width, "height": 800})
    page = here.open()
    assert page.locator(".names th:visible").count() == 15
    for each in ("document.documentElement", "document.getElementById('facts')"):
        wide, seen = page.evaluate(f"[{each}.scrollWidth, {each}.clientWidth]")
        assert wide <= seen
    assert page.eval_on_selector_all("thead th, #grid td", TOO_WIDE) == []
    sizes = page.eval_on_selector_all(
        ".names th", "all => all.map(e => e.getBoundingClientRect().width)"
    )
    assert max(sizes) - min(sizes) < 1.5
    # A word that is told often breaks where it may: after its shape, two lines of 14 pixels.
    lines = page.eval_on_selector_all(
        "#grid td[title=unsupported]:not([hidden]) div", "all => all.map(e => e.clientHeight / 14)"
    )
    assert {each for each in lines if each} <= {1, 2}
    # No name of a system is cut in two.
    assert page.eval_on_selector_all(
        ".systems th[data-span]", "all => all.every(e => e.scrollWidth <= e.clientWidth)"
    )


@pytest.mark.parametrize("width", [900, 1280])
def test_rows_have_whole_lines(visit: Callable[..., Visit], many: str, width: int) -> None:
    """The line below a row goes through the column that stays, at one height, a whole pixel."""
    here = visit(many, viewport={"width": width, "height": 800})
    page = here.open()
    page.evaluate("document.getElementById('facts').scrollTo(200, 900)")
    lines = page.eval_on_selector_all(
        "tr.fact",
        "rows => rows.filter(row => row.checkVisibility()).slice(0, 40).map(row => "
        "[...row.cells].map(cell => [cell.getBoundingClientRect().bottom, "
        "getComputedStyle(cell).borderBottomWidth, getComputedStyle(cell).borderBottomColor]"
        ".join(' ')))",
    )
    assert len(lines) == 40
    for cells in lines:
        assert len(cells) == 16
        assert len(set(cells)) == 1
        assert re.match(r"-?\d+ 1px ", cells[0]), cells[0]


def test_nothing_is_seen_through_what_stays(visit: Callable[..., Visit], many: str) -> None:
    here = visit(many, viewport={"width": 900, "height": 800})
    page = here.open()
    page.evaluate("document.getElementById('facts').scrollTo(200, 900)")
    assert page.evaluate("document.getElementById('facts').scrollLeft") == 200
    box = page.locator("#grid thead th").first.bounding_box()
    for x in range(int(box["x"]) + 1, int(box["x"] + box["width"]), 20):
        for y in range(int(box["y"]) + 1, int(box["y"] + box["height"]), 20):
            seen = page.evaluate("([x, y]) => document.elementFromPoint(x, y).textContent", [x, y])
            assert seen == "Fact"


def test_on_a_phone_a_fact_is_a_chip_an_answer(visit: Callable[..., Visit], many: str) -> None:
    here = visit(many, viewport={"width": 390, "height": 844})
    page = here.open()
    row = page.locator("tr[id='abi.long_bits']")
    assert row.locator("td:visible").count() == 0
    assert row.locator(".chips li:visible").all_inner_texts() == [
        "▲ yes FreeBSD, all 2!", "◆ 32 Linux 32-bit, all 3", "● 64 Linux 64-bit, all 6; gVisor",
    ]  # fmt: skip
    page.click("#platforms summary")
    page.click("#none")
    page.check("#platforms [data-column='0']")
    page.check("#platforms [data-column='1']")
    assert row.locator(".chips li:visible").all_inner_texts() == [
        "◆ 32 bookworm-armv7l", "● 64 bookworm-aarch64",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a page of so many platforms that Linux is folded at first."""
    return written(twenty(), tmp_path_factory.mktemp("folded"))


LONG, FLAGS, SHARED = "abi.long_bits", "signals.python_signal_flags", "locks.flock_shared_by_fork"
HARD = "locks.flock_failed_upgrade_keeps"


def test_a_system_of_many_platforms_is_one_column_that_opens(
    visit: Callable[..., Visit], folded: str
) -> None:
    here = visit(folded, viewport={"width": 1280, "height": 800})
    page = here.open()
    columns = page.locator(".names th:visible")
    linux = page.get_by_role("button", name="Linux, glibc: 13 platforms")
    assert linux.get_attribute("aria-expanded") == "false"
    assert columns.count() == 8
    assert columns.first.inner_text() == "13 platforms"
    size = page.evaluate("[facts.scrollWidth, facts.clientWidth]")
    assert size[0] <= size[1]
    row = page.locator(f"tr[id='{LONG}']")
    cell = row.locator("td:visible").first
    assert cell.inner_text() == "differ: 2 answers"
    assert page.locator(f"tr[id='{SHARED}'] td:visible").first.inner_text() == "● yes"
    # The cell opens its system, and the keyboard stays at its row.
    cell.locator("button").press("Enter")
    assert here.focused() == f"#{LONG}"
    assert here.panel() == ""
    assert linux.get_attribute("aria-expanded") == "true"
    assert columns.count() == 20
    date = Report.load(load_cells()["python3.9"].baseline).measured_at[:10]
    assert columns.first.inner_text().split() == (
        ["CPython", "3.9", "to", "3.13", "baseline", date, "x86_64,", "Debian", "12"]
    )
    flags = page.locator(f"tr[id='{FLAGS}'] td:visible").first
    assert flags.get_attribute("title") == "none; SA_ONSTACK from 3.10"
    assert here.fragment() == "#folded="
    page.go_back()
    assert columns.count() == 8
    # By the keyboard and by the head; the address holds it.
    page.get_by_role("button", name="FreeBSD: 2 platforms").press("Space")
    assert columns.count() == 7
    assert here.fragment() == "#folded=linux&folded=freebsd"
    page.locator("[data-system='linux']").click()
    assert here.fragment() == "#folded=freebsd"
    again = visit(folded)
    assert again.open("#folded=freebsd").locator(".names th:visible").count() == 19
    # A title is as wide as the columns that are seen.
    page = again.open("#folded=linux&folded=freebsd")
    assert {*page.eval_on_selector_all(".family th", "all => all.map(e => e.colSpan)")} == {8}


def test_a_folded_cell_counts_only_what_was_measured(
    visit: Callable[..., Visit], tmp_path: Path
) -> None:
    blocked = {"status": "blocked", "value": None, "scope": "inherent", "reason": "needs root"}
    reports = [
        ("a", changed(host(), {"release": "6.1.0"}, {ID: False, HARD: "kept"})),
        ("b", changed(host(), {"release": "6.2.0"}, {HARD: "kept"}, facts={ID: blocked})),
        ("c", changed(host(), {"release": "6.3.0"}, {HARD: "lost"}, facts={ID: blocked})),
    ]
    path = written(make_table(reports, ["linux"]), tmp_path)
    here = visit(path)
    page = here.open("#folded=linux&all=1")

    def cell(id: str) -> str:
        return str(page.locator(f"tr[id='{id}'] td:visible").inner_text())

    assert cell(ID) == "● no 1 of 3 measured"
    assert cell(HARD).split("\n") == ["differ: 2 answers !", "not what is documented"]
    page.click("#platforms summary")
    page.uncheck("#platforms [data-column='0']")
    # What remains of it is documented.
    assert cell(ID).split("\n") == ["○ no", "documented, not measured"]
    page.uncheck("#platforms [data-column='3']")
    assert cell(ID) == "blocked"
    # One platform alone is shown by itself.
    page.uncheck("#platforms [data-column='2']")
    assert page.locator(".names th:visible").inner_text().startswith("b")


@pytest.mark.parametrize(
    "make", [atlas.render_page, lambda table: render_table("html", table, show_all=True)]
)
def test_without_a_script_twenty_platforms_are_wide_enough(
    browser: Any, tmp_path: Path, make: Callable[[Table], str]
) -> None:
    path = tmp_path / "table.html"
    path.write_text(make(twenty()))
    size = {"width": 1280, "height": 800}
    here = Visit(browser, path.as_uri(), java_script_enabled=False, viewport=size)
    page = here.open()
    assert page.locator(".names th:visible").count() == 20
    assert page.locator(".names th").first.bounding_box()["width"] >= 3.5 * 16
    assert page.locator("button:visible").count() == 0
    here.context.close()


def test_the_panel_tells_what_each_python_answers(visit: Callable[..., Visit], folded: str) -> None:
    here = visit(folded)
    page = here.open(f"#{FLAGS}")
    here.expect(FLAGS)
    page.locator(".group summary").first.click()
    told = page.locator(".evidence").first.inner_text()
    for minor in range(9, 14):
        assert f"Python 3.{minor}: {'SA_ONSTACK' if minor > 9 else 'none'}" in told


LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1366, "height": 800}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1366, "height": 800}},
    "phone, light": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}},
    "phone, dark": {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}},
}


@pytest.fixture(scope="module")
def few(table: Table, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a page with every kind of entry, small enough for axe."""
    rows = [row for row in table.rows if row.family == "sockets"]
    return written(replace(table, rows=rows), tmp_path_factory.mktemp("few"))


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing(visit: Callable[..., Visit], few: str, look: str) -> None:
    try:
        axe: Any = importlib.import_module("axe_playwright_python.sync_playwright")
    except ImportError:
        pytest.skip("axe-core is not installed: pip install axe-playwright-python")
    # The page's policy would keep axe itself out.
    here = visit(few, bypass_csp=True, **LOOKS[look])
    page = here.open()

    def check(state: str) -> None:
        violations = axe.Axe().run(page).response["violations"]
        found = [(each["id"], each["nodes"][0]["html"][:200]) for each in violations]
        assert found == [], state

    check("facts")
    here.open("#folded=linux&folded=freebsd")
    check("folded")
    page.click("#platforms summary")
    check("platforms")
    here.open("#view=changes&from=here&to=bsd")
    check("changes")
    here.open("#q=no+such+words")
    check("nothing")
    here.open(f"#{ID}")
    here.expect(ID)
    for each in page.locator(".group summary").all():
        each.click()
    check("panel")


@pytest.mark.parametrize(
    "make", [atlas.render_page, lambda table: atlas.render_plain(table, len(table.rows))]
)
def test_without_a_script_the_table_is_there(
    browser: Any, table: Table, tmp_path: Path, make: Callable[[Table], str]
) -> None:
    path = tmp_path / "table.html"
    path.write_text(make(table))
    here = Visit(browser, path.as_uri(), java_script_enabled=False)
    page = here.open()
    shown = page.locator(f"tr[id='{ID}'] td").all_inner_texts()
    assert [text.split()[:2] for text in shown[2:4]] == [["●", "yes"], ["○", "yes"]]
    # Nothing is shown that does nothing.
    assert page.locator("input:visible, select:visible, button:visible").count() == 0
    assert here.asked == [path.as_uri()]
    here.context.close()
    assert here.said == []
