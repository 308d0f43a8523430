"""From a results folder to what people read: ``tables.md``, ``plots/``, ``index.html``.

write("results", print)
terminal("results", sys.stdout)
as_json("results")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from probes.errors import CommandError

from ..results import folder as results

if TYPE_CHECKING:
    from ..analysis.verdicts import Analysis
    from .curves import Plot

HEADING = "What do concurrency paradigms cost?"


def write(folder: str | Path, say: Callable[[str], None]) -> None:
    """Make all of it again; ``say`` is told, line by line, what is being done."""
    with _extras():
        from . import style
        from .method import facts, method, title
        from .page import page
        from .tables import markdown, tables

    analysis = _analyse(folder)
    folder = Path(folder)
    say("computing intervals")
    answers, made = collect_answers(analysis), tables(analysis)
    parts = [
        f"# {HEADING}\n", title(analysis) + "\n",
        *([analysis.too_few + "\n"] if analysis.too_few else []),
        *(f"## {heading}\n\n{_bullets(each)}" for heading, each in answers.items()),
        *map(markdown, made),
        "## Method\n", *(f"{each}\n" for each in method(analysis)),
        "## Host and run\n", _bullets(f"{n}: {v}" for n, v in facts(analysis).items()),
    ]  # fmt: skip
    _save(folder / "tables.md", "\n".join(parts).encode())
    say("drawing")
    drawn = draw_plots(analysis)
    for plot in drawn:
        _save(folder / "plots" / f"{plot.name}.svg", style.svg(plot.figure).encode())
        _save(folder / "plots" / f"{plot.name}.png", style.png(plot.figure))
    _save(folder / "index.html", page(analysis, HEADING, answers, drawn, made).encode())
    say(f"{folder / 'index.html'}, tables.md and plots/ are written")


def draw_plots(analysis: Analysis) -> list[Plot]:
    """Draw every plot that the run has the data for."""
    from matplotlib import rc_context

    from ..analysis.verdicts import CPU
    from . import facets, plots
    from .style import RC

    with rc_context(RC):
        found = [
            plots.by_connections(
                analysis, "cpu", "Use of CPU by connections", "percent of a core", CPU
            ),
            plots.by_connections(
                analysis, "megabit", "CPU by megabit", "µs of CPU a megabit", "us_per_mbit"
            ),
            plots.by_connections(
                analysis, "delivery", "CPU by delivery", "µs of CPU a delivery", "us_per_delivery"
            ),
            plots.ratios(analysis),
            facets.variation(analysis),
            facets.over_time(analysis),
            plots.latency(analysis),
        ]
    return [plot for plot in found if plot]


def terminal(folder: str | Path, out: TextIO) -> None:
    """Draw it where the user is."""
    with _extras():
        from .terminal import draw

    analysis = _analyse(folder)
    draw(analysis, collect_answers(analysis), out)


def as_json(folder: str | Path) -> dict[str, Any]:
    """Return the results for programs: intervals, ratios, verdicts, answers."""
    analysis = _analyse(folder)
    points = [
        {
            "subject": subject.name,
            "group": group.name,
            "connections": count,
            "starts": len(analysis.cells(subject.name, count)),
            **{
                column: _plain(analysis.interval(subject.name, count, column))
                for column in ("cpu_percent", "us_per_message", "us_per_mbit", "us_per_delivery")
            },
            "cv": _plain(analysis.cv(subject.name, count)),
        }
        for group in analysis.groups
        for subject, count in analysis.list_measured(group)
    ]
    ratios = [
        {**asdict(found), "verdict": analysis.verdict(found)}
        for group in analysis.groups
        for found in analysis.comparisons(group)
    ]
    return {
        "schema": results.SCHEMA,
        "started": analysis.run.description.started,
        "points": points,
        "ratios": ratios,
        "aa": [asdict(twin) for twin in analysis.twins],
        "refused": [
            {"subject": c.subject, "connections": c.connections, "block": c.block, "why": c.why}
            for c in analysis.run.refused
        ],
        "left_out": analysis.left_out,
        "too_few": analysis.too_few,
        "answers": collect_answers(analysis),
    }


def collect_answers(analysis: Analysis) -> dict[str, list[str]]:
    """Return the answers in sentences, by topic: the paper's questions, then each group."""
    from ..analysis.published import answers

    said = {"The paper's questions: C processes and goroutines": answers(analysis)}
    for group in analysis.groups:
        said[f"{group.title}: what the intervals support"] = analysis.verdicts(group)
    return {heading: sentences for heading, sentences in said.items() if sentences}


def check_extras() -> None:
    """CommandError where a report could not be made here: to be known before hours of measuring."""
    with _extras():
        from . import plots  # noqa: F401


@contextmanager
def _extras() -> Iterator[None]:
    """Around imports of what a bare install does not have."""
    try:
        yield
    except ImportError as error:
        line = f"a report needs {error.name}: in a clone, pip install '.[experiment]'"
        raise CommandError(line, 3) from None


def _analyse(folder: str | Path) -> Analysis:
    with _extras():
        from ..analysis.verdicts import Analysis

    run = results.read(folder)
    if not any(cell.status == results.OK for cell in run.cells):
        raise CommandError(
            f"{folder}: no repetition in it counts, so there is nothing to report", 1
        )
    return Analysis(run)


def _plain(interval: Any) -> dict[str, float | None] | None:
    return None if interval is None else asdict(interval)


def _bullets(sentences: Iterable[str]) -> str:
    return "".join(f"- {each}\n" for each in sentences)


def _save(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(data)
    partial.replace(path)
