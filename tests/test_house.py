"""The house is in order: what a machine can check of architecture, names and language.

ruff checks the first word of docstrings (D401), mypy the types.  Here: who imports whom, one test
file per module, functions that are verbs, words that the style page rules out, no banners.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.worlds import ROOT

PACKAGES = ("probes", "papaya", "matrix")
MAY_IMPORT = {"probes": set(), "papaya": {"probes"}, "matrix": {"probes", "papaya"}}
HIGHEST_LEVEL = 6
"""No module of papaya has a longer chain of imports below it, within papaya."""
ABOVE = {"papaya.commands.experiment": "the one command that knows both measuring and reports"}

EXCEPTIONS: dict[str, dict[str, str]] = {
    "the front of a program or package: it is tested by running it": {
        "probes": "test_api.py",
        "probes.__main__": "test_cli.py",
        "probes.errors": "test_command_line.py",
        "probes.version": "test_packaging.py",
        "probes.catalogue": "test_readme.py",
        "probes.renderings": "renderings/test_formats.py",
        "papaya": "papaya/test_cli.py",
        "papaya.__main__": "papaya/test_cli.py",
        "papaya.commands": "papaya/test_cli.py",
        "papaya.engines": "papaya/engines/test_delivery.py",
        "matrix": "matrix/test_run.py",
        "matrix.__main__": "matrix/test_run.py",
        "matrix.cli": "matrix/test_run.py",
        "matrix.errors": "matrix/test_run.py",
        "matrix.boxes": "matrix/test_run.py",
        "matrix.providers": "matrix/test_cell.py",
        "matrix.report": "matrix/test_table.py",
    },
    "a part of every measurement: the families and the changed worlds test it": {
        "probes.absent": "test_bare.py",
        "probes.ask": "commands/test_debug.py",
        "probes.harness.blocking": "catalogue/test_restarts.py",
        "probes.harness.children": "catalogue/test_processes.py",
        "probes.harness.privileges": "catalogue/test_groups.py",
        "probes.harness.sockets": "catalogue/test_sockets.py",
        "probes.load_catalogue": "test_bare.py",
        "probes.pool": "test_runner.py",
        "probes.sandbox": "test_runner.py",
        "probes.strace": "commands/test_debug.py",
    },
    "options or output of a command: the tests of the command test it": {
        "probes.commands.input": "commands/test_gate.py",
        "probes.commands.options": "commands/test_report.py",
        "probes.render_comparison": "commands/test_diff.py",
        "probes.terminal": "commands/test_report.py",
        "papaya.commands.chat": "papaya/client/test_plain.py",
        "papaya.commands.key": "papaya/test_key.py",
        "papaya.commands.load": "papaya/load/test_constant_rate.py",
        "papaya.commands.selftest": "papaya/test_selftest.py",
        "papaya.commands.status": "papaya/server/test_status.py",
        "matrix.commands.atlas": "matrix/report/test_atlas.py",
        "matrix.commands.box": "matrix/boxes/test_debian.py",
        "matrix.commands.options": "matrix/test_run.py",
        "matrix.report.html": "matrix/report/test_atlas.py",
    },
    "a part of the engines: every engine must pass the same tests": {
        "papaya.engines._client_processes": "papaya/engines/test_fork.py",
        "papaya.engines._multiplexer": "papaya/engines/test_delivery.py",
        "papaya.engines.coroutines": "papaya/engines/test_delivery.py",
        "papaya.server.connection": "papaya/server/test_server.py",
        "papaya.server.engine": "papaya/server/test_server.py",
    },
    "a provider: the cells that it brings up test it": {
        "matrix.providers._boot": "matrix/providers/test_initramfs.py",
        "matrix.providers.musl": "matrix/boxes/test_musl.py",
        "matrix.providers.qemu": "matrix/providers/test_initramfs.py",
    },
    "it needs a real guest": {
        "matrix.boxes._ext4": "guests/test_debian32.py",
        "matrix.providers._disk": "guests/test_faults.py",
    },
    "a part of the experiment: whole runs test it": {
        "papaya.experiment.measure.describe": "papaya/experiment/measure/test_run.py",
        "papaya.experiment.report.method": "papaya/experiment/report/test_output.py",
        "papaya.experiment.subjects._sink": "papaya/experiment/test_subjects.py",
        "papaya.experiment.subjects.coroutines": "papaya/experiment/test_subjects.py",
        "papaya.experiment.subjects.greenlets": "papaya/experiment/test_subjects.py",
        "papaya.experiment.subjects.processes": "papaya/experiment/test_subjects.py",
        "papaya.experiment.subjects.threads": "papaya/experiment/test_subjects.py",
    },
}
"""Modules without a test file named after them, by reason, and the file that tests each."""

TESTED_IN = {name: file for files in EXCEPTIONS.values() for name, file in files.items()}

PARTICIPLES = re.compile(
    r"_*(?:[a-z]+ed|begun|brought|built|chosen|drawn|found|given|gone|grown|held|kept|known|left|lost|"
    r"made|meant|said|seen|sent|shown|spent|taken|told|understood|written)(?:_|$)"
)
VERBS = ("embed", "exceed", "feed", "need", "proceed", "seed", "speed", "shed")

RULED_OUT = re.compile(
    r"\b(?:anew|lest|nobody|somebody|whoever|whatsoever|meanwhile|thereby|wherein)\b"
    r"|\b(?:would|could|will|can|may) else\b|\bor else\b",
    re.IGNORECASE,
)
BANNER = re.compile(r"^#.*[-=─]{4,}\s*$")


ON_NEW_PYTHONS = ("papaya", "matrix", "guests")
"""Folders of tests that the oldest Python, on which only probes runs, does not collect."""


@cache
def modules() -> dict[str, Path]:
    """Return the file of each module, by dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


@cache
def imports(name: str) -> frozenset[str]:
    """Return the modules of ours that a module imports, at its top or in a function.

    Imports for type checkers alone do not count: nothing runs them.
    """
    path = modules()[name]
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                for other in child.orelse:
                    visit(other)
            elif isinstance(child, ast.Import):
                found.update(alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = _absolute(name, path, child)
                found.update(
                    inner if (inner := f"{base}.{alias.name}") in modules() else base
                    for alias in child.names
                )
            else:
                visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return frozenset(found & modules().keys() - {name})


def _absolute(name: str, path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    parts = parts[: len(parts) - (node.level - 1)]
    return ".".join([*parts, *([node.module] if node.module else [])])


def find_cycle() -> list[str]:
    """Return one cycle of imports, or an empty list."""
    done: set[str] = set()

    def walk(name: str, above: list[str]) -> list[str]:
        if name in above:
            return above[above.index(name) :]
        if name in done:
            return []
        for other in sorted(imports(name)):
            if cycle := walk(other, [*above, name]):
                return cycle
        done.add(name)
        return []

    return next((cycle for name in modules() if (cycle := walk(name, []))), [])


def test_no_cycle_of_imports_is_hidden_or_open() -> None:
    assert find_cycle() == []


@pytest.mark.parametrize("package", PACKAGES)
def test_data_flows_one_way(package: str) -> None:
    found = {
        f"{name} imports {other}"
        for name in modules()
        if name.partition(".")[0] == package
        for other in imports(name)
        if other.partition(".")[0] not in MAY_IMPORT[package] | {package}
    }
    assert found == set()


def reach(name: str) -> set[str]:
    """Return every module that a module imports, at first or second hand."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for other in imports(waiting.pop()) - found:
            found.add(other)
            waiting.append(other)
    return found


def test_the_catalogue_does_not_import_the_runner() -> None:
    families = [name for name in modules() if name.startswith("probes.catalogue.")]
    assert families
    assert {name for name in families if "probes.runner" in reach(name)} == set()


def test_papaya_serves_without_the_experiment() -> None:
    found = reach("papaya.commands.serve")
    assert "papaya.server.server" in found
    assert {
        name for name in found if name.startswith(("papaya.experiment", "papaya.load"))
    } == set()


def test_no_module_of_papaya_stands_too_high() -> None:
    @cache
    def level(name: str) -> int:
        below = [level(other) for other in imports(name) if other.startswith("papaya")]
        return 1 + max(below, default=0)

    levels = {name: level(name) for name in modules() if name.startswith("papaya")}
    high = {name for name, found in levels.items() if found > HIGHEST_LEVEL}
    assert high == set(ABOVE)


def find_test(name: str) -> Path:
    """Return the test file of a module: its own, or the one that `TESTED_IN` names."""
    folder = name.removeprefix("probes.").split(".")
    own = ROOT.joinpath("tests", *folder[:-1], f"test_{folder[-1].strip('_')}.py")
    return ROOT / "tests" / TESTED_IN[name] if name in TESTED_IN else own


def test_each_module_has_a_test_file() -> None:
    said = {
        name
        for name, path in modules().items()
        # A package that only says what it is for has nothing to test.
        if path.name != "__init__.py" or len(ast.parse(path.read_text()).body) > 2
    }
    assert {f"{name}: {find_test(name)}" for name in said if not find_test(name).exists()} == set()
    assert set(TESTED_IN) <= modules().keys()


def test_the_oldest_python_collects_no_test_of_papaya_or_matrix() -> None:
    """Those packages refuse it as they are imported; a function may import them and be skipped."""
    needs = ("papaya", "matrix", "tests.papaya", "tests.matrix", "tests.endurance", "tests.fuzz")
    found = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if path.relative_to(ROOT / "tests").parts[0] not in ON_NEW_PYTHONS
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        if f"{name}.".startswith(tuple(f"{package}." for package in needs))
    }
    assert found == set()


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield each function of ours that is no property, with the place where it is."""
    for path in modules().values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                words = {ast.unparse(decorator) for decorator in node.decorator_list}
                is_value = any("property" in word or ".setter" in word for word in words)
                is_probe = any(word.startswith("probe(") for word in words)
                if not is_value and not is_probe:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_functions_are_verbs() -> None:
    found = {
        f"{where}: {function.name}"
        for where, function in functions()
        if PARTICIPLES.match(function.name) and not function.name.strip("_").startswith(VERBS)
    }
    assert found == set()


def test_namespaces_stay_at_the_door() -> None:
    """A command turns its arguments into a request of its own type."""
    found = set()
    for name, path in modules().items():
        at_the_door = ".commands." in name or name.endswith((".cli", ".command_line"))
        if not at_the_door and "argparse.Namespace" in path.read_text(encoding="utf-8"):
            found.add(name)
    assert found == set()


def words_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the comments and the strings of a file, docstrings among them, with their lines."""
    with open(path, "rb") as file:
        for token in tokenize.tokenize(io.BytesIO(file.read()).readline):
            if token.type in (tokenize.COMMENT, tokenize.STRING):
                yield token.start[0], token.string


def test_no_comment_is_a_banner() -> None:
    """A banner is a module that is missing."""
    paths = [*modules().values(), *sorted((ROOT / "tests").rglob("*.py"))]
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in paths
        for line, text in words_of(path)
        if BANNER.match(text)
    ]
    assert found == []


def test_words_that_the_style_rules_out_are_not_used() -> None:
    texts = {
        f"{path.relative_to(ROOT)}:{line}": text
        for path in modules().values()
        for line, text in words_of(path)
        # Other strings may be answers and names, which users have: they stay.
        if text.startswith(("#", '"""'))
    }
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        # nobody is also the name of a user.
        text = page.read_text(encoding="utf-8").replace("as nobody", "")
        texts[str(page.relative_to(ROOT))] = text
    found = {
        f"{where}: {word[0]}" for where, text in texts.items() for word in RULED_OUT.finditer(text)
    }
    assert found == set()
