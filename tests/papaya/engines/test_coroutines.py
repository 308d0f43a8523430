"""The engine `coroutines`: what only a single process can suffer."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from papaya.config import Config
from papaya.engines.coroutines import Coroutines


def test_an_error_in_the_daemon_ends_the_service_instead_of_being_repeated() -> None:
    """A supervisor starts it again; a loop that fails for ever serves no one."""
    reading, writing = os.pipe()
    os.write(writing, b"x")
    calls = []

    def step(seconds: float) -> None:
        calls.append(seconds)
        raise ZeroDivisionError

    service: Any = SimpleNamespace(
        context=SimpleNamespace(config=Config()), selector=reading, step=step, ending=False
    )
    with pytest.raises(ZeroDivisionError):
        Coroutines(service).run()
    assert len(calls) == 1
    os.close(reading)
    os.close(writing)
