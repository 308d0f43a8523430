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
from .numbers import check_numbers
from .processes import get_state, is_proc_ours, list_children, watch
from .proof import Unproven, new_process
from .signals import (
    MEANINGLESS_FLAGS,
    Sigaction,
    find_sigaction_layout,
    get_flag,
    make_signal_set,
    measure_sigset_t,
    name_flags,
    sigaction,
)
from .structures import flock, make_unix_address, pollfd, sockaddr, time_t, timespec, timeval

__all__ = [
    "MEANINGLESS_FLAGS",
    "Sigaction",
    "Unproven",
    "check_numbers",
    "find_sigaction_layout",
    "flock",
    "get_flag",
    "get_state",
    "is_proc_ours",
    "list_children",
    "look",
    "make_signal_set",
    "make_unix_address",
    "measure_sigset_t",
    "name_flags",
    "new_process",
    "pollfd",
    "proof",
    "sigaction",
    "sockaddr",
    "time_t",
    "timespec",
    "timeval",
    "watch",
]

_ALL: dict[str, Callable[[], Any]] = {
    "numbers": check_numbers,
    "sigaction": find_sigaction_layout,
    "sigset_t": lambda: f"{measure_sigset_t()} bytes",
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
