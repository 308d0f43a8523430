"""Test how a guest waits for its host; with virtio ports, the cells of real guests run it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from matrix.providers import _channel
from tests.worlds import needs_linux


@needs_linux
def test_a_guest_waits_until_the_host_connects(tmp_path: Path) -> None:
    """A FIFO reports POLLHUP as a virtio port does: from the end of one writer to the next."""
    path = tmp_path / "port"
    os.mkfifo(path)
    port = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.close(os.open(path, os.O_WRONLY))
    waiting = threading.Thread(target=_channel.wait_for_host, args=(port,), daemon=True)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    host = os.open(path, os.O_WRONLY)
    waiting.join(20)
    assert not waiting.is_alive()
    os.close(host)
    os.close(port)


def test_a_guest_needs_nothing_of_the_project() -> None:
    assert _channel.__file__
    text = Path(_channel.__file__).read_text()
    for name in ("matrix", "probes", "papaya"):
        assert f"import {name}" not in text
        assert f"from {name}" not in text
