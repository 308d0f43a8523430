"""The targets of tests.fuzz, with bytes that hypothesis makes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import SEEDS, TARGETS


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=60)
@given(data=st.data())
def test_whatever_bytes_come(name: str, data: st.DataObject) -> None:
    """Bytes, and parts of what the target is meant to read."""
    parts = st.sampled_from(SEEDS[name]) | st.binary(max_size=40)
    TARGETS[name](data.draw(st.lists(parts, max_size=6).map(b"".join)))
