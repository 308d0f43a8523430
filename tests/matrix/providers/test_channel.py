"""Test a guest's end of the channel; virtio ports are tested by the cells of real guests."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
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


CODE = """
import os, sys
os.write(1, b"1")
while data := os.read(0, 100):
    os.write(1, data)
"""


@needs_linux
def test_all_bytes_pass_serial_lines_and_are_confirmed() -> None:
    """A terminal that is not in raw mode would echo, translate, and end the program."""
    (line, near_line), (taken, near_taken) = pty.openpty(), pty.openpty()
    names = ",".join(os.ttyname(near).removeprefix("/dev/") for near in (near_line, near_taken))
    program = [sys.executable, str(_channel.__file__), names]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as channel:
        try:
            assert channel.stdout
            assert channel.stdout.readline() == "\n"
            assert channel.stdout.readline() == _channel.READY + "\n"
            request = repr(CODE).encode() + b"\n"
            os.write(line, request)
            assert os.read(line, 10) == b"1"
            answer = b""
            for start in range(0, 256, 64):
                os.write(line, bytes(range(start, start + 64)))
                while len(answer) < start + 64:
                    assert select.select([line], [], [], 20)[0]
                    answer += os.read(line, 1000)
            assert answer == bytes(range(256))
            confirmed = b""
            while len(confirmed) < len(request) + 256:
                assert select.select([taken], [], [], 20)[0]
                confirmed += os.read(taken, 1000)
            assert confirmed == bytes(len(request) + 256)
        finally:
            for descriptor in (near_line, near_taken, line, taken):
                os.close(descriptor)
        # Hung up, the gateway has read the end of its input.
        assert channel.wait(20) == 0
