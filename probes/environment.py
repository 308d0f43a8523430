"""Describe this platform: everything that could explain a difference between two reports."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import pkgutil
import re
import socket
import sys
from collections.abc import Iterator
from typing import Any

from . import compiler, lens, libc, run_program
from .fact import Platform
from .probe import Blocked, list_settings

# Kernel settings that may explain a difference, as the platform's sysctl(8) names them, in
# addition to those that facts hang on.
_SYSCTLS = {
    "Linux": (
        "net.ipv4.tcp_max_syn_backlog",
        "net.ipv4.tcp_abort_on_overflow",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_tw_reuse",
        "fs.pipe-max-size",
        "kernel.pid_max",
        "kernel.msgmni",
    ),
    "FreeBSD": (
        "kern.ipc.soacceptqueue",
        "kern.ipc.maxpipekva",
        "kern.conservative_signals",
        "net.inet.ip.connect_inaddr_wild",
        "security.bsd.conservative_signals",
        "security.jail.jailed",
    ),
    "NetBSD": ("kern.somaxconn",),
    "OpenBSD": ("kern.somaxconn", "kern.sominconn"),
    "Darwin": ("net.inet6.ip6.v6only", "kern.ipc.somaxconn"),
}


def describe(probes_hash: str) -> Platform:
    """Return what an ordinary user can find out about this platform.

    With the hash of the probes it is the environment of a report, and includes the lens.
    """
    uname = os.uname()
    name, version = _find_libc(uname.sysname)
    pointer_bits = 8 * ctypes.sizeof(ctypes.c_void_p)
    return Platform(
        system=uname.sysname,
        release=uname.release,
        version=uname.version,
        machine=uname.machine,
        distribution=_find_distribution(),
        libc=name,
        libc_version=version,
        pointer_bits=pointer_bits,
        emulated_32_bit=pointer_bits == 32 and _has_64_bit_kernel(uname.machine),
        compiler=compiler.get_version(),
        python=_name_python(),
        root=os.geteuid() == 0,
        container=_find_container(),
        hypervisor=_find_hypervisor(),
        scratch_filesystem=_find_filesystem(os.path.realpath(os.environ.get("TMPDIR") or "/tmp")),
        interfaces=_list_interfaces(),
        sysctls=_read_sysctls(uname.sysname),
        lens=lens.look() if probes_hash else {},
        probes_hash=probes_hash,
    )


def hash_probes() -> str:
    """Return a hash of the lab's source: reports with the same hash asked the same questions."""
    digest = hashlib.sha256()
    for package in ("probes", "probes.lens", "probes.harness", "probes.catalogue"):
        path = sys.modules[package].__path__
        for module in pkgutil.iter_modules(path):
            source = pkgutil.get_data(package, f"{module.name}.py") if not module.ispkg else None
            digest.update(f"{package}.{module.name}\0".encode())
            digest.update(source or b"")
    return digest.hexdigest()[:16]


def _find_libc(system: str) -> tuple[str, str]:
    if system == "Linux":
        with contextlib.suppress(AttributeError):
            asked = ctypes.CDLL(None).gnu_get_libc_version
            asked.restype = ctypes.c_char_p
            return "glibc", asked().decode()
        loader = _find_loader("/proc/self/exe")
        if "/ld-musl-" in loader:
            # musl prints its version only when its loader runs without a program.
            number = re.search(r"Version (\S+)", _run([loader], error_too=True))
            return "musl", number.group(1) if number else ""
        return "unknown", ""
    return system.lower(), os.uname().release


def _find_loader(path: str) -> str:
    """Return the loader of the program ``path``, or "" if it has none: elf(5) PT_INTERP.

    Mapped libraries do not tell, because some distributions call musl's libc.so.
    """
    with contextlib.suppress(OSError), open(path, "rb") as file:
        # Linkers put the name right behind the program headers.
        found = re.search(rb"/[ -~]*/ld[-.][ -~]*(?=\0)", file.read(4096))
        return found.group().decode() if found else ""
    return ""


def _name_python() -> str:
    """Return ``CPython 3.13.0``, or ``3.14.0rc1`` for a release candidate."""
    name = {"cpython": "CPython", "pypy": "PyPy"}.get(sys.implementation.name, "Python")
    return f"{name} {sys.version.split()[0]}"


def _find_distribution() -> str:
    if libc.MACOS:
        return f"macOS {_run(['sw_vers', '-productVersion']).strip()}"
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        for line in _read_lines(path):
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip().strip("\"'")
    return ""


def _has_64_bit_kernel(machine: str) -> bool:
    # setarch changes what uname reports, but not the width of the kernel's addresses.
    for line in _read_lines("/proc/kallsyms"):
        address = line.partition(" ")[0]
        return len(address) == 16
    return machine in ("x86_64", "amd64", "aarch64", "arm64", "ppc64le", "s390x", "riscv64")


def _find_container() -> str:
    if os.path.exists("/.dockerenv"):
        return "docker"
    for line in _read_lines("/run/systemd/container"):
        return line.strip()
    if os.path.exists("/run/.containerenv"):
        return "podman"
    if libc.FREEBSD and _run(["sysctl", "-n", "security.jail.jailed"]).strip() == "1":
        return "jail"
    return os.environ.get("container", "")  # noqa: SIM112 (systemd spells it so)


_HYPERVISORS = "qemu|kvm|vmware|virtualbox|bochs|xen|hyper-v|bhyve|cloud"


def _find_hypervisor() -> str:
    if libc.GVISOR:
        return "gvisor"
    if _is_translated():
        return "qemu-user"
    for line in _read_lines("/sys/hypervisor/type"):
        return line.strip()
    vendor = " ".join(
        line.strip()
        for name in ("sys_vendor", "product_name")
        for line in _read_lines(f"/sys/class/dmi/id/{name}")
    )
    if vendor and re.search(_HYPERVISORS, vendor, re.I):
        return vendor
    processor = list(_read_lines("/proc/cpuinfo"))
    # Its flags are the host's processor's (kernel arch/um/kernel/um_arch.c).
    if any(re.match(r"vendor_id\s*: User Mode Linux", line) for line in processor):
        return "User-mode Linux"
    if any("hypervisor" in line.split() for line in processor if line[:5] == "flags"):
        return "a hypervisor"
    if libc.FREEBSD:
        guest = _run(["sysctl", "-n", "kern.vm_guest"]).strip()
        return "" if guest == "none" else guest
    return ""


def _is_translated() -> bool:
    """Return whether qemu-user runs this Python: a program of another processor."""
    # qemu-user makes /proc/self/exe name the program, but not /proc/thread-self/exe
    # (linux-user/syscall.c, is_proc_myself).
    try:
        running = os.readlink("/proc/thread-self/exe")
    except OSError:
        return False
    return running != os.readlink("/proc/self/exe") and os.path.basename(running)[:5] == "qemu-"


def _find_filesystem(path: str) -> str:
    best = ("", "")
    for line in _read_lines("/proc/self/mountinfo"):
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) > 4 and right:
            mounted = fields[4].replace("\\040", " ")
            if _is_below(path, mounted) and len(mounted) >= len(best[0]):
                best = (mounted, right.split()[0])
    if not best[1]:
        for line in _run(["mount"]).splitlines():
            # FreeBSD, OpenBSD, macOS: "dev on /tmp (ufs, …)"; NetBSD: "dev on /tmp type ffs (…)"
            found = re.match(r".*? on (/.*?) (?:type (\S+) )?\((\w*)", line)
            if found and _is_below(path, found.group(1)) and len(found.group(1)) >= len(best[0]):
                best = (found.group(1), found.group(2) or found.group(3))
    return best[1]


def _is_below(path: str, folder: str) -> bool:
    return folder == "/" or path == folder or path.startswith(folder + "/")


class _InterfaceAddress(ctypes.Structure):
    """The head of struct ifaddrs, which is the same in glibc, musl and the BSDs (getifaddrs(3))."""


_InterfaceAddress._fields_ = (
    ("next", ctypes.POINTER(_InterfaceAddress)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.POINTER(ctypes.c_ubyte * 2)),
)


def _list_interfaces() -> dict[str, list[str]]:
    """Return the families, ``inet`` and ``inet6``, of the addresses of each interface."""
    found: dict[str, set[str]] = {}
    head = ctypes.POINTER(_InterfaceAddress)()
    library = ctypes.CDLL(None)
    if not hasattr(library, "getifaddrs") or library.getifaddrs(ctypes.byref(head)):
        return {}
    for entry in _follow(head):
        name = entry.name.decode(errors="replace")
        found.setdefault(name, set())
        if entry.address:
            # sa_family: 16 bits on Linux, the second byte on the BSDs.
            low, high = entry.address.contents
            family = int.from_bytes(bytes((low, high)), sys.byteorder) if libc.LINUX else high
            known = {socket.AF_INET: "inet", socket.AF_INET6: "inet6"}
            if family in known:
                found[name].add(known[socket.AddressFamily(family)])
    library.freeifaddrs.argtypes = [ctypes.c_void_p]
    library.freeifaddrs(head)
    return {name: sorted(families) for name, families in sorted(found.items())}


def _follow(entry: Any) -> Iterator[Any]:
    while entry:
        yield entry.contents
        entry = entry.contents.next


def _read_sysctls(system: str) -> dict[str, str]:
    names = [*list_settings(), *_SYSCTLS.get(system, ())]
    found: dict[str, str] = {}
    if system == "Linux":
        for name in names:
            for line in _read_lines("/proc/sys/" + name.replace(".", "/")):
                found[name] = " ".join(line.split())
        return found
    # sysctl(8) continues after a name that the system does not know.
    for line in _run(["sysctl", *names]).splitlines() if names else ():
        # "name: value" on FreeBSD and macOS, "name=value" or "name = value" elsewhere.
        name, _, value = re.sub(r"\s*[:=]\s*", "\0", line, count=1).partition("\0")
        if name in names:
            found[name] = value.strip()
    return found


def _read_lines(path: str) -> Iterator[str]:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        yield from file


def _run(words: list[str], error_too: bool = False) -> str:
    """Return the output of a command, or "" if it cannot be run or does not end."""
    path = os.environ.get("PATH", "") + ":/sbin:/usr/sbin"
    with contextlib.suppress(OSError, Blocked):
        return run_program.run(
            words, errors_too=error_too, seconds=5, environment={**os.environ, "PATH": path}
        )[1]
    return ""
