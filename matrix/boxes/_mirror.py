"""Debian's archive, from which boxes are built: can it be reached?"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import subprocess

from matrix import network

DEFAULT = "http://deb.debian.org/debian"


def explain_lack(hosts_own: bool = False) -> str:
    """Return why nothing can be fetched, and what to type; empty if it can be.

    With ``hosts_own`` and without MATRIX_MIRROR, the archive is that of the host's apt.
    """
    url = os.environ.get("MATRIX_MIRROR") or (_find_hosts_archive() if hosts_own else "") or DEFAULT
    if _has_apt_proxy():
        return ""  # apt fetches through its proxy.
    if why := network.explain_unreachable(url):
        return f"{why}; for another mirror: export MATRIX_MIRROR=URL"
    return ""


def _find_hosts_archive(folder: str = "/etc/apt") -> str:
    """Return the first archive in apt's folder; empty if there is none."""
    for path in [f"{folder}/sources.list", *sorted(glob.glob(f"{folder}/sources.list.d/*"))]:
        with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
            for line in file:
                if found := re.match(r"(?:deb|URIs:)\s.*?(\w+://\S+)", line):
                    return found[1]
    return ""


def _has_apt_proxy() -> bool:
    command = ["apt-config", "dump", "--format", "%f=%v%n"]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        said = subprocess.run(command, capture_output=True, text=True, timeout=2, check=False)
        return bool(re.search(r"(?mi)^Acquire::.*proxy.*=.", said.stdout))
    return False
