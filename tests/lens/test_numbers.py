"""The lens does not believe a number of another platform."""

from __future__ import annotations

import errno
import os
import signal
import socket
from typing import Any

import pytest

from probes import lens
from probes.probe import Blocked

ERRORS = ["EBADF", "ENOENT", "EAGAIN", "EINVAL"]


def unproven(reason: str) -> None:
    with pytest.raises(Blocked, match=reason):
        lens.check_numbers()


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_of_another_number_is_unproven(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errno, name, 250)
    unproven(f"errno.{name} is 250")


def test_one_error_is_not_taken_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only opening a folder may give one of two errors."""
    monkeypatch.setattr(errno, "EISDIR", errno.EBADF)
    monkeypatch.setattr(errno, "EBADF", 250)
    unproven("errno.EBADF is 250")


@pytest.mark.parametrize(("user", "name"), [(0, "EISDIR"), (1000, "EACCES")])
def test_the_root_folder_is_not_opened_for_writing(
    user: int, name: str, change: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """root gets EISDIR for a folder; other users may get EACCES first."""
    monkeypatch.setattr(os, "geteuid", lambda: user)

    def give(number: int) -> None:
        def open_(real: Any, path: bytes, flags: int) -> Any:
            if path == b"/":
                raise OSError(number, "failed on purpose")
            return real(path, flags)

        lens.proof._seen.clear()
        change("open", open_)

    give(errno.EISDIR)
    lens.check_numbers()
    give(errno.EACCES)
    if user:
        lens.check_numbers()
    else:
        unproven("errno.EISDIR")
    give(errno.EROFS)
    unproven(rf"open\(\) failed with {errno.EROFS}, but errno.{name}")


@pytest.mark.parametrize("flags", [0, os.O_NONBLOCK | os.O_WRONLY, os.O_NONBLOCK | os.O_RDWR])
def test_flags_of_another_number_are_unproven(flags: int, change: Any) -> None:
    change("fcntl", lambda *_: flags)
    unproven("F_GETFL gives")


@pytest.mark.parametrize(
    ("pending", "proven"),
    [
        ({signal.SIGPIPE, signal.SIGUSR2}, True),
        ({signal.SIGPIPE}, False),
        ({signal.SIGUSR2}, False),
        ({signal.SIGPIPE, signal.SIGUSR2, signal.SIGTERM}, False),
        ({signal.SIGUSR1, signal.SIGUSR2}, False),
    ],
)
def test_a_signal_of_another_number_is_unproven(
    pending: set[signal.Signals], proven: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "sigpending", lambda: pending)
    if proven:
        lens.check_numbers()
    else:
        unproven("a broken pipe and SIGUSR2 left")


def test_the_signal_of_a_broken_pipe_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "SIGPIPE", signal.SIGURG)
    unproven("a broken pipe and SIGUSR2 left")


def test_signals_that_the_caller_ignores_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """POSIX allows a kernel to discard an ignored signal even while it is blocked."""
    pending = signal.sigpending
    monkeypatch.setattr(
        signal,
        "sigpending",
        lambda: {s for s in pending() if signal.getsignal(s) != signal.SIG_IGN},
    )
    before = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGPIPE, signal.SIGUSR2)}
    try:
        lens.check_numbers()
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def test_a_kind_of_socket_of_another_number_is_unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "SO_TYPE", socket.SO_KEEPALIVE)
    unproven("SO_TYPE of a SOCK_STREAM socket is 0")
