"""Test the words that the search of the atlas knows."""

from __future__ import annotations

import pytest

from matrix.report.atlas.synonyms import SYNONYMS, find_synonyms
from probes.load_catalogue import load_catalogue
from probes.selection import match


@pytest.mark.parametrize("phrases", SYNONYMS)
def test_synonyms_add_what_the_facts_do_not_say(phrases: str) -> None:
    probes = load_catalogue()
    also = find_synonyms(probes)
    for pattern in SYNONYMS[phrases]:
        for id in match(probes, pattern):
            assert phrases in also[id]
    for phrase in phrases.split(", "):
        texts = (
            f"{probe.id}\n{probe.question}\n{probe.matters}\n{probe.advice}".lower()
            for probe in (probes[id] for id, phrases_of in also.items() if phrases in phrases_of)
        )
        assert not all(all(word in text for word in phrase.split()) for text in texts), phrase
