"""Make reports for the table: this host's, and variants that differ as a test asks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from probes import Report
from probes.environment import describe
from probes.fact import MEASURED, Value
from probes.load_catalogue import load_catalogue

FREEBSD = {
    "system": "FreeBSD", "release": "14.1-RELEASE", "machine": "amd64", "libc": "freebsd",
    "libc_version": "1400097", "distribution": "", "version": "FreeBSD 14.1", "container": "",
    "hypervisor": "", "pointer_bits": 64,
}  # fmt: skip
ELSEWHERE = {"release": "6.1.0-made", "container": "", "hypervisor": ""}


def host() -> Report:
    """Return a report with the documented answers and this host's environment."""
    platform = describe("")
    promises = {id: probe.find_documented(platform) for id, probe in load_catalogue().items()}
    facts = {
        id: {
            "status": MEASURED,
            "value": promise[1] if (promise := promises[id]) else True,
            "scope": probe.scope,
            "milliseconds": 1.0,
        }
        for id, probe in load_catalogue().items()
    }
    document = {
        "schema": 1,
        "environment": platform.to_json(),
        "facts": facts,
        "seconds": 1.0,
        "measured_at": "2026-11-23T12:00:00Z",
    }
    return Report.from_json(document)


def changed(
    report: Report,
    environment: dict[str, Any],
    values: Mapping[str, Value] | None = None,
    facts: dict[str, dict[str, Any]] | None = None,
    **later: Any,
) -> Report:
    """Return the report with another platform and other answers; ``facts`` replaces facts."""
    document = json.loads(report.dumps())
    document["environment"].update(environment)
    for id, value in (values or {}).items():
        document["facts"][id]["value"] = value
    document["facts"].update(facts or {})
    return Report.from_json({**document, **later})


def saved(report: Report, path: Path) -> str:
    report.save(path)
    return str(path)


WIDTHS = {
    "abi.pointer_bits": 32,
    "abi.long_bits": 32,
    "abi.size_t_bits": 32,
    "abi.off_t_bits": 32,
    "abi.time_t_bits": 32,
    "abi.time_after_2038": False,
    "abi.file_time_after_2038": False,
    "abi.int64_alignment": 4,
    "abi.double_alignment": 4,
    "abi.sigaction_fills_bytes": 140,
    "abi.sa_flags_offset": 132,
    "compilers.off_t_bits_file_offset_bits_64": 64,
    "compilers.time_t_bits_time_bits_64": 64,
}
"""What every i386 Debian 12 answers, on its own kernel and on one of 64 bits."""


def debian(report: Report, release: int | str, kernel: str, libc: str) -> Report:
    """Return the report as one of Debian amd64 on the release's own kernel."""
    named = f"Debian GNU/Linux {release}"
    environment = {
        "system": "Linux", "distribution": named, "release": f"{kernel}.0-1-amd64",
        "version": f"#1 SMP Debian {kernel}.9-1", "machine": "x86_64", "libc": "glibc",
        "libc_version": libc, "pointer_bits": 64, "emulated_32_bit": False, "container": "",
        "hypervisor": "", "python": "CPython 3.11.2",
    }  # fmt: skip
    return changed(report, environment)
