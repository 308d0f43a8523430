"""The tables of a run, each once: ``tables.md`` and the page show the same.

A cell of a table is text.  A table that nothing was measured for is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..analysis.published import beside_published
from ..analysis.verdicts import Analysis, Group
from ..analysis.wording import format_count, format_interval, format_number
from ..results.folder import Trial

METHOD_OF_PAPER = "top every 500 ms, of the processes it shows"


@dataclass(frozen=True)
class Table:
    """``text`` columns hold words, and those after them numbers."""

    name: str
    title: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text: int = 1


def tables(analysis: Analysis) -> list[Table]:
    """All that the run supports, in the order in which they are read."""
    found: list[Table | None] = []
    for group in analysis.groups:
        found += [ratios(analysis, group), use(analysis, group)]
    found += [
        by_unit(analysis), growth(analysis), latency(analysis), switches(analysis),
        memory(analysis), paper_beside_exact(analysis), _compare_published(analysis),
        twins(analysis),
        list_refused(analysis), list_left_out(analysis),
    ]  # fmt: skip
    return [table for table in found if table and table.rows]


def markdown(table: Table) -> str:
    """With its title and caption."""
    rule = ["---" if at < table.text else "---:" for at in range(len(table.head))]
    lines = [[_escape(cell) for cell in row] for row in (table.head, *table.rows)]
    lines.insert(1, rule)
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"## {table.title}\n\n{table.caption}\n\n{body}\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def ratios(analysis: Analysis, group: Group) -> Table:
    """Every subject with the group's first."""
    reference = group.subjects[0].name
    cells: dict[str, dict[int, str]] = {}
    for found in analysis.comparisons(group):
        ratio = found.ratio
        cells.setdefault(found.subject, {})[found.connections] = format_interval(ratio) + (
            " =" if ratio and ratio.low is not None and ratio.holds(1) else ""
        )
    return Table(
        f"ratios-{group.name}",
        f"{group.title}: CPU use by that of {reference}",
        f"Ratio of the means, of the blocks in which both were measured, with its 95 % interval; "
        f"below 1 it uses less than {reference}; = where no difference can be told.",
        ("subject", *_connections(analysis)),
        tuple(
            (name, *(row.get(count, "-") for count in analysis.connections))
            for name, row in cells.items()
        ),
    )


def use(analysis: Analysis, group: Group) -> Table:
    """As the paper has it."""
    clock, window = analysis.run.description.accounting.clock_hz, analysis.design.window
    rows = []
    for subject, count in analysis.list_measured(group):
        mean = analysis.interval(subject.name, count)
        cv = analysis.cv(subject.name, count)
        if mean is None:
            continue
        sd = cv.value * mean.value if cv else None
        rows.append((
            subject.name, str(count), str(len(analysis.cells(subject.name, count))),
            format_interval(mean),
            format_number(None if sd is None else sd**2), format_number(sd), format_interval(cv),
            format_number(analysis.floor(mean.value)),
        ))  # fmt: skip
    return Table(
        f"use-{group.name}",
        f"{group.title}: use of CPU",
        "Percent of one core. Mean over starts with its 95 % interval; variance, standard "
        f"deviation (sd) and coefficient of variation (Cv = sd / mean) of exact windows of "
        f"{window:g} s within a start. Noise floor: the Cv that a clock which samples at "
        f"{clock} Hz would show of a use that does not vary at all.",
        ("subject", "connections", "starts", "mean %", "variance", "sd", "Cv", "noise floor"),
        tuple(rows),
    )


def by_unit(analysis: Analysis) -> Table:
    """CPU by what was done with it."""
    return _by_point(
        analysis,
        "by-unit",
        "CPU by message, megabit and delivery",
        "Microseconds of CPU, mean over starts with its 95 % interval. A delivery is a message "
        "that came to a client.",
        {
            "µs a message": "us_per_message",
            "µs a megabit": "us_per_mbit",
            "µs a delivery": "us_per_delivery",
        },
    )


def latency(analysis: Analysis) -> Table:
    """Of the chat."""
    return _by_point(
        analysis,
        "latency",
        "Latency of the chat, and what was lost",
        "Milliseconds from the moment a message was due to be sent until it was delivered: mean "
        "over starts of each percentile, with its 95 % interval; p99.9 where it is told apart from "
        "the largest. Lost, torn, duplicated and "
        "disordered: deliveries, of all starts together.",
        {"p50": "p50_ms", "p99": "p99_ms", "p99.9": "p999_ms", "max": "max_ms"},
        ("lost", "torn", "duplicated", "disordered"),
        "p50_ms",
    )


def switches(analysis: Analysis) -> Table:
    """Context switches."""
    return _by_point(
        analysis,
        "switches",
        "Context switches",
        "A second, and voluntary ones by message: a process or thread that waits gives the core "
        "up voluntarily; involuntary: it was taken from it.",
        {
            "voluntary a second": _each("voluntary", "seconds"),
            "involuntary a second": _each("involuntary", "seconds"),
            "voluntary a message": _each("voluntary", "messages"),
        },
    )


def memory(analysis: Analysis) -> Table:
    """Memory, and what tells whether the machine was fit."""
    cores = analysis.run.description.host.cores
    return _by_point(
        analysis,
        "memory",
        "Memory, and the state of the machine",
        "The most memory that was seen, what is shared divided among those who share it (PSS); the "
        "share of all processors that the hypervisor gave to others (steal); use of its own core "
        "by the load generator; rate that was reached of what was offered.",
        {
            "MiB": lambda c: _divide(c.pss_kib, 1024),
            "steal %": lambda c: _divide(c.steal_seconds, (c.seconds or 0) * cores, 100),
            "load %": "load_cpu_percent",
            "rate reached %": lambda c: _divide(c.achieved_mbps, c.offered_mbps, 100),
        },
    )


def growth(analysis: Analysis) -> Table:
    """Return the table of what one more connection costs."""
    return Table(
        "growth",
        "Growth with connections",
        "Percent of a core that a connection more costs: slope of a straight line through all "
        "numbers of connections, mean over blocks with its 95 % interval. Each connection of a "
        "reader is as much load again; of a chat it is one more client to whom all is sent.",
        ("subject", "% a connection"),
        tuple(
            (subject.name, format_interval(slope))
            for subject in analysis.subjects
            if (slope := analysis.growth(subject.name))
        ),
    )


def paper_beside_exact(analysis: Analysis) -> Table:
    """Return the table of what the paper's method would have said of the same runs."""
    rows = []
    for group in analysis.groups:
        for subject, count in analysis.list_measured(group):
            paper = analysis.paper(subject.name, count)
            exact = analysis.interval(subject.name, count)
            ticks = analysis.ticks(subject.name, count)
            if exact is None or (paper is None and ticks is None):
                continue
            cv = analysis.cv(subject.name, count)
            rows.append((
                subject.name, str(count), format_number(exact.value), format_number(ticks),
                format_number(paper and paper[0]), format_number(cv.value if cv else None),
                format_number(paper and paper[1]), format_number(analysis.floor(exact.value)),
            ))  # fmt: skip
    return Table(
        "paper-method",
        "What the paper's method would have said of the same runs",
        f"Percent of one core. Exact: by the accounting of this run. Ticks: by the kernel's tick "
        f"counters, of all processes. Paper: {METHOD_OF_PAPER}, samples of zero dropped. Cv of "
        f"the exact windows, Cv by the paper, and the noise floor: the Cv that a clock which "
        f"samples at {analysis.run.description.accounting.clock_hz} Hz shows of a use that does "
        "not vary at all.",
        ("subject", "connections", "exact %", "ticks %", "paper %", "Cv", "paper Cv",
         "noise floor"),
        tuple(rows),
    )  # fmt: skip


def twins(analysis: Analysis) -> Table:
    """A/A."""
    return Table(
        "aa",
        "A/A: the same subject twice",
        "Ratio of the use of CPU by two cells of a block that differ in nothing: what no "
        "difference looks like here.",
        ("subject", "connections", "blocks", "ratio"),
        tuple(
            (twin.subject, str(twin.connections), str(twin.starts), format_interval(twin.ratio))
            for twin in analysis.twins
        ),
    )


def list_refused(analysis: Analysis) -> Table:
    """Return the table of the starts that do not count, and why."""
    counts: dict[tuple[str, str, str], int] = {}
    for cell in analysis.run.refused:
        key = cell.subject, f"{cell.connections}{' (A/A)' * cell.aa}", cell.why or "not said"
        counts[key] = counts.get(key, 0) + 1
    return Table(
        "refused",
        "CommandError repetitions",
        "They count nowhere above.",
        ("subject", "connections", "reason", "starts"),
        tuple((*key, str(count)) for key, count in counts.items()),
        text=3,
    )


def list_left_out(analysis: Analysis) -> Table:
    """Return the table of what could not be measured here, and what has not been yet."""
    return Table(
        "left-out",
        "Left out",
        "Subjects that were not measured.",
        ("subject", "reason"),
        tuple(analysis.left_out.items()),
        text=2,
    )


def _compare_published(analysis: Analysis) -> Table:
    head, rows = beside_published(analysis)
    return Table(
        "published",
        "Beside the published figures",
        "Mean CPU use in percent of one core, published (FreeBSD 13.0, 1 vCPU, 2022) and measured "
        "here, and the ratio of goroutines to processes. † Of c-processes at 32 and 64 "
        "connections, top showed 18 of 33 and of 65 processes. The published servers did unequal "
        "work: like for like are the subjects named after them with -original.",
        head,
        rows,
    )


Column = str | Callable[[Trial], float | None]


def _by_point(
    analysis: Analysis,
    name: str,
    title: str,
    caption: str,
    columns: dict[str, Column],
    totals: tuple[str, ...] = (),
    needs: Column | None = None,
) -> Table:
    """Columns of cells by subject and connections; those that are empty everywhere not shown."""
    rows = []
    for group in analysis.groups:
        for subject, count in analysis.list_measured(group):
            cells = analysis.cells(subject.name, count)
            if needs and analysis.interval(subject.name, count, needs) is None:
                continue
            values = [
                format_interval(analysis.interval(subject.name, count, c)) for c in columns.values()
            ]
            sums = [str(sum(getattr(cell, total) or 0 for cell in cells)) for total in totals]
            rows.append((subject.name, str(count), *values, *sums))
    head = ("subject", "connections", *columns, *totals)
    kept = [at for at in range(len(head)) if any(row[at] != "-" for row in rows)]
    if len(kept) < 3:
        return Table(name, title, caption, head, ())
    shown = tuple(tuple(row[at] for at in kept) for row in rows)
    return Table(name, title, caption, tuple(head[at] for at in kept), shown)


def _each(column: str, unit: str) -> Callable[[Trial], float | None]:
    return lambda cell: _divide(getattr(cell, column), getattr(cell, unit))


def _divide(value: float | None, by: float | None, times: float = 1) -> float | None:
    return None if value is None or not by else value / by * times


def _connections(analysis: Analysis) -> Iterator[str]:
    return (format_count(count, "connection") for count in analysis.connections)
