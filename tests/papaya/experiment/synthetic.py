"""A results folder made up of a known truth."""

from __future__ import annotations

import csv
import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from papaya.experiment.results.folder import (
    CHAT,
    OK,
    REFUSED,
    TRIAL_COLUMNS,
    WINDOW_COLUMNS,
    Accounting,
    Cores,
    Description,
    Design,
    Host,
    Trial,
    Window,
)
from papaya.experiment.subjects import SUBJECTS

COST = dict(
    zip(
        SUBJECTS,
        [0.9, 0.8, 0.35, 0.38, 1.1, 0.95, 0.85, 0.36, 0.5, 0.6, 1.0, 1.6, 0.55, 0.5],
        strict=True,
    )
)
"""The truth: percent of a core for a connection."""


def folder(
    path: Path,
    cost: Mapping[str, float] = COST,
    *,
    connections: Sequence[int] = (1, 2, 4, 8, 16, 32, 64),
    repeats: int = 8,
    seconds: float = 20,
    cv: float = 0.05,
    paper: bool = False,
    seed: int = 7,
    refuse: Mapping[tuple[str, int], str] | None = None,
    left_out: Mapping[str, str] | None = None,
) -> Path:
    """Write a results folder in which a subject uses ``cost`` percent for each connection.

    A start differs from another by 2 %, a block by 5 %, a window by ``cv``.
    """
    path.mkdir(parents=True, exist_ok=True)
    described = description(tuple(cost), connections, repeats, seconds, paper, left_out or {})
    (path / "run.json").write_text(described.dumps())
    dice = random.Random(seed)
    trials, windows = [], []
    for block in range(repeats):
        weather = dice.gauss(1, 0.05)
        for name in cost:
            for count in connections:
                twins = name == next(iter(cost)) and count == max(connections)
                for aa in (False, True)[: 1 + twins]:
                    percent = cost[name] * count * weather * dice.gauss(1, 0.02)
                    trial, parts = _trial(block, name, count, aa, percent, seconds, cv, paper, dice)
                    if why := (refuse or {}).get((name, count)):
                        trial = dataclasses.replace(trial, status=REFUSED, why=why)
                    trials.append(trial)
                    windows += parts
    write(path / "cells.csv", TRIAL_COLUMNS, (trial.row() for trial in trials))
    write(path / "windows.csv", WINDOW_COLUMNS, (window.row() for window in windows))
    return path


def write(path: Path, columns: list[str], rows: Iterator[list[str]]) -> None:
    """Write a CSV file."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def description(
    subjects: Sequence[str],
    connections: Sequence[int],
    repeats: int,
    seconds: float,
    paper: bool,
    left_out: Mapping[str, str],
) -> Description:
    """``run.json``."""
    return Description(
        schema=1,
        started="2026-11-23T12:00:00Z",
        host=Host("bench", "Linux", "6.1.0", "x86_64", "A CPU", 2, 250, 4_000_000, "kvm"),
        versions={"python": "3.11.2", "cc": "gcc 12.2.0", "go": "1.19.8"},
        command=("papaya", "experiment", "run"),
        accounting=Accounting("cgroup", "a cgroup of its own for each start", 250, ""),
        cores=Cores((0,), (1,)),
        design=Design(
            subjects=tuple(SUBJECTS[name] for name in subjects),
            connections=tuple(connections),
            mbps=1.0, size=128, seconds=seconds, warmup=5.0, repeats=repeats, window=0.5,
            seed=1234, paper=paper, chat_rate=100.0, chat_size=64,
        ),
        left_out=left_out,
    )  # fmt: skip


def _trial(
    block: int, name: str, count: int, aa: bool, percent: float, seconds: float, cv: float,
    paper: bool, dice: random.Random,
) -> tuple[Trial, list[Window]]:  # fmt: skip
    uses = [max(0.0, percent * dice.gauss(1, cv)) for _ in range(int(seconds * 2))]
    windows = [
        Window(
            block, name, count, aa, (number + 1) / 2, 0.5, use,
            *(_ticks(use, dice) for _ in range(2)) if paper else (None, None),
        )
        for number, use in enumerate(uses)
    ]  # fmt: skip
    mean = sum(uses) / len(uses)
    spread = (sum((use - mean) ** 2 for use in uses) / (len(uses) - 1)) ** 0.5
    used = mean * seconds / 100
    chat = SUBJECTS[name].work == CHAT
    mbit = count * seconds
    messages = int(mbit * 1e6 / 8 / 128)
    deliveries = messages * count if chat else None
    slow = dice.lognormvariate(0, 0.1) * (0.2 + 0.02 * count) * COST[name]
    trial = Trial(
        block=block, subject=name, connections=count, aa=aa, status=OK, why="", attempts=1,
        seconds=seconds, cpu_seconds=used, cpu_percent=mean, cv=spread / mean if mean else None,
        offered_mbps=float(count), achieved_mbps=float(count), bytes=int(mbit * 125_000),
        messages=messages, deliveries=deliveries, us_per_message=used / messages * 1e6,
        us_per_mbit=used / mbit * 1e6,
        us_per_delivery=used / deliveries * 1e6 if deliveries else None,
        voluntary=int(1000 * count * seconds), involuntary=int(10 * seconds),
        pss_kib=1000 + 80 * count, steal_seconds=0.01, load_cpu_percent=12.0, stalls=0,
        **dict.fromkeys(("lost", "torn", "duplicated", "disordered"), 0 if chat else None),
        p50_ms=slow if chat else None, p99_ms=4 * slow if chat else None,
        p999_ms=9 * slow if chat else None, max_ms=30 * slow if chat else None,
        accounting="cgroup",
    )  # fmt: skip
    return trial, windows


def _ticks(percent: float, dice: random.Random) -> float:
    """Return what a clock of 250 Hz says of it in half a second."""
    return sum(dice.random() < percent / 100 for _ in range(125)) / 1.25
