"""Connection: where a connection comes from, and how a client ends."""

from __future__ import annotations

from dataclasses import dataclass

LEFT, STALLED = "left", "stalled"
"""How a client ends: it left, or it read nothing for too long."""


@dataclass(frozen=True)
class Connection:
    """The peer of an accepted connection."""

    host: str
    port: int
    since: int = 0
    """The stamp of the last line that the client was sent before, 0 if it did not say."""

    def __str__(self) -> str:
        return f"{self.host} port {self.port}"
