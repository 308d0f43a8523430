"""Checks of numbers that several commands take as options."""

from __future__ import annotations

import math

from probes.errors import CommandError


def check_positive(**options: float | None) -> None:
    """Raise CommandError if an option is given and is not a finite number above 0."""
    for name, value in options.items():
        if value is not None and not 0 < value < math.inf:
            raise CommandError(f"--{name.replace('_', '-')} must be more than 0")


def check_warmup(seconds: float) -> None:
    """Raise CommandError if the seconds of warm-up are negative or not finite."""
    if not 0 <= seconds < math.inf:
        raise CommandError("--warmup must be 0 or more")
