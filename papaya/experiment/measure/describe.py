"""Describe the host, versions, accounting and cores for ``run.json``."""

from __future__ import annotations

import contextlib
import gzip
import os
import platform
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from probes.environment import describe

from ..results import folder
from ..results.folder import Accounting, Cores, Description, Design, Host
from ..subjects import Made
from . import accounting


def describe_run(
    design: Design,
    command: Sequence[str],
    made: Mapping[str, Made],
    left_out: Mapping[str, str],
) -> Description:
    """Return the description of a run that starts now."""
    versions = {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    versions |= {name: each.version for name, each in made.items()}
    return Description(
        schema=folder.SCHEMA,
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        host=describe_host(),
        versions=versions,
        command=tuple(command),
        accounting=_describe_accounting(design),
        cores=choose_cores(),
        design=design,
        left_out=dict(left_out),
    )


def describe_host() -> Host:
    """Describe this machine."""
    there = describe("")
    return Host(
        name=platform.node(),
        system=platform.system(),
        release=platform.release(),
        machine=platform.machine(),
        cpu=_find_cpu(),
        cores=os.cpu_count() or 1,
        hz=_find_tick(),
        memory_kib=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024,
        virtual=", ".join(filter(None, (there.hypervisor, there.container))),
    )


def choose_cores() -> Cores:
    """Choose the first core for the server and the others for the load.

    Bind neither if there is only one core, or if the platform cannot bind processes.
    """
    if not hasattr(os, "sched_setaffinity"):
        return Cores((), ())
    mine = sorted(os.sched_getaffinity(0))
    return Cores((mine[0],), tuple(mine[1:])) if len(mine) > 1 else Cores((), ())


def _describe_accounting(design: Design) -> Accounting:
    group = accounting.make_group()
    if group:
        group.close()
    meter = group or accounting.find_meter(os.getpid())
    tick = f"1/{accounting.TICK_HZ} s"
    if platform.system() == "Linux":
        # kernel/sched/cputime.c, cputime_adjust(): utime and stime are scaled to the exact sum.
        hz = PAPER_HZ
        noise = (
            f"The paper's clock is of that kind. This kernel rounds exact times down to ticks of "
            f"{tick}: for n processes that use x ticks per window, a constant use shows a Cv of at "
            "most sqrt(n) / (2 x)."
        )
    else:
        hz = accounting.TICK_HZ
        noise = f"This kernel's clock is of that kind; its tick is {tick}."
    return Accounting(meter.method, meter.why, hz, noise)


PAPER_HZ = 128
"""Frequency of FreeBSD's statistics clock (stathz), which top read for the paper."""


def _find_cpu() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith(("model name", "Hardware", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _find_tick() -> int:
    """Return the frequency of the kernel's tick from its configuration, otherwise SC_CLK_TCK."""
    files: dict[str, Callable[..., Any]]
    files = {"/proc/config.gz": gzip.open, f"/boot/config-{platform.release()}": open}
    for path, opener in files.items():
        with contextlib.suppress(OSError), opener(path, "rt", encoding="utf-8") as file:
            if found := re.search(r"^CONFIG_HZ=(\d+)", file.read(), re.MULTILINE):
                return int(found[1])
    return accounting.TICK_HZ
