"""The status socket: the counters as JSON, over a Unix socket that only its owner can open."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import stat

from probes.errors import CommandError


class StatusSocket:
    """The daemon's end: send the counters to each program that connects."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old = os.umask(0o177)
        try:
            self._bind()
            self.socket.listen(8)
            self.socket.setblocking(False)
            self.inode = os.stat(path).st_ino
        except OSError as error:
            self.socket.close()
            raise CommandError(
                f"{path}: {error.strerror or error}; choose another path with --status", 3
            ) from None
        finally:
            os.umask(old)

    def _bind(self) -> None:
        try:
            self.socket.bind(_shorten(self.path))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            if not stat.S_ISSOCK(os.lstat(self.path).st_mode):
                raise CommandError(
                    f"{self.path}: exists and is not a socket; choose another path with --status"
                ) from None
            if _is_answered(self.path):
                raise CommandError(
                    f"{self.path}: another papaya is running with this log", 3
                ) from None
            # A papaya that was killed left it.
            os.unlink(self.path)
            self.socket.bind(_shorten(self.path))

    def send(self, connected: socket.socket, counters: dict[str, object]) -> None:
        """Send the counters to a program that has connected, and close the connection."""
        with connected, contextlib.suppress(OSError):
            connected.setblocking(False)
            connected.send(self.format_counters(counters).encode())

    def close(self) -> None:
        """Close the socket, and remove its file unless another papaya has replaced it."""
        self.socket.close()
        inode, self.inode = self.inode, 0  # After the first call, it may be another's.
        with contextlib.suppress(OSError):
            if os.stat(self.path).st_ino == inode:
                os.unlink(self.path)

    @staticmethod
    def format_counters(counters: dict[str, object]) -> str:
        """Return the counters as one line of JSON."""
        return json.dumps(counters) + "\n"


def _shorten(path: str) -> str:
    """Return the shorter of ``path`` and its relative form.

    The BSDs and macOS limit the address of a Unix socket to 104 bytes.
    """
    return min(path, os.path.relpath(path), key=len)


def _is_answered(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected:
        connected.settimeout(5)
        try:
            connected.connect(_shorten(path))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
        return True


def read_counters(path: str) -> dict[str, object]:
    """Return the counters of the papaya whose status socket is ``path``.  Raise CommandError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected:
        connected.settimeout(5)
        try:
            connected.connect(_shorten(path))
            received = b""
            while data := connected.recv(65536):
                received += data
            if not received:
                raise OSError(
                    errno.EMFILE, "papaya closed the connection; is it out of open files?"
                )
            counters: dict[str, object] = json.loads(received)
            return counters
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise CommandError(
                f"{path}: {why}; is papaya running, and is this its status socket?", 3
            ) from None
