"""The service's own log: one line per event, and the supervisor's socket."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from papaya.server import event_log


def test_an_event_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    event_log.log_to_standard_error("bad\nrefused 192.0.2.1 port 1: wrong key\x1b")
    assert capfd.readouterr().err == "papaya: bad\\nrefused 192.0.2.1 port 1: wrong key\\x1b\n"


def test_a_supervisor_is_notified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    event_log.notify_supervisor("READY=1")  # Without a supervisor this does nothing.
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(path))
        supervisor.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        event_log.notify_supervisor("READY=1")
        assert supervisor.recv(100) == b"READY=1"
