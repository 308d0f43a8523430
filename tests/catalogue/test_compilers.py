"""The compilers family can be wrong: change the compiler, see the answers flip."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes import Report, compiler
from probes.fact import BLOCKED
from tests.needs import needs
from tests.worlds import flipped, measure

pytestmark = needs("cc")

CC = " ".join(compiler.find_command())


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (
            "-D_XOPEN_SOURCE=700 -std=c99",
            {"compilers.signal_flags": "SA_NODEFER|SA_RESETHAND"},
        ),
        ("-D_DEFAULT_SOURCE", {"compilers.signal_flags_strict": "SA_RESTART"}),
    ],
)
def test_flags_flip_what_hangs_on_them(flags: str, expected: dict[str, str], here: Report) -> None:
    changed = flipped(here, measure(environment={"CC": f"{CC} {flags}"}))
    assert {id: answer for id, (_, answer) in changed.items()} == expected


def test_headers_flip_the_widths(tmp_path: Path, here: Report) -> None:
    header = tmp_path / "narrow.h"
    header.write_text("#include <sys/types.h>\n#define off_t int\n#define time_t short\n")
    changed = flipped(here, measure(environment={"CC": f"{CC} -include {header}"}))
    # Such names break the headers that the programs about signals include.
    for name in ("off_t_bits_plain", "off_t_bits_file_offset_bits_64"):
        assert changed[f"compilers.{name}"] == ("64", "32")
    for name in ("time_t_bits_plain", "time_t_bits_time_bits_64"):
        assert changed[f"compilers.{name}"] == ("64", "16")


def test_plain_widths_are_those_without_any_flag(tmp_path: Path) -> None:
    """As in 32-bit glibc, the macros choose the wide types, and plain cc gets the narrow ones."""
    header = tmp_path / "narrow.h"
    header.write_text(
        "#include <sys/types.h>\n"
        "#ifndef _FILE_OFFSET_BITS\n#define off_t int\n#endif\n"
        "#ifndef _TIME_BITS\n#define time_t int\n#endif\n"
    )
    there = measure("--only=compilers.*bits*", environment={"CC": f"{CC} -include {header}"})
    assert {fact.id.partition(".")[2]: fact.value for fact in there} == {
        "off_t_bits_plain": 32,
        "off_t_bits_file_offset_bits_64": 64,
        "time_t_bits_plain": 32,
        "time_t_bits_time_bits_64": 64,
    }


def test_without_a_compiler_all_of_it_is_blocked_and_nothing_else(here: Report) -> None:
    without = measure(environment={"CC": "/nonexistent"})
    changed = flipped(here, without)
    assert set(changed) == {fact.id for fact in here if fact.family == "compilers"}
    for id in changed:
        assert without[id].status == BLOCKED
        assert without[id].reason.startswith("CC is set to '/nonexistent': no such program")


def test_a_compiler_that_refuses_is_no_answer(tmp_path: Path) -> None:
    header = tmp_path / "broken.h"
    header.write_text("#error broken\n")
    report = measure("--only=compilers", environment={"CC": f"{CC} -include {header}"})
    assert {fact.status for fact in report} == {"blocked"}
    assert all("#error broken" in fact.reason for fact in report)


@pytest.mark.parametrize("command", ["false", "true", '"', "/"])
def test_a_compiler_that_does_not_work_is_no_answer(command: str) -> None:
    report = measure("--only=compilers", environment={"CC": command})
    assert {fact.status for fact in report} == {"blocked"}


def test_a_compiler_that_lacks_a_flag_is_unsupported(tmp_path: Path) -> None:
    fussy = tmp_path / "fussy"
    fussy.write_text(
        '#!/bin/sh\ncase "$*" in *-std=c99*) echo "error: no such" >&2; exit 1;; esac\n'
        f'exec {CC} "$@"\n'
    )
    fussy.chmod(0o755)
    report = measure("--only=compilers", environment={"CC": str(fussy)})
    assert report["compilers.signal_flags"].measured
    assert report["compilers.signal_flags_strict"].status == "unsupported"
