"""The counters, as JSON over a Unix socket that only its owner can open."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import stat

from probes.errors import CommandError


class StatusSocket:
    """The daemon's end: whoever connects is sent the counters."""

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
                f"{path}: {error.strerror or error}; --status gives another", 3
            ) from None
        finally:
            os.umask(old)

    def _bind(self) -> None:
        try:
            self.socket.bind(_address(self.path))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            if not stat.S_ISSOCK(os.lstat(self.path).st_mode):
                raise CommandError(
                    f"{self.path}: is there and is no socket; --status gives another"
                ) from None
            if _answers(self.path):
                raise CommandError(
                    f"{self.path}: another papaya is running with this log", 3
                ) from None
            # What one left that was killed.
            os.unlink(self.path)
            self.socket.bind(_address(self.path))

    def tell(self, connected: socket.socket, counters: dict[str, object]) -> None:
        """Send them to one that connected, and close it."""
        with connected, contextlib.suppress(OSError):
            connected.setblocking(False)
            connected.send(self.text(counters).encode())

    def close(self) -> None:
        """Remove it, unless it is another's by now."""
        self.socket.close()
        with contextlib.suppress(OSError):
            if os.stat(self.path).st_ino == self.inode:
                os.unlink(self.path)

    @staticmethod
    def text(counters: dict[str, object]) -> str:
        """As it is sent."""
        return json.dumps(counters) + "\n"


def _address(path: str) -> str:
    """The path as a socket's address, which has no more than 104 bytes on the BSDs and macOS."""
    return min(path, os.path.relpath(path), key=len)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.settimeout(5)
        try:
            asked.connect(_address(path))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
        return True


def ask(path: str) -> dict[str, object]:
    """The counters of the papaya whose status socket is ``path``.  Raises CommandError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.settimeout(5)
        try:
            asked.connect(_address(path))
            said = b""
            while data := asked.recv(65536):
                said += data
            if not said:
                raise OSError(errno.EMFILE, "it closed the connection: is it out of open files?")
            counters: dict[str, object] = json.loads(said)
            return counters
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise CommandError(
                f"{path}: {why}; is papaya running, and is this its status socket?", 3
            ) from None
