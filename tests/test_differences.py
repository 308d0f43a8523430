"""Two environments side by side: which spellings name one machine, and what differs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from probes import Platform
from probes.differences import find_architecture, list_differences, make_gate_key, name_kernel

HERE = Platform("Linux", "6.1.0", "x86_64", "glibc", "2.36", 64)


@pytest.mark.parametrize(
    ("machine", "bits", "name"),
    [
        ("x86_64", 64, "amd64"), ("amd64", 64, "amd64"), ("i86pc", 64, "amd64"),
        ("i386", 32, "i386"), ("i486", 32, "i386"), ("i586", 32, "i386"), ("i686", 32, "i386"),
        ("i86pc", 32, "i386"), ("x86", 32, "i386"), ("I686", 32, "i386"),
        # A 32-bit program on a 64-bit kernel, without setarch(8).
        ("x86_64", 32, "i386"), ("amd64", 32, "i386"), ("aarch64", 32, "arm"),
        ("aarch64", 64, "arm64"), ("arm64", 64, "arm64"), ("aarch64_be", 64, "arm64_be"),
        ("armv6l", 32, "arm"), ("armv7l", 32, "arm"), ("armv8l", 32, "arm"), ("arm", 32, "arm"),
        ("armv7b", 32, "armeb"), ("aarch64_be", 32, "armeb"),
        ("s390x", 64, "s390x"), ("s390x", 32, "s390"), ("ppc64le", 64, "ppc64le"),
        ("ppc64", 32, "ppc"), ("mips64", 64, "mips64"), ("mips64", 32, "mips"),
        ("riscv64", 64, "riscv64"), ("vax", 32, "vax"), ("i786", 32, "i786"), ("", 64, ""),
        ("x86_64", 128, "amd64"),
    ],
)  # fmt: skip
def test_one_name_for_all_spellings_of_a_machine(machine: str, bits: int, name: str) -> None:
    assert find_architecture(machine, bits) == name


@pytest.mark.parametrize("kernel", ["gvisor", "qemu-user", "User-mode Linux"])
def test_what_answers_in_place_of_linux_is_a_kernel_of_its_own(kernel: str) -> None:
    assert name_kernel(HERE) == "linux"
    assert name_kernel(replace(HERE, hypervisor="kvm")) == "linux"
    assert name_kernel(replace(HERE, hypervisor=kernel)) == kernel
    assert make_gate_key(HERE) == "linux-glibc-64 on amd64"
    assert make_gate_key(replace(HERE, hypervisor=kernel)) == (
        f"linux-glibc-64 on amd64, kernel {kernel}"
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"release": "6.12.1"}, "kernel release: 6.1.0 -> 6.12.1"),
        ({"libc_version": "2.41"}, "C library version: 2.36 -> 2.41"),
        ({"machine": "amd64"}, "machine: x86_64 -> amd64"),
        ({"distribution": "Debian 13"}, "distribution: none -> Debian 13"),
        ({"compiler": "gcc 14"}, "compiler: none -> gcc 14"),
        ({"container": "docker"}, "container: none -> docker"),
        ({"hypervisor": "kvm"}, "hypervisor: none -> kvm"),
        ({"python": "CPython 3.13.0"}, "Python: none -> CPython 3.13.0"),
        ({"probes_hash": "ab12"}, "hash of the probes: none -> ab12"),
        ({"root": True}, "run as root: no -> yes"),
        ({"emulated_32_bit": True}, "32-bit userland on a 64-bit kernel: no -> yes"),
        ({"scratch_filesystem": "zfs"}, "scratch file system: none -> zfs"),
        ({"version": "#2 SMP"}, "kernel build: none -> #2 SMP"),
        ({"sysctls": {"a": "1", "b": "2"}}, "sysctl: none -> 2 recorded"),
        ({"interfaces": {"lo": ["inet6", "inet"], "eth0": ["inet"], "wlan0": []}},
         "network: none -> loopback inet and inet6; others inet"),
        ({"interfaces": {"lo0": []}}, "network: none -> loopback none; others none"),
    ],
)  # fmt: skip
def test_what_differs_is_said(changed: dict[str, Any], said: str) -> None:
    assert [str(each) for each in list_differences(HERE, replace(HERE, **changed))] == [said]
    assert list_differences(replace(HERE, **changed), replace(HERE, **changed)) == []


def test_another_release_is_another_build() -> None:
    then, now = replace(HERE, version="#1"), replace(HERE, version="#2", release="7.0")
    assert [each.what for each in list_differences(then, now)] == ["kernel release"]


def test_of_settings_those_that_differ_are_said() -> None:
    then = replace(HERE, sysctls={"a": "1", "b": "2", "c": "3"})
    now = replace(HERE, sysctls={"a": "1", "b": "4", "d": "5"})
    assert [str(each) for each in list_differences(then, now)] == [
        "sysctl b: 2 -> 4", "sysctl c: 3 -> none", "sysctl d: none -> 5"
    ]  # fmt: skip


def test_the_names_of_interfaces_are_of_no_account() -> None:
    then = replace(HERE, interfaces={"lo": ["inet"], "veth1": ["inet"]})
    now = replace(HERE, interfaces={"lo": ["inet"], "eth0": ["inet"]})
    assert list_differences(then, now) == []
    now = replace(now, interfaces={"lo": ["inet"], "eth0": ["inet6"]})
    (found,) = list_differences(then, now)
    assert (found.was, found.now) == (
        "loopback inet; others inet", "loopback inet; others inet6"
    )  # fmt: skip


def test_fields_of_a_later_version_are_compared_too() -> None:
    then = {"later": {"offset": 8, "width": 4, "in": {"a": 1, "b": 2}}, "note": [1], "x": {"y": 1}}
    now = {"later": {"offset": 12, "width": 4, "in": {"a": 1, "b": 3}}, "other": False, "x": 0.5}
    found = list_differences(replace(HERE, later=then), replace(HERE, later=now))
    assert [str(each) for each in found] == [
        "later in b: 2 -> 3", "later offset: 8 -> 12", "note: [1] -> none", "other: none -> no",
        "x: 1 recorded -> 0.5",
    ]  # fmt: skip
