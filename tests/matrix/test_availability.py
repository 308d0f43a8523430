"""Test which cells are found to run here."""

from __future__ import annotations

from matrix.availability import Way, examine_ways, list_available
from matrix.cell import Cell

LACKS = "no working python9.9 on the PATH: install it"


def make_cell(name: str, *arguments: str) -> Cell:
    return Cell(name, ways=tuple(("here", argument) for argument in arguments))


def test_each_provider_says_what_it_lacks() -> None:
    assert examine_ways(make_cell("box", "python9.9", "")) == [
        Way("here:python9.9", LACKS, ""),
        Way("here", "", ""),
    ]


def test_a_cell_can_run_if_one_of_its_providers_can() -> None:
    cells = [make_cell("a", "python9.9"), make_cell("b", "python9.9", ""), make_cell("c", "")]
    assert [cell.name for cell in list_available(cells)] == ["b", "c"]
