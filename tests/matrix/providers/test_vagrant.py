"""What the way by Vagrant says that it lacks, by programs that only look like the real ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from matrix import network
from matrix.providers import vagrant

Program = Callable[..., None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    """Make programs; there are no others, no boxes, and no server to fetch one from."""
    folder = tmp_path / "bin"
    folder.mkdir()
    shell = shutil.which("sh")

    def make(name: str, script: str = "") -> None:
        path = folder / name
        path.write_text(f"#!{shell}\n{script}\n")
        path.chmod(0o755)

    cached = vagrant._explain_libvirt, vagrant._explain_plugin, vagrant._explain_virtualbox
    functions = [*cached, network.explain_unreachable]
    for function in functions:
        function.cache_clear()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("VAGRANT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VAGRANT_SERVER_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield make
    for function in functions:
        function.cache_clear()


NO_BOX = (
    "the box is missing, and 127.0.0.1 cannot be reached (Connection refused); "
    "on a network: vagrant box add roboxes/freebsd14"
)


def lacks(tmp_path: Path, machine: str = "freebsd") -> str:
    return vagrant.Vagrant(machine, str(tmp_path), lambda line: None).explain_lack()


def have_box(tmp_path: Path, provider: str = "libvirt", name: str = "roboxes/freebsd14") -> None:
    box = tmp_path / "home" / "boxes" / name.replace("/", "-VAGRANTSLASH-")
    (box / "1.0" / provider).mkdir(parents=True)


def test_without_any_program(program: Program, tmp_path: Path) -> None:
    packages = "vagrant openssh-client libvirt-clients libvirt-daemon-system vagrant-libvirt"
    assert lacks(tmp_path) == (
        f"not installed: vagrant, ssh, virsh; apt-get install {packages}; and {NO_BOX}"
    )


def test_without_a_daemon(program: Program, tmp_path: Path) -> None:
    for name, script in (("vagrant", ""), ("ssh", ""), ("virsh", "exit 1")):
        program(name, script)
    have_box(tmp_path)
    start = "systemctl start libvirtd"
    member = f"sudo {start} && sudo usermod -aG libvirt $USER"
    assert lacks(tmp_path) == (f"libvirtd does not answer: {member if os.geteuid() else start}")


def test_without_a_box_and_a_network_vagrant_is_not_started(
    program: Program, tmp_path: Path
) -> None:
    for name, script in (("vagrant", f": >{tmp_path}/started"), ("ssh", ""), ("virsh", "")):
        program(name, script)
    assert lacks(tmp_path) == NO_BOX
    assert not (tmp_path / "started").exists()


def test_without_the_plugin(program: Program, tmp_path: Path) -> None:
    for name, script in (("vagrant", "echo vagrant-lxc"), ("ssh", ""), ("virsh", "")):
        program(name, script)
    have_box(tmp_path)
    assert lacks(tmp_path).endswith("vagrant plugin install vagrant-libvirt")


@pytest.mark.parametrize("virtualbox", [False, True])
def test_with_all_of_it(program: Program, tmp_path: Path, virtualbox: bool) -> None:
    program("vagrant", "echo vagrant-libvirt")
    program("ssh")
    program("VBoxManage" if virtualbox else "virsh")
    provider = "virtualbox" if virtualbox else "libvirt"
    have_box(tmp_path, provider, "bento/freebsd-14.3" if virtualbox else "roboxes/freebsd14")
    way = vagrant.Vagrant("freebsd", str(tmp_path), lambda line: None)
    assert (way.explain_lack(), way.label) == ("", f"vagrant/{provider}")


def test_a_machine_that_is_not_in_the_vagrantfile(program: Program, tmp_path: Path) -> None:
    for name in ("vagrant", "ssh", "virsh"):
        program(name)
    assert lacks(tmp_path, "beos") == "the Vagrantfile has no machine 'beos' for libvirt"
