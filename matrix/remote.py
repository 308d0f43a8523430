"""A platform that is up: measure it, and see whether the chat works there, over execnet."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from typing import Any

import execnet

from probes import Report
from probes.errors import CommandError, ReportError

from . import remote_agent, remote_bundle

_MOST_CLOCK_OFF = 300
"""Seconds the far clock may be wrong: more, and its times and certificates mean nothing."""


class Platform:
    """The far end of a gateway; to be closed."""

    def __init__(self, specification: str, errors: str) -> None:
        """``errors`` is the file that takes what the far end says outside the channel.

        Raises CommandError where there is no Python that could answer.
        """
        self.group = execnet.Group()
        try:
            gateway = self.group.makegateway(_with_errors_to(specification, errors))
            self.channel = gateway.remote_exec(remote_agent)
            greeting = self._receive(60)
        except (execnet.HostNotFound, EOFError, OSError, ReferenceError):
            self.close()
            raise CommandError(f"no Python answered there{_last_line(errors)}", 3) from None
        except execnet.RemoteError as error:
            self.close()
            raise _failed(error) from None
        except BaseException:
            self.close()
            raise
        self.python = str(greeting["python"])
        off = greeting["clock"] - time.time()
        if abs(off) > _MOST_CLOCK_OFF:
            self.close()
            raise CommandError(f"its clock is {off:+.0f} s off: set it (NTP, or date as root)", 3)

    def send(self) -> None:
        """Send the lab and papaya."""
        self._ask({"archive": remote_bundle.packed()}, 120)

    def measure(self, deadline: float) -> Report:
        """Every fact.  Raises CommandError where the lab itself fails there."""
        arguments = ["probes", "report", "--format", "json"]
        request = {"run": arguments, "seconds": deadline, "keep": "report.json"}
        answer = self._ask(request, deadline + 60)
        if answer["status"] is None:
            raise CommandError(f"the lab did not end there within {deadline:.0f} s", 3)
        try:
            return Report.loads(answer["out"])
        except ReportError:
            said = _gist(answer["errors"]) or f"status {answer['status']}"
            raise CommandError(f"the lab failed there: {said}", 3) from None

    def selftest(self, engines: Sequence[str], deadline: float) -> dict[str, dict[str, Any]]:
        """`papaya selftest` of all ``engines``, by the report of `measure`.

        By engine every check with True or what went wrong.  One process for all: where an
        interpreter takes seconds to start, most of the time is that.
        """
        arguments = ["papaya", "selftest", "--report", "report.json", "--json"]
        answer = self._ask({"run": arguments, "seconds": deadline}, deadline + 60)
        if answer["status"] is None:
            said = f"did not end within {deadline:.0f} s"
        else:
            try:
                found = json.loads(answer["out"])["engines"]
                return {engine: found[engine] for engine in engines}
            except (ValueError, KeyError):
                said = _gist(answer["errors"]) or f"status {answer['status']}"
        return {engine: {"selftest": said} for engine in engines}

    def close(self) -> None:
        """Let the far end remove what it has, and end."""
        self.group.terminate(timeout=30)

    def _ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        try:
            self.channel.send(request)
            return self._receive(seconds)
        except (EOFError, OSError):
            raise CommandError("it went away in the middle", 3) from None
        except self.channel.TimeoutError:
            raise CommandError(f"it did not answer for {seconds:.0f} s", 3) from None
        except self.channel.RemoteError as error:
            raise _failed(error) from None

    def _receive(self, seconds: float) -> dict[str, Any]:
        answer: dict[str, Any] = self.channel.receive(seconds)
        if "error" in answer:
            raise CommandError(str(answer["error"]), 3)
        return answer


def _failed(error: Exception) -> CommandError:
    return CommandError(f"it failed there: {_gist(str(error))}", 3)


def _with_errors_to(specification: str, path: str) -> str:
    """The same gateway with its standard error in a file, and not among our lines."""
    kind, slash, rest = specification.partition("//python=")
    if not kind.startswith("popen") or not slash:
        return specification
    command = f'exec {rest} "$@" 2>>{shlex.quote(path)}'
    return f"popen//python=sh -c {shlex.quote(command)} sh"


def _last_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            gist = _gist(file.read())
    except OSError:
        gist = ""
    return f": {gist}" if gist else ""


def _gist(text: str) -> str:
    """The last line of it that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
