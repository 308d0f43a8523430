"""What a run says: values by subject and connections, ratios, and verdicts in words.

A verdict says no more than its interval: where the interval of a ratio holds 1, no
difference can be told; where it does not, but the same subject measured twice (A/A)
differed from itself as much, that is said.
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
"""A start of fewer shows neither a course nor a variation."""
RESOLVED = 1000
"""Deliveries of which the largest 0.1 % are one at least."""
Measure = str | Callable[[Trial], float | None]
"""A column of a cell, or what is made of a cell; None where it was not measured."""


@dataclass(frozen=True)
class Group:
    """Subjects that got the same load and can be compared, the first with all others."""

    name: str
    title: str
    subjects: tuple[Subject, ...]


@dataclass(frozen=True)
class Comparison:
    """A subject beside another, at a number of connections."""

    subject: str
    reference: str
    connections: int
    ratio: Interval | None
    starts: int
    """Blocks in which both were measured."""


class Analysis:
    """A run, and what follows from it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.design = run.description.design
        self._intervals: dict[tuple[str, int, Measure], Interval | None] = {}
        self._cells: dict[tuple[str, int, bool], list[Trial]] = {}
        for cell in run.cells:
            if cell.status == OK:
                place = cell.subject, cell.connections, cell.aa
                self._cells.setdefault(place, []).append(cell)
        self.connections = sorted({count for _, count, _ in self._cells})
        self.subjects = [
            each for name, each in run.subjects.items() if any(name == n for n, _, _ in self._cells)
        ]

    @cached_property
    def groups(self) -> list[Group]:
        """Those that read and discard, and the chat; what was not measured is not there."""
        chat = tuple(each for each in self.subjects if each.work == CHAT)
        # One with equal work first, as the others are compared with the first.
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
        """Subjects that could not be measured here or have not been yet, and why."""
        missing = dict(self.run.description.left_out)
        begun = {cell.subject for cell in self.run.cells}
        for name in self.run.subjects.keys() - begun:
            missing.setdefault(name, "the run ended before it was measured")
        return dict(sorted(missing.items()))

    def list_measured(self, group: Group) -> Iterator[tuple[Subject, int]]:
        """Yield each subject of a group with each number of connections of its measurements."""
        for subject in group.subjects:
            for count in self.connections:
                if self.cells(subject.name, count):
                    yield subject, count

    def cells(self, subject: str, connections: int, aa: bool = False) -> list[Trial]:
        """Return the repetitions that count."""
        return self._cells.get((subject, connections, aa), [])

    def windows(self, subject: str, connections: int) -> list[tuple[Window, ...]]:
        """Return the windows of every start."""
        found = (self.run.windows.get(c.key, ()) for c in self.cells(subject, connections))
        return [windows for windows in found if windows]

    def long_starts(self, subject: str, connections: int) -> list[tuple[Window, ...]]:
        """Return the windows of those starts that have enough of them to be drawn."""
        return [w for w in self.windows(subject, connections) if len(w) >= FEWEST_WINDOWS]

    def values(
        self, subject: str, connections: int, measure: Measure = CPU, aa: bool = False
    ) -> dict[int, float]:
        """Return the measure by block: the mean of the block's starts."""
        found: dict[int, list[float]] = {}
        for cell in self.cells(subject, connections, aa):
            value = getattr(cell, measure) if isinstance(measure, str) else measure(cell)
            if value is not None:
                found.setdefault(cell.block, []).append(float(value))
        return {block: sum(each) / len(each) for block, each in found.items()}

    def interval(self, subject: str, connections: int, measure: Measure = CPU) -> Interval | None:
        """Return the mean over starts; None if not measured, or equal to the largest value."""
        key = subject, connections, measure
        if measure == TAIL and not self._has_tail(subject, connections):
            return None
        if key not in self._intervals:
            values = [*self.values(subject, connections, measure).values()]
            self._intervals[key] = statistics.mean(values) if values else None
        return self._intervals[key]

    def _has_tail(self, subject: str, connections: int) -> bool:
        """Return whether the 99.9th percentile is another latency than the largest."""
        cells = self.cells(subject, connections)
        pairs = [(cell.p999_ms, cell.max_ms) for cell in cells if cell.p999_ms and cell.max_ms]
        return all((cell.deliveries or 0) >= RESOLVED for cell in cells) and sum(
            tail for tail, _ in pairs
        ) < 0.99 * sum(largest for _, largest in pairs)

    def cv(self, subject: str, connections: int) -> Interval | None:
        """How much the use of CPU varies within a start, by the exact windows."""
        key = subject, connections, "cv of windows"
        if key not in self._intervals:
            starts = self.windows(subject, connections)
            exact = [[window.exact_percent for window in start] for start in starts]
            self._intervals[key] = statistics.cv(exact)
        return self._intervals[key]

    def variation(self, subject: str, reference: str, connections: int) -> Comparison:
        """Compare how much the use of CPU varies within a start."""
        return self.compare(subject, reference, connections, lambda cell: cell.cv)

    def ticks(self, subject: str, connections: int) -> float | None:
        """Return what the kernel's tick counters said of all processes: the mean of all windows."""
        starts = self.windows(subject, connections)
        found = [w.ticks_percent for start in starts for w in start if w.ticks_percent is not None]
        return sum(found) / len(found) if found else None

    def paper(self, subject: str, connections: int) -> tuple[float, float] | None:
        """Mean and coefficient of variation as the paper computed them, of a start.

        Of what top showed, zeros dropped as its script did; mean and variance are averaged
        over starts, of which the paper had one.  None where that was not measured.
        """
        found = []
        for start in self.windows(subject, connections):
            samples = [w.paper_percent for w in start if w.paper_percent]
            if len(samples) > 1:
                mean = sum(samples) / len(samples)
                square = sum((sample - mean) ** 2 for sample in samples)
                found.append((mean, square / (len(samples) - 1)))
        if not found:
            return None
        mean, variance = (sum(each) / len(found) for each in zip(*found, strict=True))
        return mean, variance**0.5 / mean

    def floor(self, percent: float) -> float | None:
        """Return the coefficient of variation that a sampling clock shows of a constant use."""
        clock = self.run.description.accounting.clock_hz
        cores = max(1, len(self.run.description.cores.server))
        return statistics.noise_floor(percent, clock, self.design.window, cores)

    def compare(
        self, subject: str, reference: str, connections: int, measure: Measure = CPU
    ) -> Comparison:
        """Compare two subjects over the blocks in which both were measured."""
        ours = self.values(subject, connections, measure)
        theirs = self.values(reference, connections, measure)
        return _compare(subject, reference, connections, ours, theirs)

    def comparisons(self, group: Group) -> Iterator[Comparison]:
        """Every subject with the group's first."""
        reference, *others = (subject.name for subject in group.subjects)
        for name in others:
            for count in self.connections:
                if self.cells(name, count) and self.cells(reference, count):
                    yield self.compare(name, reference, count)

    def last(self, group: Group) -> dict[str, Comparison]:
        """By subject, at the most connections that both were measured at."""
        return {found.subject: found for found in self.comparisons(group)}

    @cached_property
    def twins(self) -> list[Comparison]:
        """A/A: subjects with themselves."""
        return [
            _compare(name, name, count, self.values(name, count, aa=True), self.values(name, count))
            for name, count, aa in self._cells
            if aa and self.cells(name, count)
        ]

    def growth(self, subject: str) -> Interval | None:
        """Percent of a core that a connection more costs."""
        blocks: dict[int, dict[int, float]] = {}
        for count in self.connections:
            for block, value in self.values(subject, count).items():
                blocks.setdefault(block, {})[count] = value
        return statistics.growth([*blocks.values()])

    @cached_property
    def too_few(self) -> str:
        """Say what is not told for lack of starts or windows; empty where nothing lacks them."""
        points = [(s.name, n) for group in self.groups for s, n in self.list_measured(group)]
        few = sum(len(self.values(*point)) < FEWEST for point in points)
        short = sum(not self.long_starts(*point) for point in points if self.windows(*point))
        said = []
        if few:
            said.append(
                f"{few} of {format_count(len(points), 'point')} "
                f"{'have' if few > 1 else 'has'} fewer "
                f"than {FEWEST} starts, so no interval and no verdict"
            )
        if short:
            said.append(
                f"{short} of {format_count(len(points), 'point')} "
                f"{'have' if short > 1 else 'has'} fewer "
                f"than {FEWEST_WINDOWS} windows a start, so no plot of them"
            )
        return f"Too few to tell: {'; '.join(said)}." if said else ""

    def verdicts(self, group: Group) -> list[str]:
        """Each subject beside the group's first, at the most connections both were measured at."""
        return [
            f"{name} at {format_count(found.connections, 'connection')} {self.verdict(found)}."
            for name, found in self.last(group).items()
        ]

    def verdict(self, found: Comparison) -> str:
        """Describe the subject in words that the interval supports."""
        ratio, other = found.ratio, found.reference
        if ratio is None:
            return f"cannot be compared with {other}: no block has a use of CPU by both"
        if ratio.low is None or ratio.high is None:
            starts = format_count(found.starts)
            return f"used {format_number(ratio.value)} times the CPU of {other} in {starts}"
        if ratio.holds(1):
            words = f"shows no difference from {other} that can be told"
            return f"{words}: {format_interval(ratio, ' times')} its CPU"
        words = f"uses {format_interval(ratio, ' times')} the CPU of {other}"
        low, high = self._alike(other)
        if low <= ratio.value <= high:
            words += (
                f"; a subject may differ as much from itself (A/A: {format_number(low)} to "
                f"{format_number(high)} times)"
            )
        return words

    def _alike(self, name: str) -> tuple[float, float]:
        """Between what ratios A/A cells of the subject's group lie, by their intervals.

        Either way round, as no difference has no direction.
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
