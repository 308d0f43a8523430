"""header: it always compiles, and its macros are the report's values."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from probes import Fact, Platform, Report
from probes.environment import describe
from probes.renderings import render
from probes.renderings.header import format_literal, format_number
from tests.needs import needs
from tests.renderings import PROBES, SAMPLE
from tests.strategies import HARM, lightly, probes_for, reports

pytestmark = needs("cc")

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


def answers(header: str) -> dict[str, str]:
    """Return the macros that hold answers, without those that say what is measured."""
    return {n: text for n, text in macros(header).items() if not n.endswith("_MEASURED")}


def uses(header: str) -> str:
    """Return declarations that use every macro in C, and the numbers in the preprocessor."""
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
    options = ("-DPROBES_ANY_PLATFORM", "-std=c99", "-fsyntax-only")
    compile(tmp_path_factory.getbasetemp(), header, uses(header), *options)


def test_the_sample() -> None:
    header = render("header", SAMPLE, PROBES)
    assert answers(header) == {
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
    measured = {n: text for n, text in macros(header).items() if n.endswith("_MEASURED")}
    assert measured == {
        f"PROBE_{fact.id.upper().replace('.', '_')}_MEASURED": str(int(fact.measured))
        for fact in SAMPLE
    }
    assert sorted(set(measured.values())) == ["0", "1"]
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
    #if !PROBE_SOCKETS_LATE_MEASURED && PROBE_SOCKETS_NOTHING_MEASURED
        printf("not known when\\n");
    #endif
        return strcmp(PROBE_SOCKETS_ORDER, "inet, inet6");
    }
    """
    header = render("header", SAMPLE, PROBES)
    options = ("-DPROBES_ANY_PLATFORM", f"-std={standard}", "-o", "program")
    compile(tmp_path, header, program, *options)
    done = subprocess.run([tmp_path / "program"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "read restarts, pause does not", "dual by default", "not known when"
    ]  # fmt: skip


@pytest.mark.parametrize("standard", ["c89", "c99", "c11"])
def test_facts_are_asked_for_by_name(tmp_path: Path, standard: str) -> None:
    program = """
    #include <stdio.h>
    #include <string.h>
    #if !PROBE_IS(restarts_read, RESTARTS) || PROBE_IS(restarts_pause, RESTARTS)
    #error of words
    #endif
    #if PROBE(sockets_v6only_default) || PROBE(sockets_backlog) != 4096 || PROBE(sockets_late)
    #error of numbers
    #endif
    #if !PROBE_MEASURED(sockets_nothing) || PROBE(sockets_nothing) || PROBE_MEASURED(sockets_late)
    #error of what has no answer
    #endif
    int main(void) {
        puts(PROBES_HOST);
        return strcmp(PROBE(sockets_order), "inet, inet6");
    }
    """
    options = ("-DPROBES_ANY_PLATFORM", f"-std={standard}", "-Wundef", "-o", "program")
    # A word that is not the answer is not defined: of that alone -Wundef complains.
    compile(tmp_path, render("header", SAMPLE, PROBES), program, *options, "-Wno-error=undef")
    done = subprocess.run([tmp_path / "program"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{SAMPLE.environment}\n"


@pytest.mark.parametrize(
    "line",
    [
        "#if PROBE(sockets_v6only_defualt)\n#endif",
        "#if !PROBE(sockets_v6only_defualt)\n#endif",
        "#if 0 && PROBE(sockets_v6only_defualt)\n#endif",
        "#if PROBE_MEASURED(sockets_v6only_defualt)\n#endif",
        "#if PROBE_IS(restarts_reed, RESTARTS)\n#endif",
        "int it = PROBE(SOCKETS_V6ONLY_DEFAULT);",
    ],
)
def test_a_misspelt_fact_is_an_error(tmp_path: Path, line: str) -> None:
    header = render("header", SAMPLE, PROBES)
    options = ("-DPROBES_ANY_PLATFORM", "-std=c99", "-fsyntax-only")
    right = {"defualt": "default", "reed": "read", "(SOCKETS_V6ONLY_DEFAULT)": "(sockets_backlog)"}
    spelt = line
    for wrong, word in right.items():
        spelt = spelt.replace(wrong, word)
    compile(tmp_path, header, f"int nothing;\n{spelt}\n", *options)
    with pytest.raises(AssertionError, match="PROBE"):
        compile(tmp_path, header, f"int nothing;\n{line}\n", *options)


def test_a_reproducible_build_has_no_time_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    later = replace(SAMPLE, measured_at="2031-01-01T00:00:00Z", seconds=SAMPLE.seconds + 1)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert SAMPLE.measured_at in render("header", SAMPLE, PROBES)
    assert render("header", SAMPLE, PROBES) != render("header", later, PROBES)
    for epoch, wanted in (("86400", "1970-01-02T00:00:00Z"), ("soon", ""), ("", "")):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        header = render("header", SAMPLE, PROBES)
        assert header == render("header", later, PROBES)
        assert SAMPLE.measured_at not in header
        assert f" * measured   {wanted or 'by probes'}" in header


def test_it_says_which_host_it_is_of_and_that_it_is_free() -> None:
    header = render("header", SAMPLE, PROBES)
    assert f'#define PROBES_HOST "{SAMPLE.environment}"' in header
    said = " ".join(header.partition("*/")[0].replace("\n *", " ").split())
    assert "As a special exception to the licence" in said
    assert "under terms of your choice" in said


def test_values_mean_in_c_what_they_mean_here(tmp_path: Path) -> None:
    edges = (0, 1, 2**31, 2**32, 2**63)
    numbers = sorted({v for e in edges for d in (-1, 0, 1) for v in (e + d, -e + d)})
    numbers = [v for v in numbers if -(2**63) <= v < 2**63]
    strings = [*HARM, "".join(HARM[:20]), "%d\0?\\?=/", "end"]
    printing = [f'printf("%lld\\n", (long long)({format_number(v)}));' for v in numbers]
    printing += [
        f"fwrite({format_literal(s)}, 1, sizeof {format_literal(s)} - 1, stdout);" for s in strings
    ]
    program = "#include <stdio.h>\nint main(void) {\n" + "\n".join(printing) + "\nreturn 0;\n}\n"
    compile(tmp_path, "", program, "-std=c99", "-o", "program")
    said = subprocess.run([tmp_path / "program"], capture_output=True, check=True).stdout
    expected = "".join(f"{v}\n" for v in numbers) + "".join(strings)
    assert said == expected.encode("utf-8", "surrogatepass")


def test_no_two_macros_share_a_name() -> None:
    ids = ("a.b_c", "a_b.c", "a.b_c_2", "a.b", "a.b_is_x", "a_.b")
    facts = {id: Fact(id, "measured", "x") for id in ids}
    found = macros(render("header", Report(SAMPLE.environment, facts), {}))
    assert len(found) == 3 * len(ids)
    # The fact itself comes first, the word it may be asked for later.
    assert found["PROBE_A_B_IS_X"] == '"x"'
    assert {name for name, text in found.items() if text == '"x"'} >= {
        "PROBE_A_B", "PROBE_A_B_C", "PROBE_A_B_C_2", "PROBE_A__B"
    }  # fmt: skip


def test_a_text_is_no_word_and_a_book_no_string() -> None:
    facts = {"a.text": Fact("a.text", "measured", "x " * 30),
             "a.book": Fact("a.book", "measured", "x" * 600)}  # fmt: skip
    header = render("header", Report(SAMPLE.environment, facts), {})
    assert list(answers(header)) == ["PROBE_A_TEXT"]
    assert "/* PROBE_A_BOOK is not defined: too long for a string in C */" in header


HERE = describe("")
LINUX = Platform("Linux", "6.1", "x86_64", "glibc", "2.36", 64)
GONE = ("-U__linux__", "-U__x86_64__", "-U__x86_64", "-U__i386__", "-U__i386")


def refused(folder: Path, platform: Platform, *options: str, compiler: str = "cc") -> bool:
    """Whether a header measured on ``platform`` is an #error, and for no other reason."""
    (folder / "probes.h").write_text(render("header", Report(platform, {}), {}))
    (folder / "program.c").write_text('#include "probes.h"\nint nothing;\n')
    # Without __x86_64__, glibc's headers want this one, which only 32-bit development files have.
    stubs = folder / "include" / "gnu" / "stubs-32.h"
    stubs.parent.mkdir(parents=True, exist_ok=True)
    stubs.touch()
    done = subprocess.run(
        [compiler, *STRICT, "-std=c99", *options, "-isystem", "include", "-fsyntax-only",
         "program.c"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    errors = [line for line in done.stderr.splitlines() if "error:" in line]
    assert all("probes.h: measured on" in line for line in errors), done.stderr
    assert bool(errors) == bool(done.returncode)
    return bool(errors)


def test_on_the_platform_it_is_of_it_compiles(tmp_path: Path) -> None:
    for standard in ("c89", "c99", "gnu17"):
        assert not refused(tmp_path, HERE, f"-std={standard}")
    assert not refused(tmp_path, HERE, "-ffreestanding")


@pytest.mark.skipif(
    (HERE.system, HERE.libc, HERE.pointer_bits) != ("Linux", "glibc", 64)
    or HERE.machine != "x86_64",
    reason="its compiler is made to look like others' by what it defines here",
)
@pytest.mark.parametrize(
    ("changed", "options", "is_refused"),
    [
        ({}, (), False),
        ({"machine": "amd64"}, (), False),
        ({"hypervisor": "gvisor"}, (), False),
        # Another system: measured there, or compiled there.
        ({"system": "FreeBSD", "libc": "freebsd"}, (), True),
        ({"system": "Darwin", "libc": "darwin"}, (), True),
        ({"system": "FreeBSD", "libc": "freebsd"}, ("-U__linux__", "-D__FreeBSD__"), False),
        ({"system": "DragonFly", "libc": "dragonfly"}, ("-U__linux__", "-D__FreeBSD__"), True),
        ({}, ("-U__linux__", "-D__FreeBSD__"), True),
        ({}, ("-U__linux__", "-D__APPLE__"), True),
        # Another machine.
        ({"machine": "aarch64"}, (), True),
        ({"machine": "riscv64"}, (), True),
        ({"machine": "aarch64"}, (*GONE[1:], "-D__aarch64__"), False),
        ({}, (*GONE[1:], "-D__aarch64__"), True),
        ({}, (*GONE[1:], "-D__s390__"), True),
        # Another width.
        ({"pointer_bits": 32, "machine": "i686"}, (), True),
        ({}, ("-U__SIZEOF_POINTER__", "-D__SIZEOF_POINTER__=4"), True),
        (
            {"pointer_bits": 32, "machine": "i686"},
            ("-U__SIZEOF_POINTER__", "-D__SIZEOF_POINTER__=4"), False,
        ),
        # The x32 ABI and a 32-bit program, whose kernel says x86_64 of both.
        (
            {"pointer_bits": 32},
            ("-U__SIZEOF_POINTER__", "-D__SIZEOF_POINTER__=4"), False,
        ),
        # Another C library.
        ({"libc": "musl"}, (), True),
        ({"libc": "unknown"}, (), False),
        ({}, ("-D__UCLIBC__",), True),
        # What nobody knows is no error.
        ({"system": "Plan9", "machine": "68020", "libc": "ape"}, (), False),
        ({}, (*GONE, "-U__SIZEOF_POINTER__"), False),
        ({"system": "two\nlines */", "machine": '"??/', "libc": "\u65e5\\"}, (), False),
        # One that was told.
        ({"system": "FreeBSD"}, ("-DPROBES_ANY_PLATFORM",), False),
        ({"libc": "musl", "pointer_bits": 32}, ("-DPROBES_ANY_PLATFORM",), False),
    ],
)  # fmt: skip
def test_on_another_platform_it_is_an_error(
    tmp_path: Path, changed: dict[str, Any], options: tuple[str, ...], is_refused: bool
) -> None:
    assert refused(tmp_path, replace(LINUX, **changed), *options) == is_refused


@needs("musl-gcc")
def test_musl_is_another_c_library(tmp_path: Path) -> None:
    there = replace(HERE, libc="musl")
    assert refused(tmp_path, HERE, compiler="musl-gcc") == (HERE.libc == "glibc")
    assert not refused(tmp_path, there, compiler="musl-gcc")
    assert not refused(tmp_path, HERE, "-DPROBES_ANY_PLATFORM", compiler="musl-gcc")
