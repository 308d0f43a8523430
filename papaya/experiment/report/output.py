"""Write the report of a results folder: ``tables.md``, ``plots/`` and ``index.html``.

write_report("results", print)
draw_in_terminal("results", sys.stdout)
make_json("results")
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


def write_report(folder: str | Path, say: Callable[[str], None]) -> None:
    """Write every file of the report; pass lines about the progress to ``say``."""
    with _explain_missing():
        from . import style
        from .method import describe_method, describe_run, list_facts
        from .page import render_page
        from .tables import format_markdown, make_tables

    analysis = _analyse(folder)
    folder = Path(folder)
    say("computing intervals")
    answers, made = collect_answers(analysis), make_tables(analysis)
    parts = [
        f"# {HEADING}\n", describe_run(analysis) + "\n",
        *([analysis.too_few + "\n"] if analysis.too_few else []),
        *(f"## {heading}\n\n{_format_bullets(each)}" for heading, each in answers.items()),
        *map(format_markdown, made),
        "## Method\n", *(f"{each}\n" for each in describe_method(analysis)),
        "## Host and run\n", _format_bullets(f"{n}: {v}" for n, v in list_facts(analysis).items()),
    ]  # fmt: skip
    _save(folder / "tables.md", "\n".join(parts).encode())
    say("drawing")
    drawn = draw_plots(analysis)
    for plot in drawn:
        _save(folder / "plots" / f"{plot.name}.svg", plot.svg.encode())
        _save(folder / "plots" / f"{plot.name}.png", style.render_png(plot.figure))
    _save(folder / "index.html", render_page(analysis, HEADING, answers, drawn, made).encode())
    say(f"wrote {folder / 'index.html'}, tables.md and plots/")


def draw_plots(analysis: Analysis) -> list[Plot]:
    """Draw every plot that the run has the data for."""
    from matplotlib import rc_context

    from ..analysis.verdicts import CPU
    from . import facets, plots
    from .style import RC

    with rc_context(RC):
        found = [
            plots.draw_by_connections(
                analysis, "cpu", "CPU use by connections", "percent of a core", CPU
            ),
            plots.draw_by_connections(
                analysis, "megabit", "CPU per megabit", "µs of CPU per megabit", "us_per_mbit"
            ),
            plots.draw_by_connections(
                analysis,
                "delivery",
                "CPU per delivery",
                "µs of CPU per delivery",
                "us_per_delivery",
            ),
            plots.draw_ratios(analysis),
            facets.draw_variation(analysis),
            facets.draw_over_time(analysis),
            plots.draw_latency(analysis),
        ]
    return [plot for plot in found if plot]


def draw_in_terminal(folder: str | Path, out: TextIO) -> None:
    """Draw the report in the terminal."""
    with _explain_missing():
        from .terminal import draw

    analysis = _analyse(folder)
    draw(analysis, collect_answers(analysis), out)


def make_json(folder: str | Path) -> dict[str, Any]:
    """Return the report as JSON: intervals, ratios, verdicts, answers."""
    analysis = _analyse(folder)
    points = [
        {
            "subject": subject.name,
            "group": group.name,
            "connections": count,
            "starts": len(analysis.list_trials(subject.name, count)),
            **{
                column: _to_dict(analysis.find_interval(subject.name, count, column))
                for column in ("cpu_percent", "us_per_message", "us_per_mbit", "us_per_delivery")
            },
            "cv": _to_dict(analysis.find_cv(subject.name, count)),
        }
        for group in analysis.groups
        for subject, count in analysis.list_measured(group)
    ]
    ratios = [
        {**asdict(found), "verdict": analysis.describe_comparison(found)}
        for group in analysis.groups
        for found in analysis.list_comparisons(group)
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
    from ..analysis.published import answer_questions

    said = {"The paper's questions: C processes and goroutines": answer_questions(analysis)}
    for group in analysis.groups:
        said[f"{group.title}: comparison"] = analysis.describe_comparisons(group)
    return {heading: sentences for heading, sentences in said.items() if sentences}


def check_extras() -> None:
    """Raise CommandError if a package for the report is missing, before hours of measuring."""
    with _explain_missing():
        from . import plots  # noqa: F401


@contextmanager
def _explain_missing() -> Iterator[None]:
    """Turn the ImportError of an optional package into a CommandError that names it."""
    try:
        yield
    except ImportError as error:
        line = f"a report needs {error.name}: in a clone, pip install '.[experiment]'"
        raise CommandError(line, 3) from None


def _analyse(folder: str | Path) -> Analysis:
    with _explain_missing():
        from ..analysis.verdicts import Analysis

    run = results.read_run(folder)
    if not any(trial.status == results.OK for trial in run.trials):
        raise CommandError(
            f"{folder}: nothing to report: every trial was refused, or none has ended", 1
        )
    return Analysis(run)


def _to_dict(interval: Any) -> dict[str, float | None] | None:
    return None if interval is None else asdict(interval)


def _format_bullets(sentences: Iterable[str]) -> str:
    return "".join(f"- {each}\n" for each in sentences)


def _save(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(data)
    partial.replace(path)
