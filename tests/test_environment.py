"""A report's description of its platform is looked up: if the platform changes, it changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from probes import Platform, Report
from probes import environment as environment_module
from probes.environment import _find_loader
from tests.needs import needs
from tests.worlds import measure, needs_linux, needs_root, shim

FEW = "--only=sockets.v6only_default"


def environment(*options: str, **how: object) -> Platform:
    return measure(FEW, *options, **how).environment


def test_it_is_this_host(here: Report) -> None:
    told, uname = here.environment, os.uname()
    assert (told.system, told.release, told.machine) == (
        uname.sysname, uname.release, uname.machine,
    )  # fmt: skip
    assert told.pointer_bits == (64 if sys.maxsize > 2**32 else 32)
    assert told.root == (os.geteuid() == 0)
    assert told.python.endswith(sys.version.split()[0])
    assert told.libc != "unknown"
    assert told.scratch_filesystem


@needs_linux
def test_the_scratch_file_system_is_where_scratch_is(here: Report) -> None:
    where = environment(environment={"TMPDIR": "/dev/shm"})
    assert where.scratch_filesystem == "tmpfs"
    found = subprocess.run(
        ["df", "--output=fstype", os.environ.get("TMPDIR", "/tmp")],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert found == ["Type", here.environment.scratch_filesystem]


@needs_linux
@needs_root
@needs("ip", "sysctl")
def test_interfaces_and_sysctls_are_those_of_this_network(here: Report) -> None:
    setting = 'ip link set lo up && sysctl -qw net.core.somaxconn=77 && exec "$@"'
    alone = environment(before=["unshare", "-n", "sh", "-c", setting, "sh"])
    assert alone.interfaces["lo"] == ["inet", "inet6"]
    assert not {name for name, has in alone.interfaces.items() if has} - {"lo"}
    assert alone.sysctls["net.core.somaxconn"] == "77"
    assert here.environment.sysctls["net.core.somaxconn"] != "77"


@needs_linux
def test_the_c_library_says_its_version(tmp_path: Path) -> None:
    source = 'const char *gnu_get_libc_version(void) { return "9.99"; }'
    assert environment(environment=shim(tmp_path, source)).libc_version == "9.99"


def test_the_compiler_is_the_one_that_is_used() -> None:
    assert environment(environment={"CC": "/nonexistent"}).compiler == ""
    assert environment(environment={"CC": "echo fake"}).compiler == "fake --version"


@pytest.mark.parametrize(
    ("platform", "line"),
    [
        (
            Platform("Linux", "6.1.0", "i686", "glibc", "2.36", 32, emulated_32_bit=True),
            "Linux 6.1.0 i686, glibc 2.36, 32-bit userland on a 64-bit kernel",
        ),
        (
            Platform("FreeBSD", "14.1", "amd64", "freebsd", "14.1", 64),
            "FreeBSD 14.1 amd64, 64-bit",
        ),
        (
            Platform("Linux", "4.4.0", "x86_64", "glibc", "2.36", 64, hypervisor="gvisor"),
            "Linux 4.4.0 x86_64, glibc 2.36, 64-bit, gvisor",
        ),
    ],
)
def test_one_line_says_it_all(platform: Platform, line: str) -> None:
    assert str(platform) == line


@needs_linux
@needs("cc")
def test_the_loader_tells_the_c_library(tmp_path: Path) -> None:
    """Alpine maps /lib/ld-musl-*, Debian a libc.so: both programs ask for /lib/ld-musl-*."""
    cc = shutil.which("cc")
    assert cc
    asked = [cc, "-xc", "-", "-o", str(tmp_path / "asked"), "-Wl,--dynamic-linker=/lib/ld-musl-x"]
    subprocess.run(asked, input="int main(void) { return 0; }", text=True, check=True)
    assert _find_loader(str(tmp_path / "asked")) == "/lib/ld-musl-x"
    assert "/ld-musl-" not in _find_loader(cc)
    assert _find_loader("/etc/passwd") == ""


def test_user_mode_linux_has_the_flags_of_its_hosts_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = {"/proc/cpuinfo": ["vendor_id\t: User Mode Linux", "flags\t\t: fpu hypervisor"]}
    monkeypatch.setattr(environment_module, "_read_lines", lambda path: lines.get(path, []))
    assert environment_module._find_hypervisor() == "User-mode Linux"
    del lines["/proc/cpuinfo"][0]
    assert environment_module._find_hypervisor() == "a hypervisor"


@pytest.mark.parametrize(
    ("links", "told"),
    [
        ({"self": "/usr/bin/python3.11", "thread-self": "/usr/bin/python3.11"}, False),
        ({"self": "/usr/bin/python3.11", "thread-self": "/usr/libexec/qemu-aarch64"}, True),
        # Another program that runs programs is not known to be one.
        ({"self": "/usr/bin/python3.11", "thread-self": "/usr/bin/valgrind"}, False),
        ({}, False),
    ],
)
def test_qemu_user_does_not_hide_from_a_thread(
    links: dict[str, str], told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: str) -> str:
        try:
            return links[path.split("/")[2]]
        except KeyError:
            raise FileNotFoundError(path) from None

    monkeypatch.setattr("os.readlink", read)
    assert environment_module._is_translated() is told
