"""Choose probes by id, glob or family."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence

from .invocation import get_invocation
from .probe import Probe


def select(
    probes: Mapping[str, Probe], only: Iterable[str] = (), skip: Iterable[str] = ()
) -> dict[str, Probe]:
    """Return the probes whose id matches ``only`` (default: all) but not ``skip``.

    Both are lists of globs; a family is a glob, too: ``signals`` is ``signals.*``.  Raises
    LookupError with one line for a glob that matches nothing, and if no probe is left.
    """
    only, skip = list(only), list(skip)
    chosen: set[str] = set(probes)
    if only:
        chosen = set().union(*(match(probes, pattern) for pattern in only))
    chosen -= set().union(*(match(probes, pattern) for pattern in skip))
    if not chosen:
        raise LookupError("nothing is left to measure: --skip leaves out all that --only chose")
    return {id: probe for id, probe in probes.items() if id in chosen}


def match(probes: Iterable[str], pattern: str) -> set[str]:
    """Return the ids that match an id, a glob or a family.

    Raises LookupError for a pattern that matches nothing, with one line that names similar ids.
    """
    glob = pattern if any(c in pattern for c in ".*?[") else f"{pattern}.*"
    found = set(fnmatch.filter(probes, glob))
    if not found:
        near = _find_similar(list(probes), pattern)
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        raise LookupError(
            f"no probe matches {pattern!r}: {meant}`{get_invocation()} list` names them all"
        )
    return found


def _find_similar(ids: Sequence[str], pattern: str) -> list[str]:
    """Return at most three ids or families that the user may have meant by ``pattern``."""
    import difflib

    wanted = pattern.lower()
    named = [id for id in ids if wanted in (id, id.partition(".")[2])]
    if named:
        return named[:3]
    families = dict.fromkeys(id.partition(".")[0] for id in ids)
    written = {**{id.partition(".")[2]: id for id in ids}, **{name: name for name in families}}
    written.update((id, id) for id in ids)
    family = wanted[: -len(".*")] if wanted.endswith(".*") else wanted
    close = difflib.get_close_matches(family, written, n=3, cutoff=0.75)
    return list(dict.fromkeys(written[name] for name in close))
