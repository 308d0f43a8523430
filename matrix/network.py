"""Can a server be reached?  Asked before a box is fetched, to answer within two seconds."""

from __future__ import annotations

import functools
import socket
import threading
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

_SECONDS = 2.0
_PORTS = {"http": 80, "https": 443}


@functools.cache
def explain_unreachable(url: str) -> str:
    """Return why the server of ``url``, or its proxy, cannot be reached; empty if it can."""
    try:
        server = urlsplit(url)
        if server.scheme not in _PORTS or not server.hostname:
            return ""  # A folder or a disk, for instance.
        proxy = getproxies().get(server.scheme, "")
        if proxy and not proxy_bypass(server.hostname):
            server = urlsplit(proxy if "//" in proxy else f"//{proxy}")
        host, port = server.hostname or "", server.port or _PORTS.get(server.scheme, 80)
    except ValueError as error:
        return f"{url} is not an address ({error})"
    said: list[str] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=_SECONDS).close()
            said.append("")
        except OSError as error:
            said.append(error.strerror or str(error))

    # In a thread, because a name look-up has no time limit.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    why = said[0] if said else f"no answer within {_SECONDS:.0f} s"
    return f"{host} cannot be reached ({why})" if why else ""
