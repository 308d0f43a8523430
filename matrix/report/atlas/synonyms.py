"""Words that people search for, and the facts that do not say them."""

from __future__ import annotations

from collections.abc import Collection

from probes.selection import match

SYNONYMS = {
    "fork lock, lock inherited by a child": ("locks.*fork*", "locks.*child*", "locks.*dup*"),
    "advisory lock, file locking": ("locks.*",),
    "dual stack, ipv4-mapped, 4in6": ("sockets.v6only*", "sockets.v4mapped*", "sockets.bind_v*"),
    "zombie, defunct, reap": ("signals.sigchld*", "groups.killpg_only_zombies"),
    "interrupted system call, slow call": ("restarts.*",),
    "broken pipe": ("accepting.*sigpipe*", "files.*reader*", "accepting.write_after*"),
    "address already in use": ("sockets.*reuse*", "sockets.bind_*", "sockets.*time_wait*"),
    "connection reset by peer, aborted connection": ("accepting.*reset*",),
    "y2038, year 2038 problem": ("abi.time*", "abi.file_time*", "compilers.time_t*"),
    "large file support, 2 gb limit": ("abi.off_t*", "compilers.off_t*"),
    "non-blocking": ("accepting.*nonblock*",),
    "orphan, subreaper": ("processes.parent_death*", "processes.reaper"),
    "no space left on device": ("files.full_disk*",),
    "load balancing, thundering herd": ("sockets.reuseport*",),
    "real-time signals, queued signals": ("signals.sigrt*", "signals.pending*"),
    "daemonize, background": ("groups.daemon*", "groups.*session*"),
    "word size, 32-bit, 64-bit": ("abi.*bits",),
}
"""Phrases, by commas, and the ids or globs of what they mean."""


def find_synonyms(ids: Collection[str]) -> dict[str, str]:
    """Return on one line the phrases of each of ``ids`` that has some."""
    found: dict[str, list[str]] = {}
    for phrases, patterns in SYNONYMS.items():
        for id in dict.fromkeys(id for glob in patterns for id in _find_matches(ids, glob)):
            found.setdefault(id, []).append(phrases)
    return {id: ", ".join(phrases) for id, phrases in found.items()}


def _find_matches(ids: Collection[str], pattern: str) -> list[str]:
    # A report of another catalogue may have none of them.
    try:
        return sorted(match(ids, pattern))
    except LookupError:
        return []
