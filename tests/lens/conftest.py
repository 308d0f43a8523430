"""Fixtures: a lens that has not looked yet, and a C library with other answers."""

from __future__ import annotations

from typing import Any, Callable, Optional

import pytest

from probes import libc
from probes.lens import proof, structures

Change = Callable[[str, Callable[..., Any]], None]


@pytest.fixture(autouse=True)
def nothing_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what the lens has found, before the test and after it."""
    monkeypatch.setattr(proof, "_seen", {})
    monkeypatch.setattr(structures, "folder", "")


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch) -> Change:
    """Return a function that replaces a call of the C library by ``other(real, *arguments)``."""

    def change(name: str, other: Callable[..., Any]) -> None:
        before = libc.call

        def real(*arguments: Any) -> int:
            return before(name, *arguments)

        def call(asked: str, *arguments: Any) -> Any:
            return other(real, *arguments) if asked == name else before(asked, *arguments)

        monkeypatch.setattr(libc, "call", call)

    return change


def failing(number: int) -> Callable[..., Optional[int]]:
    """Return a call for `change` that fails with this error."""

    def fail(*_: Any) -> None:
        raise OSError(number, "failed on purpose")

    return fail
