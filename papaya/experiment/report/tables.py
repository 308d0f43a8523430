"""Make the tables of a run, which ``tables.md`` and the page both show.

Every cell of a table is text.  A table without rows is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..analysis.published import compare_published
from ..analysis.verdicts import Analysis, Group
from ..analysis.wording import format_count, format_interval, format_number
from ..results.folder import Trial

METHOD_OF_PAPER = "top every 500 ms, of the processes it shows"


@dataclass(frozen=True)
class Table:
    """A table whose first ``text`` columns hold words and the others numbers."""

    name: str
    title: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text: int = 1


def make_tables(analysis: Analysis) -> list[Table]:
    """Return every table that the run has the data for, in reading order."""
    found: list[Table | None] = []
    for group in analysis.groups:
        found += [tabulate_ratios(analysis, group), tabulate_use(analysis, group)]
    found += [
        tabulate_units(analysis), tabulate_growth(analysis), tabulate_latency(analysis),
        tabulate_switches(analysis), tabulate_memory(analysis), tabulate_paper_method(analysis),
        _tabulate_published(analysis), tabulate_twins(analysis),
        tabulate_refused(analysis), tabulate_left_out(analysis),
    ]  # fmt: skip
    return [table for table in found if table and table.rows]


def format_markdown(table: Table) -> str:
    """Return the table as Markdown, with title and caption."""
    rule = ["---" if at < table.text else "---:" for at in range(len(table.head))]
    lines = [[_escape(cell) for cell in row] for row in (table.head, *table.rows)]
    lines.insert(1, rule)
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"## {table.title}\n\n{table.caption}\n\n{body}\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def tabulate_ratios(analysis: Analysis, group: Group) -> Table:
    """Return the table of ratios to the group's first subject."""
    reference = group.subjects[0].name
    rows: dict[str, dict[int, str]] = {}
    for found in analysis.list_comparisons(group):
        ratio = found.ratio
        rows.setdefault(found.subject, {})[found.connections] = format_interval(ratio) + (
            " =" if ratio and ratio.low is not None and ratio.holds(1) else ""
        )
    return Table(
        f"ratios-{group.name}",
        f"{group.title}: CPU use relative to {reference}",
        f"Ratio of the means over the blocks in which both were measured, with 95 % interval; "
        f"below 1 means less than {reference}; = means no significant difference.",
        ("subject", *_head_connections(analysis)),
        tuple(
            (name, *(row.get(count, "-") for count in analysis.connections))
            for name, row in rows.items()
        ),
    )


def tabulate_use(analysis: Analysis, group: Group) -> Table:
    """Return the table of CPU use, with the columns of the paper's tables."""
    clock, window = analysis.run.description.accounting.clock_hz, analysis.design.window
    rows = []
    for subject, count in analysis.list_measured(group):
        mean = analysis.find_interval(subject.name, count)
        cv = analysis.find_cv(subject.name, count)
        if mean is None:
            continue
        sd = cv.value * mean.value if cv else None
        rows.append((
            subject.name, str(count), str(len(analysis.list_trials(subject.name, count))),
            format_interval(mean),
            format_number(None if sd is None else sd**2), format_number(sd), format_interval(cv),
            format_number(analysis.find_noise_floor(mean.value)),
        ))  # fmt: skip
    return Table(
        f"use-{group.name}",
        f"{group.title}: CPU use",
        "Percent of one core. Mean over trials with 95 % interval; variance, standard deviation "
        f"(sd) and coefficient of variation (Cv = sd / mean) of exact windows of {window:g} s "
        f"within a trial. Noise floor: the Cv that a clock sampling at {clock} Hz would show for "
        "a constant use.",
        ("subject", "connections", "trials", "mean %", "variance", "sd", "Cv", "noise floor"),
        tuple(rows),
    )


def tabulate_units(analysis: Analysis) -> Table:
    """Return the table of CPU time per message, megabit and delivery."""
    return _tabulate_points(
        analysis,
        "by-unit",
        "CPU per message, megabit and delivery",
        "Microseconds of CPU, mean over trials with 95 % interval. A delivery is a message that "
        "reached a client.",
        {
            "µs per message": "us_per_message",
            "µs per megabit": "us_per_mbit",
            "µs per delivery": "us_per_delivery",
        },
    )


def tabulate_latency(analysis: Analysis) -> Table:
    """Return the table of the chat's latency and faults."""
    return _tabulate_points(
        analysis,
        "latency",
        "Latency of the chat, and lost messages",
        "Milliseconds from the moment a message was due until it was delivered: mean of each "
        "percentile over trials with 95 % interval; p99.9 only if it differs from the largest. "
        "Lost, torn, duplicated and disordered count deliveries of all trials.",
        {"p50": "p50_ms", "p99": "p99_ms", "p99.9": "p999_ms", "max": "max_ms"},
        ("lost", "torn", "duplicated", "disordered"),
        "p50_ms",
    )


def tabulate_switches(analysis: Analysis) -> Table:
    """Return the table of context switches."""
    return _tabulate_points(
        analysis,
        "switches",
        "Context switches",
        "Switches per second, and voluntary switches per message. A process or thread that waits "
        "gives up its core voluntarily; an involuntary switch takes the core from it.",
        {
            "voluntary per second": _per("voluntary", "seconds"),
            "involuntary per second": _per("involuntary", "seconds"),
            "voluntary per message": _per("voluntary", "messages"),
        },
    )


def tabulate_memory(analysis: Analysis) -> Table:
    """Return the table of memory, and of signs that the machine was disturbed."""
    cores = analysis.run.description.host.cores
    return _tabulate_points(
        analysis,
        "memory",
        "Memory, and the state of the machine",
        "Largest memory use seen, with shared pages divided among their users (PSS); share of all "
        "processors that the hypervisor gave to other guests (steal); share of its core that the "
        "load generator used; share of the offered rate that was achieved.",
        {
            "MiB": lambda c: _divide(c.pss_kib, 1024),
            "steal %": lambda c: _divide(c.steal_seconds, (c.seconds or 0) * cores, 100),
            "load %": "load_cpu_percent",
            "rate %": lambda c: _divide(c.achieved_mbps, c.offered_mbps, 100),
        },
    )


def tabulate_growth(analysis: Analysis) -> Table:
    """Return the table of the cost of one more connection."""
    return Table(
        "growth",
        "Growth with connections",
        "Percent of a core that one more connection costs: slope of a straight line through all "
        "numbers of connections, mean over blocks with 95 % interval. Each connection to a reader "
        "adds its own load; each connection to a chat is one more client that receives everything.",
        ("subject", "% per connection"),
        tuple(
            (subject.name, format_interval(slope))
            for subject in analysis.subjects
            if (slope := analysis.find_growth(subject.name))
        ),
    )


def tabulate_paper_method(analysis: Analysis) -> Table:
    """Return the table of the paper's method beside the exact figures."""
    rows = []
    for group in analysis.groups:
        for subject, count in analysis.list_measured(group):
            paper = analysis.find_paper_figures(subject.name, count)
            exact = analysis.find_interval(subject.name, count)
            ticks = analysis.find_ticks(subject.name, count)
            if exact is None or (paper is None and ticks is None):
                continue
            cv = analysis.find_cv(subject.name, count)
            rows.append((
                subject.name, str(count), format_number(exact.value), format_number(ticks),
                format_number(paper and paper[0]), format_number(cv.value if cv else None),
                format_number(paper and paper[1]),
                format_number(analysis.find_noise_floor(exact.value)),
            ))  # fmt: skip
    return Table(
        "paper-method",
        "The paper's method on the same trials",
        f"Percent of one core. Exact: by the accounting of this run. Ticks: by the kernel's tick "
        f"counters, for all processes. Paper: {METHOD_OF_PAPER}, samples of zero dropped. Cv of "
        f"the exact windows, Cv by the paper's method, and the noise floor: the Cv that a clock "
        f"sampling at {analysis.run.description.accounting.clock_hz} Hz shows for a constant use.",
        ("subject", "connections", "exact %", "ticks %", "paper %", "Cv", "paper Cv",
         "noise floor"),
        tuple(rows),
    )  # fmt: skip


def tabulate_twins(analysis: Analysis) -> Table:
    """Return the table of A/A ratios."""
    return Table(
        "aa",
        "A/A: the same subject twice",
        "Ratio of the CPU use of two identical trials of a block: what no difference looks like "
        "on this machine.",
        ("subject", "connections", "blocks", "ratio"),
        tuple(
            (twin.subject, str(twin.connections), str(twin.starts), format_interval(twin.ratio))
            for twin in analysis.twins
        ),
    )


def tabulate_refused(analysis: Analysis) -> Table:
    """Return the table of the trials that do not count, and why."""
    counts: dict[tuple[str, str, str], int] = {}
    for trial in analysis.run.refused:
        key = trial.subject, f"{trial.connections}{' (A/A)' * trial.aa}", trial.why or "unknown"
        counts[key] = counts.get(key, 0) + 1
    return Table(
        "refused",
        "Refused trials",
        "They are not counted in any figure above.",
        ("subject", "connections", "reason", "trials"),
        tuple((*key, str(count)) for key, count in counts.items()),
        text=3,
    )


def tabulate_left_out(analysis: Analysis) -> Table:
    """Return the table of the subjects without trials, and why."""
    return Table(
        "left-out",
        "Left out",
        "Subjects that were not measured.",
        ("subject", "reason"),
        tuple(analysis.left_out.items()),
        text=2,
    )


def _tabulate_published(analysis: Analysis) -> Table:
    head, rows = compare_published(analysis)
    return Table(
        "published",
        "The published figures",
        "Mean CPU use in percent of one core, published (FreeBSD 13.0, 1 vCPU, 2022) and measured "
        "here, and the ratio of goroutines to processes. † For c-processes at 32 and 64 "
        "connections, top showed 18 of 33 and of 65 processes. The published servers did unequal "
        "work, which the subjects named -original repeat.",
        head,
        rows,
    )


Column = str | Callable[[Trial], float | None]


def _tabulate_points(
    analysis: Analysis,
    name: str,
    title: str,
    caption: str,
    columns: dict[str, Column],
    totals: tuple[str, ...] = (),
    needs: Column | None = None,
) -> Table:
    """Return a table with a row per subject and connections, without columns that are empty."""
    rows = []
    for group in analysis.groups:
        for subject, count in analysis.list_measured(group):
            trials = analysis.list_trials(subject.name, count)
            if needs and analysis.find_interval(subject.name, count, needs) is None:
                continue
            values = [
                format_interval(analysis.find_interval(subject.name, count, c))
                for c in columns.values()
            ]
            sums = [str(sum(getattr(trial, total) or 0 for trial in trials)) for total in totals]
            rows.append((subject.name, str(count), *values, *sums))
    head = ("subject", "connections", *columns, *totals)
    kept = [at for at in range(len(head)) if any(row[at] != "-" for row in rows)]
    if len(kept) < 3:
        return Table(name, title, caption, head, ())
    shown = tuple(tuple(row[at] for at in kept) for row in rows)
    return Table(name, title, caption, tuple(head[at] for at in kept), shown)


def _per(column: str, unit: str) -> Callable[[Trial], float | None]:
    return lambda trial: _divide(getattr(trial, column), getattr(trial, unit))


def _divide(value: float | None, by: float | None, times: float = 1) -> float | None:
    return None if value is None or not by else value / by * times


def _head_connections(analysis: Analysis) -> Iterator[str]:
    return (format_count(count, "connection") for count in analysis.connections)
