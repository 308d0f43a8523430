"""Debian's archive, from which boxes are built: can it be reached?"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import subprocess

from matrix import network

DEFAULT = "http://deb.debian.org/debian"


def lacks(hosts_own: bool = False) -> str:
    """Return why nothing can be fetched, and what to type then; empty if it can.

    ``hosts_own`` asks for the archive of the host's own apt, where MATRIX_MIRROR names none.
    """
    url = os.environ.get("MATRIX_MIRROR") or (_hosts() if hosts_own else "") or DEFAULT
    if _apt_has_a_proxy():
        return ""  # apt knows the way.
    if why := network.unreachable(url):
        return f"{why}; for another mirror: export MATRIX_MIRROR=URL"
    return ""


def _hosts(folder: str = "/etc/apt") -> str:
    """Return the first archive that apt's folder names; empty if there is none."""
    for path in [f"{folder}/sources.list", *sorted(glob.glob(f"{folder}/sources.list.d/*"))]:
        with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
            for line in file:
                if found := re.match(r"(?:deb|URIs:)\s.*?(\w+://\S+)", line):
                    return found[1]
    return ""


def _apt_has_a_proxy() -> bool:
    command = ["apt-config", "dump", "--format", "%f=%v%n"]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        said = subprocess.run(command, capture_output=True, text=True, timeout=2, check=False)
        return bool(re.search(r"(?mi)^Acquire::.*proxy.*=.", said.stdout))
    return False
