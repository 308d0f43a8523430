"""Test the far end."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from matrix import remote_agent


def test_a_slow_far_end_is_not_kept_from_removing_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """execnet interrupts one that takes more than five seconds, as on a busy machine."""
    remove = shutil.rmtree

    def interrupted(path: str, ignore_errors: bool) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        remove(path, ignore_errors)

    class Channel(list[object]):
        """One without a request."""

        def send(self, answer: object) -> None: ...

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(shutil, "rmtree", interrupted)
    before = signal.getsignal(signal.SIGINT)
    try:
        remote_agent.serve(Channel())  # type: ignore[no-untyped-call]
    finally:
        signal.signal(signal.SIGINT, before)
    assert list(tmp_path.iterdir()) == []


def test_what_a_guest_runs_is_plain() -> None:
    """No shell of Linux's, no /proc: FreeBSD has neither."""
    assert remote_agent.__file__
    text = Path(remote_agent.__file__).read_text()
    for word in ("bash", "/proc", "shell=True", "os.system"):
        assert word not in text
