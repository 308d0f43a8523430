"""Test the provider of gVisor."""

from __future__ import annotations

from pathlib import Path

import pytest

from matrix.providers import _kvm
from matrix.providers.runsc import Runsc
from tests.matrix.workplace import Workplace
from tests.needs import needs


@needs("runsc")
@pytest.mark.parametrize("way", ["runsc", "runsc:ptrace"])
def test_gvisor_and_a_temporary_folder_with_a_blank(blank: Workplace, way: str) -> None:
    blank.cell("box", way)
    doctor = blank("doctor", "box")
    if doctor.returncode:
        pytest.skip(doctor.stdout)
    done = blank.run("--no-selftest", "box")
    assert done.returncode == 0, done.stdout + done.stderr


@needs("runsc")
def test_a_platform_runs_or_the_line_says_what_to_do(tmp_path: Path) -> None:
    """Which platforms there are depends on the installed runsc: Debian 12's has no systrap."""
    lack = Runsc("systrap", str(tmp_path), print).explain_lack()
    assert lack in (
        "",
        "the installed runsc does not have the platform systrap: install a newer one, "
        "https://gvisor.dev/docs/user_guide/install/",
    )


@pytest.fixture
def runsc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a stand-in for runsc, which notes its arguments and knows only ptrace and kvm."""
    program = tmp_path / "runsc"
    program.write_text(
        f"""#!/bin/sh
echo "$*" >{tmp_path}/arguments
case "$*" in
*--platform=ptrace*|*--platform=kvm*) ;;
*) echo "W1128 util.go:64] FATAL ERROR" >&2; echo "unknown platform: systrap" >&2; exit 128 ;;
esac
"""
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return program


@pytest.mark.parametrize("argument", ["", "ptrace", "kvm"])
def test_the_argument_is_the_platform(
    argument: str, runsc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_kvm, "explain_trouble", lambda: "")
    provider = Runsc(argument, str(runsc.parent), print)
    assert provider.explain_lack() == ""
    assert f"--platform={argument or 'ptrace'} " in (runsc.parent / "arguments").read_text()
    assert f"--platform={argument or 'ptrace'} " in provider.up()


def test_a_platform_that_the_installed_version_lacks(runsc: Path) -> None:
    assert Runsc("systrap", str(runsc.parent), print).explain_lack() == (
        "the installed runsc does not have the platform systrap: install a newer one, "
        "https://gvisor.dev/docs/user_guide/install/"
    )


def test_kvm_that_does_not_work(runsc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of runsc is started, because a guest that hangs would be left."""
    monkeypatch.setattr(_kvm, "explain_trouble", lambda: "/dev/kvm does not exist")
    assert Runsc("kvm", str(runsc.parent), print).explain_lack() == (
        "KVM does not work here: /dev/kvm does not exist; use the platform ptrace or systrap"
    )
    assert not (runsc.parent / "arguments").exists()


def test_an_unknown_platform(tmp_path: Path) -> None:
    assert Runsc("trap", str(tmp_path), print).explain_lack() == (
        "unknown platform 'trap'; choose from ptrace, systrap, kvm"
    )
