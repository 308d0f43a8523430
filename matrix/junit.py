"""Read a program's JUnit files, one per cell, and find the tests that differ between cells.

pytest, CTest, prove, Go's and Rust's reporters and many others write such files.  Source of the
format: junit-10.xsd of Jenkins' xunit plugin, of which every writer keeps to a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from probes.errors import CommandError

if TYPE_CHECKING:
    # Imported where it is used: every command imports this module, and few read XML.
    from xml.etree.ElementTree import Element

PASSED, SKIPPED, FAILED, ERROR = RESULTS = ("passed", "skipped", "failed", "error")
"""What a test ends with, from best to worst."""


def read_results(path: str) -> dict[str, str]:
    """Return the result of each test in a JUnit file, by ``CLASS::NAME``.

    If two tests have one name, it has the worse result.  Raise CommandError if the file cannot be
    read, or is not a JUnit file.
    """
    results: dict[str, str] = {}
    for case in _load(path).iter("testcase"):
        name = "::".join(filter(None, [case.get("classname"), case.get("name")]))
        ended = {SKIPPED: "skipped", FAILED: "failure", ERROR: "error"}
        found = [result for result, tag in ended.items() if case.find(tag) is not None]
        results[name] = max([results.get(name, PASSED), *found], key=RESULTS.index)
    return results


def _load(path: str) -> Element:
    from xml.etree import ElementTree

    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    except ElementTree.ParseError as error:
        raise CommandError(f"{path}: not a JUnit file: {error}") from None
    if root.tag not in ("testsuites", "testsuite"):
        raise CommandError(f"{path}: not a JUnit file: its first element is {root.tag}")
    return root


def merge_files(paths: Mapping[str, str], merged: str) -> None:
    """Write one JUnit file of those of the cells, each suite and class after its cell's name."""
    from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

    root = Element("testsuites")
    for cell, path in paths.items():
        for suite in _load(path).iter("testsuite"):
            added = SubElement(root, "testsuite", {**suite.attrib, "name": cell})
            if name := suite.get("name"):
                added.set("name", f"{cell}: {name}")
            # A suite inside another is met by itself.
            added.extend(child for child in suite if child.tag != "testsuite")
            for case in suite.findall("testcase"):
                case.set("classname", ".".join(filter(None, [cell, case.get("classname")])))
    indent(root)
    ElementTree(root).write(merged, "utf-8", xml_declaration=True)


def count_results(results: Mapping[str, str]) -> str:
    """Return ``41 tests: 39 passed, 2 failed``."""
    found = list(results.values())
    counts = ", ".join(f"{found.count(one)} {one}" for one in RESULTS if one in found)
    return f"{_count_tests(len(found))}: {counts}" if found else "no tests"


def _count_tests(number: int) -> str:
    return "1 test" if number == 1 else f"{number} tests"


def list_differing(results: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return the results by test and cell of those tests that did not end alike on all cells.

    ``results`` are by cell and test.  A cell that did not run a test has no result for it.
    """
    names = dict.fromkeys(name for found in results.values() for name in found)
    by_test = {
        name: {cell: found[name] for cell, found in results.items() if name in found}
        for name in names
    }
    return {
        name: by_cell
        for name, by_cell in by_test.items()
        if len(by_cell) < len(results) or len({*by_cell.values()}) > 1
    }


def describe_differing(results: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the lines of a table: tests by cells, only those that differ."""
    names = {name for found in results.values() for name in found}
    differing = list_differing(results)
    if not differing:
        return [
            f"{_count_tests(len(names))}, each with the same result on all {len(results)} cells"
        ]
    lines = [f"tests that differ: {len(differing)} of {len(names)}"]
    rows = [["", *results]]
    for name, by_cell in differing.items():
        rows.append([name, *(_emphasize(by_cell.get(cell, "-")) for cell in results)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        lines.append(f"  {'  '.join(cells)}".rstrip())
    return lines


def _emphasize(result: str) -> str:
    return result.upper() if result in (FAILED, ERROR) else result


def pair_failing(results: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return each cell on which a test failed that passed elsewhere, with the first such cell."""
    pairs: dict[str, str] = {}
    for by_cell in list_differing(results).values():
        passed = [cell for cell, result in by_cell.items() if result == PASSED]
        failed = [cell for cell, result in by_cell.items() if result in (FAILED, ERROR)]
        if passed:
            for cell in failed:
                pairs.setdefault(cell, passed[0])
    return pairs
