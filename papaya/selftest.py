"""Check that the chat works on this machine, with the standard library only.

Start a server with each engine, over IPv4 and IPv6 if the machine has it, and try many
clients at once, a wrong key, a client that stops reading, and SIGTERM, after which every line
must be in the log.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from . import engines, key
from .load.chat import Load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CLIENTS, MESSAGES = 8, 25
_LONGEST_LOG = 90
"""The address of a Unix socket has 104 bytes on the BSDs and macOS, whose TMPDIR is deep."""


class Server:
    """Start ``papaya serve`` in ``folder``, with its key and log there.

    With ``wait=False``, clients can connect only after `wait_until_listening`.
    """

    def __init__(
        self, folder: str, *options: str, before: Sequence[str] = (), wait: bool = True
    ) -> None:
        self.folder = folder
        self.key_path = os.path.join(folder, "key")
        self.log_path = os.path.join(folder, "chat.log")
        if not os.path.exists(self.key_path):
            key.create(self.key_path)
        self.key = key.load(self.key_path)
        self.errors_path = os.path.join(folder, "errors")
        listening = [] if "--listen" in options else ["--listen", "127.0.0.1:0"]
        command = [*before, sys.executable, "-m", "papaya", "serve"]
        command += ["--key", self.key_path, "--log", self.log_path, *listening]
        command += ["--max-rate", "0"]  # The load sends as fast as it can.
        if len(os.fsencode(self.log_path)) > _LONGEST_LOG:
            command += ["--status", "status"]
        home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH", "")]))
        with open(self.errors_path, "ab") as errors:
            self.process = subprocess.Popen(
                [*command, *options],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.addresses: list[tuple[str, int]] = []
        self.wanted = max(1, sum(option == "--listen" for option in options))
        if wait:
            self.wait_until_listening()

    def wait_until_listening(self) -> None:
        """Wait until the server listens.  Raise RuntimeError if it ends instead."""
        assert self.process.stdout
        while len(self.addresses) < self.wanted:
            line = self.process.stdout.readline()
            if not line:
                self.process.wait()
                error = self.read_errors().strip().rpartition("\n")[2]
                raise RuntimeError(f"the server did not start: {error}")
            found = re.fullmatch(r"listening on \[?(.*?)\]?:(\d+)\n", line)
            assert found, line
            self.addresses.append((found[1], int(found[2])))

    @property
    def address(self) -> tuple[str, int]:
        """The first address that it listens on."""
        return self.addresses[0]

    def read_errors(self) -> str:
        """Return what the server has written to standard error."""
        with open(self.errors_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def read_log(self) -> bytes:
        """Return the content of the chat's log."""
        with open(self.log_path, "rb") as file:
            return file.read()

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """End the server with a signal, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        status = self.process.wait(timeout=30)
        if self.process.stdout:
            self.process.stdout.close()
        return status


@contextmanager
def run_server(*options: str, wait: bool = True) -> Iterator[Server]:
    """Run a server in a temporary folder for the duration of a ``with`` block."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder, *options, wait=False)
        try:
            if wait:
                server.wait_until_listening()
            yield server
        finally:
            server.stop(signal.SIGKILL)


Checks = dict[str, bool | str]
Results = dict[str, Checks]


def run_checks(
    names: list[str], *options: str, show_progress: Callable[[str], None] = lambda _: None
) -> Results:
    """Run every check with each engine; return True or what went wrong, by engine and check.

    ``options`` are for the servers.  All checks of an engine share one server and its clients,
    and all servers start at once, because on an emulated machine the start takes longer than
    the checks.  ``show_progress`` is called with each engine before its checks.
    """
    # Without back-off, because the checks themselves send a wrong key.
    # The engine pool serves the few clients with several workers.
    options = (*options, "--backoff", "0", "--fill", "1", *_choose_addresses())
    with ExitStack() as stack:
        servers = [
            stack.enter_context(run_server("--engine", name, *options, wait=False))
            for name in names
        ]
        results = {}
        for name, server in zip(names, servers, strict=True):
            show_progress(name)
            results[name] = _check_server(server)
        return results


def _check_server(server: Server) -> Checks:
    try:
        server.wait_until_listening()
        with Load(server.address, server.key) as load:
            return {name: _run_check(check, server, load) for name, check in _CHECKS.items()}
    except (OSError, RuntimeError) as error:
        return {"a server starts": str(error)}


def has_passed(results: Results) -> bool:
    """Return whether all checks have passed."""
    return all(outcome is True for checks in results.values() for outcome in checks.values())


def _run_check(check: Callable[[Server, Load], None], server: Server, load: Load) -> bool | str:
    try:
        check(server, load)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return True


def _require(condition: object, problem: object) -> None:
    if not condition:
        raise AssertionError(problem)


def _choose_addresses() -> list[str]:
    """Return options to listen on both families if this machine has IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        return ["--listen", "127.0.0.1:0"]
    return ["--listen", "127.0.0.1:0", "--listen", "[::1]:0"]


def _check_delivery(server: Server, load: Load) -> None:
    for load.address in server.addresses:
        load.join(CLIENTS // len(server.addresses))
    result = load.exchange(MESSAGES)
    _require(result.perfect and result.clients == CLIENTS, result)


def _check_slow_reader(server: Server, load: Load) -> None:
    [deaf] = load.join(1)
    deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    load.stop_reading(deaf)
    result = load.exchange(4 * MESSAGES, size=4000)
    load.leave(deaf)
    _require(result.perfect, result)


def _check_wrong_key(server: Server, load: Load) -> None:
    with socket.create_connection(server.address, timeout=10) as stranger:
        stranger.sendall(b"0" * key.LENGTH + b"stranger: let me in\n")
        _require(stranger.recv(100) == b"", "a client with a wrong key was let in")
        port = stranger.getsockname()[1]
    until = time.monotonic() + 10
    while not (line := re.search(rf"refused .* port {port}: (.*)", server.read_errors())):
        _require(time.monotonic() < until, "the refusal was not logged")
        time.sleep(0.01)
    _require(line[1] == "wrong key", line[0])
    _require(b"stranger" not in server.read_log(), "the refused client's line is in the log")


def _check_end(server: Server, load: Load) -> None:
    before = server.read_log().count(b"\n")
    result = load.exchange(MESSAGES)
    _require(result.perfect and result.sent, result)
    started = time.monotonic()
    _require(server.stop() == 0, server.read_errors())
    # A bound on a hang, not on speed: an emulated platform takes seconds.
    _require(time.monotonic() - started < 30, "the end took more than 30 s")
    log = server.read_log()
    _require(log.count(b"\n") == before + result.sent, log[-200:])
    _require(log.endswith(b"\n"), log[-200:])


_CHECKS = {
    "everybody gets everything": _check_delivery,
    "who does not read delays nobody": _check_slow_reader,
    "a wrong key is refused": _check_wrong_key,
    "an end leaves every line in the log": _check_end,
}
"""By their names in the JSON output, which stay as they are."""


def select_engines(engine: str | None) -> list[str]:
    """Return the engines to check: the given one, or all."""
    if engine is None:
        return engines.list_engines()
    engines.load_engine(engine)
    return [engine]
