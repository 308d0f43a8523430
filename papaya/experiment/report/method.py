"""Describe the method and the host of a run."""

from __future__ import annotations

from ..analysis.statistics import FEWEST
from ..analysis.verdicts import Analysis
from ..analysis.wording import format_count, format_number


def describe_run(analysis: Analysis) -> str:
    """Return a sentence that identifies the run."""
    run = analysis.run.description
    host = run.host
    counts = sum(trial.status == "ok" for trial in analysis.run.trials)
    named = [
        format_count(len(analysis.subjects), "subject"),
        f"{format_count(counts, 'valid trial')}",
        f"{len(analysis.run.refused)} refused",
    ]
    return (
        f"{', '.join(named)}; measured on {host.name} ({host.system} {host.release}, "
        f"{host.machine}), started {run.started}."
    )


def describe_method(analysis: Analysis) -> list[str]:
    """Return a paragraph each on load, accounting, design, intervals and noise floor."""
    run, design = analysis.run.description, analysis.design
    clock = run.accounting.clock_hz
    paper = (
        " The paper's method was applied to the same trials: every half second the percentages "
        "of the processes that top shows, from the kernel's ticks."
        if design.paper
        else ""
    )
    return [
        f"Load: each connection sends messages of {design.size} bytes at {design.mbps:g} Mbps; the "
        f"clients of a chat together send {design.chat_rate:g} messages of {design.chat_size} "
        "bytes per second. Each connection follows its own schedule with a random phase (an open "
        "loop), so a slow server does not slow the load, and bursts do not favour event loops. A "
        "trial is refused if the server took less than 99 % of the offered rate, or if the load "
        "generator was the bottleneck.",
        f"Accounting: {run.accounting.method}, {run.accounting.why}. The server ran on "
        f"{_name_cores(run.cores.server)}, the load on {_name_cores(run.cores.load)}.{paper}",
        "Design: a trial is a fresh start of the server. "
        f"{format_count(design.repeats, 'block').capitalize()} "
        f"with every subject at every number of connections, in random order (seed "
        f"{design.seed}); each trial lasts {design.seconds:g} s, after a warm-up of "
        f"{design.warmup:g} s that does not count. An A/A trial repeats another one of its block.",
        "Intervals: 95 %, BCa bootstrap over trials, the level raised for few trials; ratios use "
        "the blocks in which both subjects were measured; intervals of Cv use a hierarchical block "
        f"bootstrap of windows within trials. Below {FEWEST} trials there is no interval. "
        "One interval in twenty misses the true value, and this report has many.",
        f"Noise floor: a clock that samples at {clock} Hz sees at each tick whether a process "
        "runs, so over n ticks a constant use p shows a Cv of sqrt((1 - p) / (n p)), or a little "
        "less if windows without a tick are dropped, as in the paper; at 10 % of a core and "
        f"windows of {design.window:g} s it is {format_number(analysis.find_noise_floor(10))}. "
        f"{run.accounting.noise_floor}".rstrip(),
    ]


def list_facts(analysis: Analysis) -> dict[str, str]:
    """Return host, versions, command and subjects as names and values."""
    run = analysis.run.description
    host = run.host
    found = {
        "host": host.name,
        "system": f"{host.system} {host.release}, {host.machine}",
        "processor": f"{host.cpu}, {format_count(host.cores, 'core')}",
        "memory": f"{host.memory_kib / 1024:,.0f} MiB",
        "virtualisation": host.virtual or "none known",
        "kernel tick": f"{host.hz} Hz",
        "started": run.started,
        "command": " ".join(run.command),
        **{f"version of {name}": version for name, version in sorted(run.versions.items())},
    }
    for subject in analysis.run.subjects.values():
        found[subject.name] = (
            f"{subject.title}; {subject.paradigm}, {subject.language}; work: {subject.work}"
        )
    return found


def _name_cores(cores: tuple[int, ...]) -> str:
    if not cores:
        return "any core"
    return f"core{'s' * (len(cores) > 1)} {', '.join(map(str, cores))}"
