"""Format numbers, intervals and counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .statistics import Interval


def format_number(value: float | None) -> str:
    """Return three significant digits: ``0.0123``, ``2.10``, ``1,234``; a dash for None."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    # The alternate form keeps significant zeros, and also a trailing point, which is removed.
    return (
        "0" if value == 0 else f"{value:#.3g}".rstrip(".") if abs(value) >= 1e-4 else f"{value:.1e}"
    )


def format_interval(interval: Interval | None, unit: str = "") -> str:
    """Return ``2.10 (1.90 to 2.40)``; the unit follows the value."""
    if interval is None:
        return "-"
    if interval.low is None or interval.high is None:
        return f"{format_number(interval.value)}{unit}"
    low, high = format_number(interval.low), format_number(interval.high)
    return f"{format_number(interval.value)}{unit} ({low} to {high})"


def format_count(count: int, what: str = "trial") -> str:
    """Return ``1 trial``, ``5 trials``."""
    return f"{count} {what}{'s' * (count != 1)}"
