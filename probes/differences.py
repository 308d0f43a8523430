"""Compare the platforms of two reports, and name what a gate needs to be the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .fact import IN_PLACE_OF_LINUX, Platform, show

_ALIKE = {
    "x86_64": "amd64", "x64": "amd64", "x86": "i386", "i86pc": "i386",
    "aarch64": "arm64", "aarch64_be": "arm64_be",
}  # fmt: skip
"""Machines as uname(2) names them, and the one name that the lab uses."""
_NARROW = {
    "amd64": "i386", "arm64": "arm", "arm64_be": "armeb", "ppc64": "ppc", "ppc64le": "ppcle",
    "powerpc64": "powerpc", "mips64": "mips", "riscv64": "riscv32", "s390x": "s390",
    "sparc64": "sparc", "parisc64": "parisc", "loongarch64": "loongarch32",
}  # fmt: skip
"""The architecture of 32-bit programs, by that of a 64-bit kernel."""
_WIDE = {"i386": "amd64"}
"""The architecture of 64-bit programs, if the machine's name is the same for both widths."""


def find_architecture(machine: str, pointer_bits: int) -> str:
    """Return one name for all spellings of a machine: ``amd64``, ``i386``, ``arm64``, ``arm``.

    ``pointer_bits`` decides if one kernel runs programs of two widths, because what uname(2)
    returns to a 32-bit program on a 64-bit kernel depends on setarch(8).
    """
    name = machine.lower()
    if re.fullmatch(r"i[3-6]86", name):
        name = "i386"
    elif found := re.fullmatch(r"armv\d+\w*?(l|b|hf)?", name):
        name = "armeb" if found.group(1) == "b" else "arm"
    name = _ALIKE.get(name, name)
    by_width = {32: _NARROW, 64: _WIDE}.get(pointer_bits, {})
    return by_width.get(name, name)


_KERNELS = (*IN_PLACE_OF_LINUX, "User-mode Linux")
"""Values of `Platform.hypervisor` that are kernels of their own."""


def name_kernel(platform: Platform) -> str:
    """Return the kernel's name."""
    own = platform.hypervisor in _KERNELS
    return platform.hypervisor if own else platform.system.lower()


def make_gate_key(platform: Platform) -> str:
    """Return what a gate needs to be the same in both reports: ``linux-glibc-64 on amd64``."""
    own = name_kernel(platform)
    by = "" if own == platform.system.lower() else f", kernel {own}"
    return f"{platform.key} on {find_architecture(platform.machine, platform.pointer_bits)}{by}"


@dataclass(frozen=True)
class Difference:
    """One difference between the environments of two reports."""

    what: str
    was: str
    now: str

    def __str__(self) -> str:
        return f"{self.what}: {self.was} -> {self.now}"


_LABELS = {
    "release": "kernel release",
    "version": "kernel build",
    "libc": "C library",
    "libc_version": "C library version",
    "pointer_bits": "pointer bits",
    "emulated_32_bit": "32-bit userland on a 64-bit kernel",
    "python": "Python",
    "root": "run as root",
    "scratch_filesystem": "scratch file system",
    "interfaces": "network",
    "sysctls": "sysctl",
    "probes_hash": "hash of the probes",
}


def list_differences(then: Platform, now: Platform) -> list[Difference]:
    """Return all differences between the environments, in the order of their fields.

    Fields that this version does not know are compared too.
    """
    found: list[Difference] = []
    for name in dict.fromkeys((*Platform._fields(), *sorted({*then.later, *now.later}))):
        old, new = _get_value(then, name), _get_value(now, name)
        # The build differs whenever the release does: one of them is enough.
        if old != new and not (name == "version" and then.release != now.release):
            found += _compare(_LABELS.get(name, name), old, new)
    return found


def _get_value(platform: Platform, name: str) -> Any:
    if name == "interfaces":
        return _describe_network(platform.interfaces)
    if name in Platform._fields():
        return getattr(platform, name)
    return platform.later.get(name)


def _describe_network(interfaces: Mapping[str, Any]) -> str:
    """Return which families have addresses; the names of interfaces change at every boot."""
    own = {family for name in interfaces if name.startswith("lo") for family in interfaces[name]}
    others = {
        family for name in interfaces if not name.startswith("lo") for family in interfaces[name]
    }
    if not interfaces:
        return ""
    return f"loopback {_join(own)}; others {_join(others)}"


def _join(families: set[str]) -> str:
    return " and ".join(sorted(families)) or "none"


def _compare(label: str, old: Any, new: Any) -> Iterator[Difference]:
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)) or not (old and new):
        yield Difference(label, _show(old), _show(new))
        return
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield from _compare(f"{label} {name}", old.get(name), new.get(name))


def _show(value: Any) -> str:
    if isinstance(value, Mapping) and value:
        return f"{len(value)} recorded"
    if value in (None, "", {}, []):
        return "none"
    return show(value) if isinstance(value, (bool, int, str)) else json.dumps(value)
