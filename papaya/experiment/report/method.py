"""The method and the host of a run, in words."""

from __future__ import annotations

from ..analysis.statistics import FEWEST
from ..analysis.verdicts import Analysis
from ..analysis.wording import format_count, format_number


def title(analysis: Analysis) -> str:
    """Which run this is, in a line."""
    run = analysis.run.description
    host = run.host
    counts = sum(cell.status == "ok" for cell in analysis.run.cells)
    named = [
        format_count(len(analysis.subjects), "subject"),
        f"{format_count(counts, 'start')} that count{'s' * (counts == 1)}",
        f"{len(analysis.run.refused)} refused",
    ]
    return (
        f"{', '.join(named)}; measured on {host.name} ({host.system} {host.release}, "
        f"{host.machine}), begun {run.started}."
    )


def method(analysis: Analysis) -> list[str]:
    """How it was measured and judged, a paragraph each."""
    run, design = analysis.run.description, analysis.design
    clock = run.accounting.clock_hz
    paper = (
        " Beside it the paper's method was followed in the same runs: percentages of top at "
        "half a second, of the processes that it shows, by the kernel's ticks."
        if design.paper
        else ""
    )
    return [
        f"Load: each connection sends messages of {design.size} bytes at {design.mbps:g} Mbps; the "
        f"clients of a chat send {design.chat_rate:g} messages a second of {design.chat_size} "
        "bytes, all together. Each keeps a schedule of its own with a random phase (an open loop), "
        "so that a slow server does not slow the load, and event loops are not flattered by "
        "bursts. A start in which less than 99 % of the offered rate was reached, or the "
        "generator was the bottleneck, is refused.",
        f"Accounting: {run.accounting.method}, {run.accounting.why}. The server ran on "
        f"{_cores(run.cores.server)}, the load on {_cores(run.cores.load)}.{paper}",
        "Design: a repetition is a fresh start of the server; "
        f"{format_count(design.repeats, 'block')} "
        f"with every subject at every number of connections, in random order (seed "
        f"{design.seed}); {design.seconds:g} s each after a warm-up of {design.warmup:g} s that "
        "is dropped. An A/A cell is a subject measured twice in each block.",
        "Intervals: 95 %, BCa bootstrap over starts, its level raised for few starts; ratios over "
        "the blocks in which both subjects were measured; those of Cv by a hierarchical block "
        f"bootstrap of windows within starts. Below {FEWEST} starts there is none. One "
        "interval in twenty misses its truth, and there are many here.",
        f"Noise floor: a clock that samples at {clock} Hz sees at each tick whether a process "
        "runs, so in n ticks a use p that never varies shows a Cv of sqrt((1 - p) / (n p)), a "
        "little less where windows without a tick are dropped, as the paper did; at 10 % of a core "
        f"and windows of {design.window:g} s that is {format_number(analysis.floor(10))}. "
        f"{run.accounting.noise_floor}".rstrip(),
    ]


def facts(analysis: Analysis) -> dict[str, str]:
    """Return the host, versions and command."""
    run = analysis.run.description
    host = run.host
    found = {
        "host": host.name,
        "system": f"{host.system} {host.release}, {host.machine}",
        "processor": f"{host.cpu}, {format_count(host.cores, 'core')}",
        "memory": f"{host.memory_kib / 1024:,.0f} MiB",
        "virtualisation": host.virtual or "not that is known",
        "kernel's tick": f"{host.hz} Hz",
        "begun": run.started,
        "command": " ".join(run.command),
        **{f"version of {name}": version for name, version in sorted(run.versions.items())},
    }
    for subject in analysis.run.subjects.values():
        found[subject.name] = (
            f"{subject.title}; {subject.paradigm}, {subject.language}; work: {subject.work}"
        )
    return found


def _cores(cores: tuple[int, ...]) -> str:
    if not cores:
        return "any core"
    return f"core{'s' * (len(cores) > 1)} {', '.join(map(str, cores))}"
