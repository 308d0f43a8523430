"""Remote: a live connection to a platform, over execnet."""

from __future__ import annotations

import json
import math
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import execnet

from probes import Report
from probes.errors import CommandError, ReportError

from . import remote_agent, remote_bundle

_LONGEST_START = 180
"""Seconds until the far end must answer; emulated Pythons on a busy machine took more than 60."""
_LONGEST_WAIT = 1.0
"""Seconds until a signal is seen that came just before the wait for an answer.

It does not interrupt the wait: Python runs handlers between two steps of the main thread alone.
"""
_MOST_CLOCK_OFF = 300
"""Seconds that the far clock may be off; beyond that, times and certificates mean nothing."""


class Remote:
    """A platform at the far end of a gateway.  The caller must close it."""

    def __init__(self, specification: str, errors: str) -> None:
        """Connect.  ``errors`` is the file for what the far end prints outside the channel.

        Raise CommandError if no Python answers, or if the far end's clock is wrong.
        """
        self.group = execnet.Group()
        try:
            gateway = self.group.makegateway(_redirect_errors(specification, errors))
            self.channel = gateway.remote_exec(remote_agent)
            greeting = self._receive(_LONGEST_START)
        except (execnet.HostNotFound, EOFError, OSError, ReferenceError):
            self.close()
            raise CommandError(f"no Python answered{_read_last_line(errors)}", 3) from None
        except execnet.RemoteError as error:
            self.close()
            raise _make_error(error) from None
        except BaseException:
            self.close()
            raise
        self.python = str(greeting["python"])
        off = greeting["clock"] - time.time()
        if abs(off) > _MOST_CLOCK_OFF:
            self.close()
            raise CommandError(
                f"its clock is off by {off:+.0f} s; set it with NTP, or as root with date", 3
            )

    def send(self) -> None:
        """Send the lab and papaya to the far end."""
        self._request({"archive": remote_bundle.pack_sources()}, 120)

    def measure(self, deadline: float) -> Report:
        """Measure every fact.  Raise CommandError if the lab itself fails there."""
        arguments = ["probes", "report", "--format", "json"]
        request = {"run": arguments, "seconds": deadline, "keep": "report.json"}
        answer = self._request(request, deadline + 60)
        if answer["status"] is None:
            raise CommandError(f"the lab did not end within {deadline:.0f} s", 3)
        try:
            return Report.loads(answer["out"])
        except ReportError as error:
            said = _find_gist(answer["errors"]) or f"status {answer['status']}"
            if answer["out"]:
                said += f", and its report is {error}"
            raise CommandError(f"the lab failed: {said}", 3) from None

    def selftest(self, engines: Sequence[str], deadline: float) -> dict[str, dict[str, Any]]:
        """Run `papaya selftest` of all ``engines``, with the report of `measure`.

        Return, by engine, each check with True or what went wrong.  One process tests all engines,
        because an interpreter may take seconds to start.
        """
        arguments = ["papaya", "selftest", "--report", "report.json", "--json"]
        answer = self._request({"run": arguments, "seconds": deadline}, deadline + 60)
        if answer["status"] is None:
            said = f"did not end within {deadline:.0f} s"
        else:
            try:
                found = json.loads(answer["out"])["engines"]
                return {engine: found[engine] for engine in engines}
            except (ValueError, KeyError):
                said = _find_gist(answer["errors"]) or f"status {answer['status']}"
        return {engine: {"selftest": said} for engine in engines}

    def unpack(self, files: bytes) -> None:
        """Unpack a tar archive into the folder in which `execute` runs commands."""
        self._request({"files": files}, 300)

    def execute(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        user: bool,
        deadline: float,
        say: Callable[[bytes], None],
    ) -> int | None:
        """Run a command, as an ordinary user if ``user``, and pass its output to ``say``.

        Return its exit status, negative if a signal ended it; None if it did not end in time.
        """
        request = {
            "command": list(command),
            "environment": dict(environment),
            "user": user,
            "seconds": deadline,
        }
        self._send(request)
        return self._pass_on(deadline + 60, say)

    def start_shell(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        user: bool,
        size: tuple[int, int],
    ) -> None:
        """Start a shell on a terminal of ``size`` rows and columns; the rest is as in `execute`.

        Then `type` passes on what the user types, and `follow_shell` what the shell says.  The far
        end serves nothing afterwards.
        """
        request = {
            "command": list(command),
            "environment": dict(environment),
            "user": user,
            "size": size,
        }
        self._send(request)

    def follow_shell(self, say: Callable[[bytes], None]) -> int | None:
        """Pass the shell's output to ``say`` until it ends; return its exit status."""
        return self._pass_on(None, say)

    def type(self, data: bytes) -> None:
        """Pass on what the user types; any thread may call this."""
        with suppress(OSError):  # The shell has just ended.
            self.channel.send({"typed": data})

    def resize(self, size: tuple[int, int]) -> None:
        """Change the rows and columns of the shell's terminal; any thread may call this."""
        with suppress(OSError):
            self.channel.send({"size": size})

    def _pass_on(self, seconds: float | None, say: Callable[[bytes], None]) -> int | None:
        """Pass the output to ``say``, and return the exit status; both may take ``seconds``."""
        while "said" in (answer := self._wait(seconds)):
            say(answer["said"])
        status: int | None = answer["status"]
        return status

    def fetch(self, path: str) -> bytes | None:
        """Return a file or folder of the program as a tar archive; None if it does not exist."""
        files: bytes | None = self._request({"fetch": path}, 300)["files"]
        return files

    def close(self) -> None:
        """Tell the far end to remove its files and end."""
        self.group.terminate(timeout=30)

    def _request(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request and return its answer."""
        self._send(request)
        return self._wait(seconds)

    def _send(self, request: dict[str, Any]) -> None:
        try:
            self.channel.send(request)
        except OSError:
            raise CommandError("lost the connection", 3) from None

    def _wait(self, seconds: float | None) -> dict[str, Any]:
        """Return the next answer."""
        try:
            return self._receive(seconds)
        except (EOFError, OSError):
            raise CommandError("lost the connection", 3) from None
        except self.channel.TimeoutError:
            raise CommandError(f"no answer for {seconds:.0f} s", 3) from None
        except self.channel.RemoteError as error:
            raise _make_error(error) from None

    def _receive(self, seconds: float | None) -> dict[str, Any]:
        until = math.inf if seconds is None else time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            try:
                answer: dict[str, Any] = self.channel.receive(max(0, min(left, _LONGEST_WAIT)))
                break
            except self.channel.TimeoutError:
                if left <= _LONGEST_WAIT:
                    raise
        if "error" in answer:
            raise CommandError(str(answer["error"]), 3)
        return answer


def _make_error(error: Exception) -> CommandError:
    return CommandError(f"the far end failed: {_find_gist(str(error))}", 3)


def _redirect_errors(specification: str, path: str) -> str:
    """Return the specification of the same gateway with its standard error in a file."""
    kind, slash, rest = specification.partition("//python=")
    if not kind.startswith("popen") or not slash:
        return specification
    command = f'exec {rest} "$@" 2>>{shlex.quote(path)}'
    return f"popen//python=sh -c {shlex.quote(command)} sh"


def _read_last_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            gist = _find_gist(file.read())
    except OSError:
        gist = ""
    return f": {gist}" if gist else ""


def _find_gist(text: str) -> str:
    """Return the last line that is not empty."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
