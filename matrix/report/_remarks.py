"""What is said below a table: what its signs mean, and how many facts differ."""

from __future__ import annotations

from collections.abc import Iterator

from ..table import DOCUMENTED, MEASURED_HERE, NOT_KNOWN, Table


def list_remarks(table: Table, total: int) -> Iterator[str]:
    """Yield the remarks; ``total`` is the number of facts, also of those not shown."""
    entries = [entry for row in table.rows for entry in row.entries]
    broken = sum(entry.breaks_promise for entry in entries)
    if any(column.kind == MEASURED_HERE for column in table.columns):
        yield "*    measured here"
    if any(entry.status == DOCUMENTED for entry in entries):
        yield "( )  documented, not measured"
    if broken:
        yield f"!    measured, and not what the platform documents ({broken})"
    if any(entry.status == NOT_KNOWN for entry in entries):
        yield "?    unknown"
    yield f"{sum(row.differs for row in table.rows)} of {total} facts differ"
