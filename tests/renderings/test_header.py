"""header: it always compiles, and its macros are the report's values."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings

from probes import Fact, Report
from probes.renderings import render
from probes.renderings.header import literal, number
from tests.renderings import PROBES, SAMPLE
from tests.strategies import HARM, lightly, probes_for, reports

COMPILER = shutil.which("cc")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler (cc)")

STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic")


def compile(folder: Path, header: str, program: str, *options: str) -> None:
    (folder / "probes.h").write_text(header)
    (folder / "program.c").write_text(f'#include "probes.h"\n#include "probes.h"\n{program}')
    done = subprocess.run(
        ["cc", *STRICT, *options, "program.c"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stderr}\n{header}"


def macros(header: str) -> dict[str, str]:
    found = re.findall(r"^#define (PROBE_\w+) (.+)$", header, re.MULTILINE)
    assert len(dict(found)) == len(found)
    return dict(found)


def uses(header: str) -> str:
    """Declarations that use every macro in C, and the numbers in the preprocessor too."""
    lines = ["extern int nothing;"]
    for at, (name, text) in enumerate(macros(header).items()):
        kind = "char *const" if text.startswith('"') else "long long"
        lines.append(f"extern const {kind} c{at}; const {kind} c{at} = {name};")
        if not text.startswith('"'):
            lines += [f"#if !({name} == {text})", "#error", "#endif"]
    return "\n".join(lines) + "\n"


@settings(lightly, max_examples=40)
@given(report=reports)
def test_it_always_compiles(tmp_path_factory: pytest.TempPathFactory, report: Report) -> None:
    header = render("header", report, probes_for(report))
    assert header.isascii()
    compile(tmp_path_factory.getbasetemp(), header, uses(header), "-std=c99", "-fsyntax-only")


def test_the_sample() -> None:
    header = render("header", SAMPLE, PROBES)
    assert macros(header) == {
        **{
            f"PROBE_RESTARTS_{call}{suffix}": text
            for call in ("READ", "WRITE", "ACCEPT", "CONNECT", "RECV", "SEND", "FLOCK")
            for suffix, text in (("", '"restarts"'), ("_IS_RESTARTS", "1"))
        },
        "PROBE_RESTARTS_PAUSE": '"EINTR"',
        "PROBE_RESTARTS_PAUSE_IS_EINTR": "1",
        "PROBE_SOCKETS_V6ONLY_DEFAULT": "0",
        "PROBE_SOCKETS_BACKLOG": "4096",
        "PROBE_SOCKETS_ORDER": '"inet, inet6"',
        "PROBE_SOCKETS_ORDER_IS_INET__INET6": "1",
        "PROBE_STRANGERS_FROM_ELSEWHERE": "1",
    }
    for line in (
        " * C library  freebsd 14.1-RELEASE, 32-bit userland on a 64-bit kernel",
        "/* Is it for IPv6 alone? */",
        "/* PROBE_SOCKETS_NOTHING is not defined: none */",
        "/* PROBE_SOCKETS_LATE is not defined: timed out: no answer within 10 s */",
    ):
        assert line in header.splitlines()


@pytest.mark.parametrize("standard", ["c89", "c99", "c11"])
def test_a_program_configured_by_it_runs(tmp_path: Path, standard: str) -> None:
    program = """
    #include <stdio.h>
    #include <string.h>
    int main(void) {
    #if PROBE_RESTARTS_READ_IS_RESTARTS && !PROBE_RESTARTS_PAUSE_IS_RESTARTS
        printf("read restarts, pause does not\\n");
    #endif
    #if !PROBE_SOCKETS_V6ONLY_DEFAULT && PROBE_SOCKETS_BACKLOG >= 4096
        printf("dual by default\\n");
    #endif
    #ifndef PROBE_SOCKETS_LATE
        printf("not known when\\n");
    #endif
        return strcmp(PROBE_SOCKETS_ORDER, "inet, inet6");
    }
    """
    header = render("header", SAMPLE, PROBES)
    compile(tmp_path, header, program, f"-std={standard}", "-o", "program")
    done = subprocess.run([tmp_path / "program"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "read restarts, pause does not", "dual by default", "not known when"
    ]  # fmt: skip


def test_values_mean_in_c_what_they_mean_here(tmp_path: Path) -> None:
    edges = (0, 1, 2**31, 2**32, 2**63)
    numbers = sorted({v for e in edges for d in (-1, 0, 1) for v in (e + d, -e + d)})
    numbers = [v for v in numbers if -(2**63) <= v < 2**63]
    strings = [*HARM, "".join(HARM[:20]), "%d\0?\\?=/", "end"]
    printing = [f'printf("%lld\\n", (long long)({number(v)}));' for v in numbers]
    printing += [f"fwrite({literal(s)}, 1, sizeof {literal(s)} - 1, stdout);" for s in strings]
    program = "#include <stdio.h>\nint main(void) {\n" + "\n".join(printing) + "\nreturn 0;\n}\n"
    compile(tmp_path, "", program, "-std=c99", "-o", "program")
    said = subprocess.run([tmp_path / "program"], capture_output=True, check=True).stdout
    expected = "".join(f"{v}\n" for v in numbers) + "".join(strings)
    assert said == expected.encode("utf-8", "surrogatepass")


def test_no_two_macros_share_a_name() -> None:
    ids = ("a.b_c", "a_b.c", "a.b_c_2", "a.b", "a.b_is_x", "a_.b")
    facts = {id: Fact(id, "measured", "x") for id in ids}
    found = macros(render("header", Report(SAMPLE.environment, facts), {}))
    assert len(found) == 2 * len(ids)
    # The fact itself comes first, the word it may be asked for later.
    assert found["PROBE_A_B_IS_X"] == '"x"'
    assert {name for name, text in found.items() if text == '"x"'} >= {
        "PROBE_A_B", "PROBE_A_B_C", "PROBE_A_B_C_2", "PROBE_A__B"
    }  # fmt: skip


def test_a_text_is_no_word_and_a_book_no_string() -> None:
    facts = {"a.text": Fact("a.text", "measured", "x " * 30),
             "a.book": Fact("a.book", "measured", "x" * 600)}  # fmt: skip
    header = render("header", Report(SAMPLE.environment, facts), {})
    assert list(macros(header)) == ["PROBE_A_TEXT"]
    assert "/* PROBE_A_BOOK is not defined: too long for a string in C */" in header
