"""Test the test of KVM with a stand-in for QEMU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from matrix.errors import Unavailable
from matrix.providers import _kvm

Trial = Callable[[str], str]


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    """Return the trouble that is found if QEMU behaves so with KVM; emulated, it works."""
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(_kvm, "DEVICE", str(device))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def tried(does: str) -> str:
        program = tmp_path / "qemu-system-i386"
        program.write_text(f'#!/bin/sh\ncase "$*" in *"-accel kvm"*) {does} ;; esac\nexit 99\n')
        program.chmod(0o755)
        _kvm._try_once.cache_clear()
        return _kvm.explain_trouble()

    yield tried
    _kvm._try_once.cache_clear()


def test_kvm_that_works(trial: Trial) -> None:
    assert trial("exit 99") == ""


def test_kvm_that_is_far_slower_than_emulation(trial: Trial) -> None:
    said = trial("exec sleep 60")
    assert said.startswith("a guest of five bytes does not end with kvm within ")


def test_kvm_that_fails(trial: Trial) -> None:
    assert trial("echo no such luck >&2; exit 1") == "no such luck"
    assert trial("exit 1") == "QEMU ended with 1"


def test_kvm_that_does_not_exist(trial: Trial) -> None:
    Path(_kvm.DEVICE).unlink()
    assert trial("exit 99") == f"{_kvm.DEVICE} does not exist"


@pytest.mark.parametrize(
    ("trouble", "works", "steps"),
    [
        ("", True, ["with KVM", True]),
        ("", False, ["with KVM", True, "down", "emulated (silent)", False]),
        ("broken", True, ["emulated (broken)", False]),
    ],
)
def test_a_guest_that_does_not_come_up_with_kvm_is_emulated(
    monkeypatch: pytest.MonkeyPatch, trouble: str, works: bool, steps: list[object]
) -> None:
    done: list[object] = []

    def start(kvm: bool) -> str:
        done.append(kvm)
        if kvm and not works:
            raise Unavailable("silent")
        return "gateway"

    def say(line: str) -> None:
        done.append(line.removeprefix("starting it, "))

    monkeypatch.setattr(_kvm, "explain_trouble", lambda: trouble)
    assert _kvm.start_guest(start, lambda: done.append("down"), say) == "gateway"
    assert done == steps
