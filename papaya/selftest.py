"""Does the chat work on this machine?  The essential scenario, with the standard library alone.

A server with each engine on a port of its own, over IPv4 and, where there is one, IPv6:
many clients at once, a wrong key, a client that stops reading, and an end with SIGTERM
that leaves every line in the log.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from . import engines, key
from .load.chat import Load

CLIENTS, MESSAGES = 8, 25
_LONGEST_LOG = 90
"""The address of a Unix socket has 104 bytes on the BSDs and macOS, whose TMPDIR is deep."""


class Server:
    """A ``papaya serve`` of our own, in a folder of its own.

    Clients may come at once, or with ``wait=False`` from `started` on.
    """

    def __init__(
        self, folder: str, *options: str, before: Sequence[str] = (), wait: bool = True
    ) -> None:
        self.folder = folder
        self.key_path = os.path.join(folder, "key")
        self.log_path = os.path.join(folder, "chat.log")
        if not os.path.exists(self.key_path):
            key.new(self.key_path)
        self.key = key.load(self.key_path)
        self.errors_path = os.path.join(folder, "errors")
        listening = [] if "--listen" in options else ["--listen", "127.0.0.1:0"]
        command = [*before, sys.executable, "-m", "papaya", "serve"]
        command += ["--key", self.key_path, "--log", self.log_path, *listening]
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
            self.started()

    def started(self) -> None:
        """Wait until it listens.  Raises RuntimeError where it does not."""
        assert self.process.stdout
        while len(self.addresses) < self.wanted:
            line = self.process.stdout.readline()
            if not line:
                self.process.wait()
                said = self.errors().strip().rpartition("\n")[2]
                raise RuntimeError(f"the server did not start: {said}")
            found = re.fullmatch(r"listening on \[?(.*?)\]?:(\d+)\n", line)
            assert found, line
            self.addresses.append((found[1], int(found[2])))

    @property
    def address(self) -> tuple[str, int]:
        """The first it listens on."""
        return self.addresses[0]

    def errors(self) -> str:
        """What it said on standard error."""
        with open(self.errors_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def log(self) -> bytes:
        """The chat's log as it is."""
        with open(self.log_path, "rb") as file:
            return file.read()

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """End it; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        status = self.process.wait(timeout=30)
        if self.process.stdout:
            self.process.stdout.close()
        return status


@contextmanager
def served(*options: str, wait: bool = True) -> Iterator[Server]:
    """A server for the time being."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder, *options, wait=False)
        try:
            if wait:
                server.started()
            yield server
        finally:
            server.stop(signal.SIGKILL)


Checks = dict[str, bool | str]
Results = dict[str, Checks]


def run(
    names: list[str], *options: str, tell: Callable[[str], None] = lambda name: None
) -> Results:
    """Every check, by engine; each is true, or says what went wrong.

    The servers are started with these options.  One server and one crowd for all checks of
    an engine, and the servers all at once: on an emulated machine starting them takes longer
    than what is asked.  ``tell`` is called with each engine before its checks.
    """
    # The one wrong key is ours, and is not held against us.
    options = (*options, "--backoff", "0", *_both_families())
    with ExitStack() as stack:
        servers = [
            stack.enter_context(served("--engine", name, *options, wait=False)) for name in names
        ]
        results = {}
        for name, server in zip(names, servers, strict=True):
            tell(name)
            results[name] = _checked(server)
        return results


def _checked(server: Server) -> Checks:
    try:
        server.started()
        with Load(server.address, server.key) as load:
            return {check: _told(ask, server, load) for check, ask in _CHECKS.items()}
    except (OSError, RuntimeError) as error:
        return {"a server starts": str(error)}


def passed(results: Results) -> bool:
    """Whether all of them are true."""
    return all(outcome is True for checks in results.values() for outcome in checks.values())


def _told(ask: Callable[[Server, Load], None], server: Server, load: Load) -> bool | str:
    try:
        ask(server, load)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return True


def _check(condition: object, what: object) -> None:
    if not condition:
        raise AssertionError(what)


def _both_families() -> list[str]:
    try:
        with socket.socket(socket.AF_INET6) as asked:
            asked.bind(("::1", 0))
    except OSError:
        return ["--listen", "127.0.0.1:0"]
    return ["--listen", "127.0.0.1:0", "--listen", "[::1]:0"]


def _everybody_gets_everything(server: Server, load: Load) -> None:
    for load.address in server.addresses:
        load.join(CLIENTS // len(server.addresses))
    result = load.exchange(MESSAGES)
    _check(result.perfect and result.clients == CLIENTS, result)


def _who_does_not_read_delays_nobody(server: Server, load: Load) -> None:
    [deaf] = load.join(1)
    deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    load.stop_reading(deaf)
    result = load.exchange(4 * MESSAGES, size=4000)
    load.leave(deaf)
    _check(result.perfect, result)


def _a_wrong_key_is_refused(server: Server, load: Load) -> None:
    with socket.create_connection(server.address, timeout=10) as stranger:
        stranger.sendall(b"0" * key.LENGTH + b"stranger: let me in\n")
        _check(stranger.recv(100) == b"", "it was let in")
        port = stranger.getsockname()[1]
    until = time.monotonic() + 10
    while not (said := re.search(rf"refused .* port {port}: (.*)", server.errors())):
        _check(time.monotonic() < until, "not a word of it")
        time.sleep(0.01)
    _check(said[1] == "wrong key", said[0])
    _check(b"stranger" not in server.log(), "its line is in the log")


def _an_end_leaves_every_line(server: Server, load: Load) -> None:
    before = server.log().count(b"\n")
    result = load.exchange(MESSAGES)
    _check(result.perfect and result.sent, result)
    started = time.monotonic()
    _check(server.stop() == 0, server.errors())
    _check(time.monotonic() - started < 2, "it took more than 2 s")
    log = server.log()
    _check(log.count(b"\n") == before + result.sent, log[-200:])
    _check(log.endswith(b"\n"), log[-200:])


_CHECKS = {
    "everybody gets everything": _everybody_gets_everything,
    "who does not read delays nobody": _who_does_not_read_delays_nobody,
    "a wrong key is refused": _a_wrong_key_is_refused,
    "an end leaves every line in the log": _an_end_leaves_every_line,
}


def chosen(engine: str | None) -> list[str]:
    """The engines to check: the one, or all."""
    if engine is None:
        return engines.list_engines()
    engines.load_engine(engine)
    return [engine]
