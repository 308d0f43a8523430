"""Numbers, intervals and counts as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .statistics import Interval


def number(value: float | None) -> str:
    """Three digits that count: ``0.0123``, ``2.10``, ``1,234``; a dash for None."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    # Alternate form keeps the zeros that count, and a point that does not.
    return (
        "0" if value == 0 else f"{value:#.3g}".rstrip(".") if abs(value) >= 1e-4 else f"{value:.1e}"
    )


def told(interval: Interval | None, unit: str = "") -> str:
    """``2.10 (1.90 to 2.40)``; the unit follows the value."""
    if interval is None:
        return "-"
    if interval.low is None or interval.high is None:
        return f"{number(interval.value)}{unit}"
    return f"{number(interval.value)}{unit} ({number(interval.low)} to {number(interval.high)})"


def plural(count: int, what: str = "start") -> str:
    """``1 start``, ``5 starts``."""
    return f"{count} {what}{'s' * (count != 1)}"
