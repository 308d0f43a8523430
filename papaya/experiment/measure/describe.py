"""What ``run.json`` says of host, versions, accounting and cores."""

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


def description(
    design: Design,
    command: Sequence[str],
    made: Mapping[str, Made],
    left_out: Mapping[str, str],
) -> Description:
    """All of it, as it is now."""
    versions = {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    versions |= {name: each.version for name, each in made.items()}
    return Description(
        schema=folder.SCHEMA,
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        host=host(),
        versions=versions,
        command=tuple(command),
        accounting=_accounting(design),
        cores=cores(),
        design=design,
        left_out=dict(left_out),
    )


def host() -> Host:
    """Describe this machine."""
    there = describe("")
    return Host(
        name=platform.node(),
        system=platform.system(),
        release=platform.release(),
        machine=platform.machine(),
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        hz=_hz(),
        memory_kib=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024,
        virtual=", ".join(filter(None, (there.hypervisor, there.container))),
    )


def cores() -> Cores:
    """Choose the first core for the server and the others for the load, if there are two.

    Neither is bound to any where there is one, or where the platform does not bind.
    """
    if not hasattr(os, "sched_setaffinity"):
        return Cores((), ())
    mine = sorted(os.sched_getaffinity(0))
    return Cores((mine[0],), tuple(mine[1:])) if len(mine) > 1 else Cores((), ())


def _accounting(design: Design) -> Accounting:
    group = accounting.group()
    if group:
        group.close()
    meter = group or accounting.other(os.getpid())
    tick = f"1/{accounting.TICK_HZ} s"
    if platform.system() == "Linux":
        # kernel/sched/cputime.c, cputime_adjust(): utime and stime are scaled to the exact sum.
        hz = PAPER_HZ
        noise = (
            f"The paper's clock is one. This kernel cuts its ticks of {tick} from exact times: of "
            "n processes that have x of them in a window they show a constant use with a Cv of "
            "sqrt(n) / (2 x) at most."
        )
    else:
        hz = accounting.TICK_HZ
        noise = f"This kernel's is one; its tick is {tick}."
    return Accounting(meter.method, meter.why, hz, noise)


PAPER_HZ = 128
"""Of the clock that FreeBSD's top read for the paper: stathz."""


def _cpu() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith(("model name", "Hardware", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _hz() -> int:
    """Of the kernel's tick: by its configuration where it tells, else that of its clock."""
    files: dict[str, Callable[..., Any]]
    files = {"/proc/config.gz": gzip.open, f"/boot/config-{platform.release()}": open}
    for path, opener in files.items():
        with contextlib.suppress(OSError), opener(path, "rt", encoding="utf-8") as file:
            if found := re.search(r"^CONFIG_HZ=(\d+)", file.read(), re.MULTILINE):
                return int(found[1])
    return accounting.TICK_HZ
