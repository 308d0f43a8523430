"""What the lab looks through, proven on this host before the first probe.

A fact is worth no more than the layout, the constant or the tool it was read with.  So nothing
here is taken from a table of platforms: a structure's fields are where a call whose effect is
known shows them to be, and the flags are the bits that do what their names say.  What cannot be
proven raises `Blocked` wherever it is needed, always with the same reason, so that a fact is
either measured through something proven or not measured at all.

A trial that could end the process, as one with a wrong layout might, is made in a child.
"""

from __future__ import annotations

import ctypes
from typing import Any, Callable

from ..probe import Blocked, Unsupported
from . import proof, structures
from .numbers import numbers
from .processes import children, proc_is_ours, state, watch
from .proof import Unproven, new_process
from .signals import (
    MEANINGLESS_FLAGS,
    Sigaction,
    flag,
    flag_names,
    layout_of_sigaction,
    sigaction,
    signal_set,
    sigset_t_bytes,
)
from .structures import flock, pollfd, sockaddr, time_t, timespec, timeval, unix_address

__all__ = [
    "MEANINGLESS_FLAGS",
    "Sigaction",
    "Unproven",
    "children",
    "flag",
    "flag_names",
    "flock",
    "layout_of_sigaction",
    "look",
    "new_process",
    "numbers",
    "pollfd",
    "proc_is_ours",
    "proof",
    "sigaction",
    "signal_set",
    "sigset_t_bytes",
    "sockaddr",
    "state",
    "time_t",
    "timespec",
    "timeval",
    "unix_address",
    "watch",
]

_ALL: dict[str, Callable[[], Any]] = {
    "numbers": numbers,
    "sigaction": layout_of_sigaction,
    "sigset_t": lambda: f"{sigset_t_bytes()} bytes",
    "time_t": lambda: f"{8 * ctypes.sizeof(time_t())} bits",
    "timespec": timespec,
    "timeval": timeval,
    "pollfd": pollfd,
    "flock": flock,
    "sockaddr": sockaddr,
    "processes": watch,
}


def look(folder: str = "") -> dict[str, str]:
    """Prove everything now.  Return what was found, for the report's environment.

    ``folder`` is where a file for a trial may be made; by default that of temporary files.
    """
    structures.folder = folder or structures.folder
    found = {}
    for name, see in _ALL.items():
        try:
            found[name] = str(see())
        except (Blocked, Unsupported) as why:
            found[name] = f"unproven: {why}"
    return found
