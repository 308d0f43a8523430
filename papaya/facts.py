"""Facts: read them from a report or measure them, and compare them with what a setting needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from probes import Report

Answer = bool | int | str | None


def read_facts(path: str) -> Report:
    """Read the report in a file.  Raise CommandError."""
    import probes

    return probes.Report.load(path)


def measure_facts(ids: Iterable[str]) -> Report:
    """Measure the facts ``ids`` on this host.  Raise CommandError.

    The lab may run in a fork, in half the time of a fresh interpreter, because the command has
    just started: it has no threads, handlers or descriptors that the lab would measure instead.
    """
    import probes

    return probes.measure(only=ids, fresh=False)


def measure_facts_again(ids: Iterable[str], repeat: int) -> Report:
    """Measure the facts ``ids``, ``repeat`` times each.  Raise CommandError.

    The lab runs in a fresh interpreter, so that this process cannot be the cause of an answer.
    """
    import probes

    return probes.measure(only=ids, repeat=repeat)


def list_contradictions(wanted: Mapping[str, Answer], report: Report) -> list[str]:
    """Return each fact that does not have the wanted answer, with its answer.

    A fact without an answer contradicts nothing, unless the platform lacks its subject.
    """
    found = []
    for id, value in wanted.items():
        fact = report.get(id)
        lacking = fact is not None and fact.status == "unsupported"
        if fact and (lacking or (fact.measured and fact.value != value)):
            found.append(f"{id} is {fact.answer}")
    return found


def list_unmeasured(ids: Iterable[str], report: Report) -> list[str]:
    """Return the ids of the facts whose answer is not in the report."""
    unmeasured = []
    for id in ids:
        fact = report.get(id)
        if fact is None or not fact.measured:
            unmeasured.append(id)
    return unmeasured


def list_answers(ids: Iterable[str], report: Report) -> dict[str, str]:
    """Return the answers of the facts that are in the report, by id."""
    facts = ((id, report.get(id)) for id in dict.fromkeys(ids))
    return {id: fact.answer for id, fact in facts if fact}
