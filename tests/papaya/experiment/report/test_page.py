"""Test the page in a browser."""

from __future__ import annotations

import base64
import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import launched
from tests.papaya.experiment.report.written import HARM


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as chromium:
        yield chromium


@pytest.fixture
def visit(browser: Any, folder: Path, quick: Path, recorded: Path) -> Iterator[Callable[..., Any]]:
    """Open the page of a run; at the end check that it logged and fetched nothing."""
    addresses = {
        name: (made / "index.html").as_uri()
        for name, made in {"full": folder, "quick": quick, "recorded": recorded}.items()
    }
    contexts: list[Any] = []
    said: list[str] = []
    asked: set[str] = set()

    def open(run: str = "full", **options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.add(request.url.partition("#")[0]))
        page.goto(addresses[run])
        return page

    yield open
    for context in contexts:
        context.close()
    assert said == []
    assert asked
    assert asked - {"data:,"} <= {*addresses.values()}


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


def test_the_ink_of_the_plots_follows_the_theme(visit: Callable[..., Any]) -> None:
    page = visit()
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
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


def test_the_page_is_no_wider_than_the_window(visit: Callable[..., Any]) -> None:
    page = visit()
    for summary in page.locator("details summary").all():
        summary.click()
    for width in (320, 390, 800, 1366):
        page.set_viewport_size({"width": width, "height": 800})
        size = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert size == [width, width]


def test_what_is_wide_is_scrolled_with_the_keys(visit: Callable[..., Any]) -> None:
    page = visit(viewport={"width": 390, "height": 800})
    wide = page.locator("figure .wide").first
    wide.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.activeElement.scrollLeft > 0")


every_run = pytest.mark.parametrize("run", ["full", "quick", "recorded"])


# In one page, because opening it takes longer than laying it out for another window.
WIDTHS = (390, 1280, 1920)
SCHEMES = ("light", "dark")


@every_run
def test_the_page_begins_with_the_answer_and_the_main_plot(
    visit: Callable[..., Any], run: str
) -> None:
    page = visit(run)
    answer, plot, contents = (
        page.locator(each).first for each in (".answers li", "figure svg", "nav")
    )
    for width in (1280, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        begins = [each.bounding_box()["y"] for each in (answer, plot, contents)]
        assert begins == sorted(begins), width
        # Without scrolling: the answer, and most of the plot's first panel.
        assert begins[0] < 300, width
        assert begins[1] < 700, width
    assert page.locator("h2").first.inner_text() == page.evaluate(
        "document.querySelector('.answers').closest('section').querySelector('h2').innerText"
    )
    assert plot.get_attribute("aria-label").startswith("CPU use by connections.")


def test_the_contents_are_a_list(visit: Callable[..., Any]) -> None:
    page = visit("recorded")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        entries = page.evaluate(
            """[...document.querySelectorAll('nav li')].map(item => {
                const {x, y} = item.querySelector('a').getBoundingClientRect();
                const style = getComputedStyle(item);
                return [style.display, style.listStyleType, x, y];
            })"""
        )
        assert len(entries) > 20
        assert {display for display, *_ in entries} == {"list-item"}
        assert {mark for _, mark, *_ in entries} == {"disc", "circle"}
        # Each on a line of its own: those at one height are in different columns.
        columns = {x for *_, x, _ in entries}
        assert len({(x, y) for *_, x, y in entries}) == len(entries)
        for _, _, x, y in entries:
            beside = [other for *_, other, at in entries if at == y and other != x]
            assert all(abs(other - x) > 200 for other in beside)
        if width == 390:
            assert len({y for *_, y in entries}) == len(entries)
        assert len(columns) >= 2


def test_every_heading_is_in_the_contents(visit: Callable[..., Any]) -> None:
    page = visit("full")
    headings = page.locator("main h2, main h3").all_inner_texts()
    assert ["Contents", *page.locator("nav a").all_inner_texts()] == sorted(
        headings, key=lambda heading: heading != "Contents"
    )


@every_run
def test_no_word_of_a_plot_is_cut(visit: Callable[..., Any], run: str) -> None:
    """In the browser, whose font may be another: within the plot, and reached by scrolling."""
    page = visit(run)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        cut = page.evaluate(
            """[...document.querySelectorAll('svg')].flatMap(svg => {
                const sheet = svg.getBoundingClientRect();
                return [...svg.querySelectorAll('text')].filter(text => {
                    const box = text.getBoundingClientRect();
                    return box.left < sheet.left || box.right > sheet.right
                        || box.top < sheet.top || box.bottom > sheet.bottom;
                }).map(text => text.textContent);
            })"""
        )
        assert cut == []
        reached = page.evaluate(
            """[...document.querySelectorAll('figure .wide')].map(wide => {
                wide.scrollLeft = wide.scrollWidth;
                return wide.querySelector('svg').getBoundingClientRect().right
                    <= wide.getBoundingClientRect().right;
            })"""
        )
        assert reached
        assert all(reached)


@every_run
def test_a_phone_scrolls_inside_the_figure(visit: Callable[..., Any], run: str) -> None:
    page = visit(run, viewport={"width": 390, "height": 844})
    found = page.evaluate(
        """[...document.querySelectorAll('figure .wide')].map(wide => [
            wide.scrollWidth - wide.clientWidth, getComputedStyle(wide).overflowX,
            Math.min(...[...wide.querySelectorAll('svg text')].map(text =>
                text.getScreenCTM().a * parseFloat(getComputedStyle(text).fontSize)
            ).filter(size => size > 0)),
        ])"""
    )
    assert len(found) == page.locator("figure").count()
    for beyond, overflow, size in found:
        assert beyond > 100
        assert overflow == "auto"
        # Pixels of the smallest text: as large as in print, so not shrunk to the window.
        assert size >= 9
    assert page.evaluate("document.documentElement.scrollWidth") == 390


@every_run
def test_the_plots_can_be_read_in_either_theme(visit: Callable[..., Any], run: str) -> None:
    """Each word by 4.5 to 1 and each line and mark of a subject by 3 to 1 (WCAG 2.2)."""
    page = visit(run)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate(
            """(() => {
                const ground = getComputedStyle(document.body).backgroundColor;
                const seen = [];
                for (const one of document.querySelectorAll('svg text, svg path, svg use')) {
                    if (one.closest('defs, clipPath')) continue;
                    const style = getComputedStyle(one);
                    const isText = one.tagName == 'text';
                    for (const kind of isText ? ['fill'] : ['stroke']) {
                        const named = one.closest(`[${kind}]`)?.getAttribute(kind);
                        if (['var(--line)', 'var(--page)', 'none'].includes(named)) continue;
                        if (style[kind] != 'none')
                            seen.push([isText, style[kind], style[kind + 'Opacity']]);
                    }
                }
                return [ground, [...new Set(seen.map(JSON.stringify))].map(JSON.parse)];
            })()"""
        )
        ground, seen = found
        assert len(seen) > 4
        for is_text, colour, opacity in seen:
            if float(opacity) < 1:
                # Later starts, which are paler: the first is in full.
                continue
            assert contrast(colour, ground) >= (4.5 if is_text else 3), colour


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2): ``rgb(26, 29, 33)``."""
    found = []
    for colour in (one, other):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        lights = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        found.append(0.2126 * lights[0] + 0.7152 * lights[1] + 0.0722 * lights[2])
    return (max(found) + 0.05) / (min(found) + 0.05)


def test_a_figure_in_a_file_is_read_on_a_dark_page(
    visit: Callable[..., Any], recorded: Path
) -> None:
    """As an image, which brings its own ground."""
    page = visit("recorded", color_scheme="dark", bypass_csp=True)
    for path in sorted((recorded / "plots").iterdir()):
        kind = {".svg": "svg+xml", ".png": "png"}[path.suffix]
        data = base64.b64encode(path.read_bytes()).decode()
        corner = page.evaluate(
            """async address => {
                const image = new Image();
                image.src = address;
                await image.decode();
                const canvas = document.createElement('canvas');
                [canvas.width, canvas.height] = [image.width, image.height];
                const context = canvas.getContext('2d');
                context.drawImage(image, 0, 0);
                return [...context.getImageData(1, image.height - 2, 1, 1).data];
            }""",
            f"data:image/{kind};base64,{data}",
        )
        assert corner == [255, 255, 255, 255], path.name


@pytest.mark.parametrize(
    ("run", "width", "scheme"),
    [
        ("full", 390, "dark"), ("full", 1280, "light"), ("full", 1920, "dark"),
        ("quick", 390, "light"), ("quick", 1280, "dark"),
        ("recorded", 390, "dark"), ("recorded", 1920, "light"),
    ],
)  # fmt: skip
def test_axe_finds_nothing(visit: Callable[..., Any], run: str, width: int, scheme: str) -> None:
    try:
        axe: Any = importlib.import_module("axe_playwright_python.sync_playwright")
    except ImportError:
        pytest.skip("axe-core is not installed: pip install axe-playwright-python")
    # The page's policy would keep axe itself out.
    page = visit(
        run, bypass_csp=True, color_scheme=scheme, viewport={"width": width, "height": 900}
    )
    for summary in page.locator("details summary").all():
        summary.click()
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 10
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found["violations"]] == []
