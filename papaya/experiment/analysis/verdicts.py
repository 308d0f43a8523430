"""Analyse a run: values by subject and connections, ratios, and verdicts in words.

A verdict claims no more than its interval supports.  If the interval of a ratio includes 1, there
is no significant difference.  If it does not, but a subject measured twice (A/A) differed from
itself by as much, the verdict says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from ..results.folder import CHAT, EQUAL, OK, Run, Subject, Trial, Window
from . import statistics
from .statistics import FEWEST, Interval
from .wording import format_count, format_interval, format_number

CPU = "cpu_percent"
TAIL = "p999_ms"
FEWEST_WINDOWS = 10
"""A trial with fewer windows is not drawn over time, and gives no coefficient of variation."""
RESOLVED = 1000
"""Fewest deliveries for a 99.9th percentile: 0.1 % of them is one."""
Measure = str | Callable[[Trial], float | None]
"""A column of a trial, or a function of a trial; None if it was not measured."""


@dataclass(frozen=True)
class Group:
    """Subjects under the same load; the first is the one that the others are compared with."""

    name: str
    title: str
    subjects: tuple[Subject, ...]


@dataclass(frozen=True)
class Comparison:
    """The ratio of two subjects at a number of connections."""

    subject: str
    reference: str
    connections: int
    ratio: Interval | None
    starts: int
    """Blocks in which both were measured."""


class Analysis:
    """A run with its means, ratios and verdicts, computed when asked for."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.design = run.description.design
        self._intervals: dict[tuple[str, int, Measure], Interval | None] = {}
        self._trials: dict[tuple[str, int, bool], list[Trial]] = {}
        for trial in run.trials:
            if trial.status == OK:
                place = trial.subject, trial.connections, trial.aa
                self._trials.setdefault(place, []).append(trial)
        self.connections = sorted({count for _, count, _ in self._trials})
        self.subjects = [
            each
            for name, each in run.subjects.items()
            if any(name == n for n, _, _ in self._trials)
        ]

    @cached_property
    def groups(self) -> list[Group]:
        """Return the groups that have measured subjects: read and discard, and the chat."""
        chat = tuple(each for each in self.subjects if each.work == CHAT)
        # Equal work first, because the others are compared with the first.
        sink = sorted(
            (each for each in self.subjects if each.work != CHAT), key=lambda s: s.work != EQUAL
        )
        found = [
            Group("sink", "Read and discard", tuple(sink)),
            Group("chat", "The whole chat", chat),
        ]
        return [group for group in found if group.subjects]

    @cached_property
    def left_out(self) -> dict[str, str]:
        """Return the subjects without trials, each with the reason."""
        missing = dict(self.run.description.left_out)
        begun = {trial.subject for trial in self.run.trials}
        for name in self.run.subjects.keys() - begun:
            missing.setdefault(name, "the run ended before it was measured")
        return dict(sorted(missing.items()))

    def list_measured(self, group: Group) -> Iterator[tuple[Subject, int]]:
        """Yield each subject of a group with each number of connections of its measurements."""
        for subject in group.subjects:
            for count in self.connections:
                if self.list_trials(subject.name, count):
                    yield subject, count

    def list_trials(self, subject: str, connections: int, aa: bool = False) -> list[Trial]:
        """Return the trials that count."""
        return self._trials.get((subject, connections, aa), [])

    def list_windows(self, subject: str, connections: int) -> list[tuple[Window, ...]]:
        """Return the windows of each trial."""
        found = (self.run.windows.get(c.key, ()) for c in self.list_trials(subject, connections))
        return [windows for windows in found if windows]

    def list_long_trials(self, subject: str, connections: int) -> list[tuple[Window, ...]]:
        """Return the windows of each trial that has enough of them to be drawn."""
        return [w for w in self.list_windows(subject, connections) if len(w) >= FEWEST_WINDOWS]

    def find_values(
        self, subject: str, connections: int, measure: Measure = CPU, aa: bool = False
    ) -> dict[int, float]:
        """Return the measure by block, averaged over the trials of the block."""
        found: dict[int, list[float]] = {}
        for trial in self.list_trials(subject, connections, aa):
            value = getattr(trial, measure) if isinstance(measure, str) else measure(trial)
            if value is not None:
                found.setdefault(trial.block, []).append(float(value))
        return {block: sum(each) / len(each) for block, each in found.items()}

    def find_interval(
        self, subject: str, connections: int, measure: Measure = CPU
    ) -> Interval | None:
        """Return the mean over trials.

        None if not measured, or for a 99.9th percentile that is just the largest latency.
        """
        key = subject, connections, measure
        if measure == TAIL and not self._has_tail(subject, connections):
            return None
        if key not in self._intervals:
            values = [*self.find_values(subject, connections, measure).values()]
            self._intervals[key] = statistics.mean(values) if values else None
        return self._intervals[key]

    def _has_tail(self, subject: str, connections: int) -> bool:
        """Return whether the 99.9th percentile differs from the largest latency."""
        trials = self.list_trials(subject, connections)
        pairs = [
            (trial.p999_ms, trial.max_ms) for trial in trials if trial.p999_ms and trial.max_ms
        ]
        return all((trial.deliveries or 0) >= RESOLVED for trial in trials) and sum(
            tail for tail, _ in pairs
        ) < 0.99 * sum(largest for _, largest in pairs)

    def find_cv(self, subject: str, connections: int) -> Interval | None:
        """Return the coefficient of variation of CPU use within a trial, by exact windows."""
        key = subject, connections, "cv of windows"
        if key not in self._intervals:
            starts = self.list_windows(subject, connections)
            exact = [[window.exact_percent for window in start] for start in starts]
            self._intervals[key] = statistics.cv(exact)
        return self._intervals[key]

    def compare_variation(self, subject: str, reference: str, connections: int) -> Comparison:
        """Compare how much CPU use varies within a trial."""
        return self.compare(subject, reference, connections, lambda trial: trial.cv)

    def find_ticks(self, subject: str, connections: int) -> float | None:
        """Return the mean CPU use by the kernel's tick counters, over all windows and processes."""
        starts = self.list_windows(subject, connections)
        found = [w.ticks_percent for start in starts for w in start if w.ticks_percent is not None]
        return sum(found) / len(found) if found else None

    def find_paper_figures(self, subject: str, connections: int) -> tuple[float, float] | None:
        """Return the mean and the coefficient of variation within a trial by the paper's method.

        The samples are what top showed, without zeros, which the paper's script dropped.  Mean
        and variance are averaged over trials; the paper had one.  None if not measured.
        """
        found = []
        for start in self.list_windows(subject, connections):
            samples = [w.paper_percent for w in start if w.paper_percent]
            if len(samples) > 1:
                mean = sum(samples) / len(samples)
                square = sum((sample - mean) ** 2 for sample in samples)
                found.append((mean, square / (len(samples) - 1)))
        if not found:
            return None
        mean, variance = (sum(each) / len(found) for each in zip(*found, strict=True))
        return mean, variance**0.5 / mean

    def find_noise_floor(self, percent: float) -> float | None:
        """Return the coefficient of variation that a sampling clock shows for a constant use."""
        clock = self.run.description.accounting.clock_hz
        cores = max(1, len(self.run.description.cores.server))
        return statistics.find_noise_floor(percent, clock, self.design.window, cores)

    def compare(
        self, subject: str, reference: str, connections: int, measure: Measure = CPU
    ) -> Comparison:
        """Compare two subjects over the blocks in which both were measured."""
        ours = self.find_values(subject, connections, measure)
        theirs = self.find_values(reference, connections, measure)
        return _compare(subject, reference, connections, ours, theirs)

    def list_comparisons(self, group: Group) -> Iterator[Comparison]:
        """Yield the comparison of every other subject with the group's first."""
        reference, *others = (subject.name for subject in group.subjects)
        for name in others:
            for count in self.connections:
                if self.list_trials(name, count) and self.list_trials(reference, count):
                    yield self.compare(name, reference, count)

    def find_last_comparisons(self, group: Group) -> dict[str, Comparison]:
        """Return the comparison at the most connections of each subject with the group's first."""
        return {found.subject: found for found in self.list_comparisons(group)}

    @cached_property
    def twins(self) -> list[Comparison]:
        """Return the A/A comparisons: subjects with themselves."""
        return [
            _compare(
                name,
                name,
                count,
                self.find_values(name, count, aa=True),
                self.find_values(name, count),
            )
            for name, count, aa in self._trials
            if aa and self.list_trials(name, count)
        ]

    def find_growth(self, subject: str) -> Interval | None:
        """Return the percent of a core that one more connection costs."""
        blocks: dict[int, dict[int, float]] = {}
        for count in self.connections:
            for block, value in self.find_values(subject, count).items():
                blocks.setdefault(block, {})[count] = value
        return statistics.growth([*blocks.values()])

    @cached_property
    def too_few(self) -> str:
        """Return a sentence on points with too few trials or windows; empty if there are none."""
        points = [(s.name, n) for group in self.groups for s, n in self.list_measured(group)]
        few = sum(len(self.find_values(*point)) < FEWEST for point in points)
        short = sum(
            not self.list_long_trials(*point) for point in points if self.list_windows(*point)
        )
        said = []
        if few:
            said.append(
                f"{few} of {format_count(len(points), 'point')} "
                f"{'have' if few > 1 else 'has'} fewer "
                f"than {FEWEST} trials, so no interval and no verdict"
            )
        if short:
            said.append(
                f"{short} of {format_count(len(points), 'point')} "
                f"{'have' if short > 1 else 'has'} fewer "
                f"than {FEWEST_WINDOWS} windows per trial, so no plot over time"
            )
        return f"Not enough data: {'; '.join(said)}." if said else ""

    def describe_comparisons(self, group: Group) -> list[str]:
        """Return a sentence per subject, at the most connections that both were measured at."""
        return [
            f"At {format_count(found.connections, 'connection')}, {name} "
            f"{self.describe_comparison(found)}."
            for name, found in self.find_last_comparisons(group).items()
        ]

    def describe_comparison(self, found: Comparison) -> str:
        """Return the predicate of a sentence about the subject, no stronger than the interval."""
        ratio, other = found.ratio, found.reference
        if ratio is None:
            return f"cannot be compared with {other}: no block has CPU times of both"
        if ratio.low is None or ratio.high is None:
            trials = format_count(found.starts)
            return f"used {format_number(ratio.value)} times the CPU of {other} in {trials}"
        if ratio.holds(1):
            words = f"does not differ significantly from {other}"
            return f"{words}: it uses {format_interval(ratio, ' times')} the CPU"
        words = f"uses {format_interval(ratio, ' times')} the CPU of {other}"
        low, high = self._find_alike(other)
        if low <= ratio.value <= high:
            words += (
                f", but the same subject measured twice differs by as much (A/A: "
                f"{format_number(low)} to {format_number(high)} times)"
            )
        return words

    def _find_alike(self, name: str) -> tuple[float, float]:
        """Return the smallest and largest ratio that the A/A intervals of the group include.

        Each ratio counts in both directions, because which twin came first means nothing.
        """
        alike = {each.name for group in self.groups for each in group.subjects
                 if name in {one.name for one in group.subjects}}  # fmt: skip
        seen = [
            end
            for twin in self.twins
            if twin.ratio and twin.subject in alike
            for end in (twin.ratio.value, twin.ratio.low, twin.ratio.high)
            if end
        ]
        both = [1.0, *seen, *(1 / each for each in seen)]
        return min(both), max(both)


def _compare(
    subject: str, reference: str, connections: int, ours: dict[int, float], theirs: dict[int, float]
) -> Comparison:
    both = sorted(ours.keys() & theirs.keys())
    ratio = statistics.ratio([ours[block] for block in both], [theirs[block] for block in both])
    return Comparison(subject, reference, connections, ratio, len(both))
