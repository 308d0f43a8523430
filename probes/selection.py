"""Choose probes: by id, glob or family, or by words."""

from __future__ import annotations

import fnmatch
import re
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


_ALSO = {"tty": "terminal", "terminal": "tty"}
"""Words that mean the same."""


def search(probes: Mapping[str, Probe], words: str) -> set[str]:
    """Return the ids of the probes whose id, question, matters or advice has most of ``words``.

    Look at the beginnings of words first, and inside words only if nothing is found.  Return
    nothing if no probe has a word, and if ``words`` is an id, a glob or a family.
    """
    families = {probe.family for probe in probes.values()}
    if any(c in words for c in "*?[") or words in probes or words in families:
        return set()
    texts = {
        probe.id: "\n".join((probe.id, probe.question, probe.matters, probe.advice)).lower()
        for probe in probes.values()
    }
    spellings = [{word, _ALSO.get(word, word)} for word in words.lower().split()]
    for before in ("(?<![a-z0-9])", ""):
        patterns = [re.compile(before + f"(?:{'|'.join(map(re.escape, s))})") for s in spellings]
        held = {id: sum(bool(p.search(text)) for p in patterns) for id, text in texts.items()}
        most = max(held.values(), default=0)
        if most:
            return {id for id, number in held.items() if number == most}
    return set()
