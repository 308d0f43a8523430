"""Connection: where a connection comes from, whether it is a client yet, and how it can end."""

from __future__ import annotations

from dataclasses import dataclass

WRONG_KEY, NO_KEY, FULL = "wrong key", "no key in time", "too many clients"
LEFT, STALLED = "left", "stalled"
"""How a connection ends.  The first three are logged as refusals (deploy/fail2ban-papaya.conf)."""


@dataclass
class Connection:
    """An accepted connection; it becomes a client when it has sent the key."""

    host: str
    port: int
    is_client: bool = False

    def __str__(self) -> str:
        return f"{self.host} port {self.port}"
