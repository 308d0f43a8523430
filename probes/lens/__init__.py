"""What the lab looks through, proven on this host before the first probe.

A fact is worth no more than the layout, the constant or the tool that it was read with.  So
nothing here comes from a table of platforms: the fields of a structure are where a call of known
effect shows them, and the flags are the bits that do what their names say.  If something cannot
be proven, each use of it raises `Blocked` with the same reason, so that a fact is either measured
through something proven or not measured.

A trial that could crash the process, for example with a wrong layout, runs in a child.
"""

from __future__ import annotations

import ctypes
from typing import Any, Callable

from ..probe import Blocked, Unsupported
from . import proof, structures
from .numbers import check_numbers
from .processes import get_state, is_proc_ours, list_children, watch
from .proof import Unproven, fork_process
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
from .structures import (
    fd_set,
    flock,
    make_unix_address,
    pollfd,
    sockaddr,
    time_t,
    timespec,
    timeval,
)

__all__ = [
    "MEANINGLESS_FLAGS",
    "Sigaction",
    "Unproven",
    "check_numbers",
    "fd_set",
    "find_sigaction_layout",
    "flock",
    "fork_process",
    "get_flag",
    "get_state",
    "is_proc_ours",
    "list_children",
    "look",
    "make_signal_set",
    "make_unix_address",
    "measure_sigset_t",
    "name_flags",
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
    "fd_set": fd_set,
    "flock": flock,
    "sockaddr": sockaddr,
    "processes": watch,
}


def look(folder: str = "") -> dict[str, str]:
    """Prove everything now; return what was found, for the report's environment.

    Files for trials are made in ``folder``, by default where temporary files go.
    """
    structures.folder = folder or structures.folder
    found = {}
    for name, find in _ALL.items():
        try:
            found[name] = str(find())
        except (Blocked, Unsupported) as why:
            found[name] = f"unproven: {why}"
    return found
