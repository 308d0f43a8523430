"""Find facts by words: a question, a call, or what a user sees go wrong."""

from __future__ import annotations

import errno
import math
import os
import re
import signal
from collections import Counter
from collections.abc import Collection, Mapping

from .probe import Probe

MOST = 10
"""As many facts are found at most."""

_SATURATION = 12.0
"""The weight from which on more of the same word says little (k1 of BM25)."""
_LEAST = 0.5
"""What a fact must have of the best one's score."""

_WORD = re.compile(r"\d+(?:\.\d+)+|[a-z0-9]+(?:_[a-z0-9]+)*")
_NOISE = frozenset(
    _WORD.findall(
        "a about after all also an and any are as at be been being both but by can could"
        " did do does each even for from get gets give gives had has have how i if in into"
        " is it its may me my no not of on once one only or other our out over s same should"
        " so some t than that the their them then there they this those though to too under"
        " up us use used uses using was we were what when where which while who whose why"
        " will with would you"
    )
)
_OF_A_SYSTEM = 0.2
"""How much the name of a system counts: most facts differ between systems."""
_SIGNALS = frozenset(each.name.lower() for each in signal.Signals)
_SAME = {
    "children": "child",
    "console": "terminal",
    "crash": "kill",
    "died": "kill",
    "dies": "kill",
    "disappear": "lost",
    "disappears": "lost",
    "fd": "descriptor",
    "fds": "descriptor",
    "freeze": "hang",
    "freezes": "hang",
    "frozen": "hang",
    "gone": "lost",
    "inet": "ipv4",
    "inet6": "ipv6",
    "lose": "lost",
    "loses": "lost",
    "pty": "terminal",
    "sleep": "nanosleep",
    "sleeps": "nanosleep",
    "stuck": "hang",
    "subprocess": "child",
    "tty": "terminal",
    "v4": "ipv4",
    "v6": "ipv6",
    "vanish": "lost",
    "vanishes": "lost",
}
"""Words that users write, and those that stand for them here."""


def find(probes: Mapping[str, Probe], words: str) -> list[str]:
    """Return the ids of at most `MOST` facts that ``words`` mean, the best first.

    Words of the symptoms, the id and the question count more than those of why it matters, and
    those more than the advice; rare words count more than common ones (Okapi BM25).  Texts of
    errors, such as "Broken pipe", find their names.
    """
    named = [id for id, probe in probes.items() if words.strip().lower() == probe.name]
    if named:
        return named
    weights = {id: _weigh_words(probe) for id, probe in probes.items()}
    scores: dict[str, float] = dict.fromkeys(weights, 0.0)
    for spellings in _read_query(words, {word for each in weights.values() for word in each}):
        held = {id: sum(w[word] for word in spellings if word in w) for id, w in weights.items()}
        holders = sum(1 for weight in held.values() if weight)
        rarity = math.log(1 + (len(held) - holders + 0.5) / (holders + 0.5))
        if _SYSTEMS.intersection(spellings):
            rarity *= _OF_A_SYSTEM
        for id, weight in held.items():
            scores[id] += rarity * weight / (weight + _SATURATION)
    best = sorted(scores.items(), key=lambda item: -item[1])[:MOST]
    return [id for id, score in best if score and score >= _LEAST * best[0][1]]


def _weigh_words(probe: Probe) -> dict[str, float]:
    """Return each word of what is known of a fact, and how much it counts."""
    weights: Counter[str] = Counter()
    for weight, text in (
        (6, probe.id),
        (6, probe.question),
        (6, "\n".join(probe.symptoms)),
        (3, probe.matters),
        (1, probe.advice),
    ):
        for word in set(_split(text)):
            weights[word] += weight
    return dict(weights)


def _read_query(text: str, known: Collection[str]) -> list[list[str]]:
    """Return, for each word that is known, the known words that it stands for: itself.

    If none is known, a word stands for those that begin with it; if none does, that hold it.
    """
    words = _split("\n".join([text, *_list_errors(text.lower())]))
    if len(text.split()) == 1:
        words = words[:1]  # Of a name alone, its parts are not meant.
    found = [[word] for word in dict.fromkeys(words) if word in known]
    for is_meant in (str.startswith, str.__contains__):
        if not found:
            found = [[k for k in known if is_meant(k, word)] for word in words]
            found = [spellings for spellings in found if spellings]
    return found


def _list_errors(text: str) -> list[str]:
    """Return the names of the errors whose texts are in ``text``."""
    names = [name for name in dir(errno) if name.startswith("E")]
    return [name for name in names if os.strerror(getattr(errno, name)).lower() in text]


def _split(text: str) -> list[str]:
    """Return the words of a text, and the parts of names such as ``SA_RESTART``, as stems."""
    names = _WORD.findall(text.lower().replace("'s", ""))
    words = [word for name in names for word in dict.fromkeys([name, *name.split("_")])]
    words += [word[len("sig") :] for word in words if word in _SIGNALS]
    return [_stem(_SAME.get(word, word)) for word in words if word not in _NOISE]


def _stem(word: str) -> str:
    """Return a word without the endings of English verbs and plurals."""
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) > len(ending) + 2 and not word.endswith("ss"):
            word = word[: -len(ending)]
            if ending != "s" and len(word) > 3 and word[-1] == word[-2] not in "lsz":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


_SYSTEMS = frozenset(
    _split("BSD Darwin FreeBSD illumos Linux macOS NetBSD OpenBSD OSX Solaris Ubuntu Unix")
)
