"""A compiler that is missing or does not work gives one clear reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from probes import compiler
from probes.probe import Blocked, Unsupported

from .worlds import measure

PROGRAM = "int main(void) { return 0; }\n"


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a folder where the compiler runs; the next search for a compiler starts afresh."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.chdir(tmp_path / "scratch")
    compiler._find.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    compiler._find.cache_clear()


def script(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def why(monkeypatch: pytest.MonkeyPatch, cc: str) -> str:
    monkeypatch.setenv("CC", cc)
    with pytest.raises(Blocked) as blocked:
        compiler.run(PROGRAM)
    return str(blocked.value)


def test_a_compiler_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for cc in ("nonexistent", "/nonexistent/cc -m32", str(tmp_path)):
        assert why(monkeypatch, cc) == (
            f"CC is set to '{cc}': no such program; unset CC or name a compiler"
        )
        assert compiler.find_command() == ()
        assert compiler.get_version() == ""
        compiler._find.cache_clear()
    monkeypatch.setenv("PATH", "/nonexistent")
    for cc in ("", " "):
        assert why(monkeypatch, cc) == "needs a C compiler: install cc, gcc or clang, or set CC"


def test_a_compiler_that_may_not_be_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cc = script(tmp_path / "cc", "#!/bin/sh\n", 0o644)
    assert why(monkeypatch, cc) == (
        f"CC is set to '{cc}': may not be executed; make it executable, "
        "or unset CC or name a compiler"
    )


def test_a_quotation_mark_that_is_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "a quotation mark is not closed" in why(monkeypatch, "cc '-m32")


def test_a_compiler_whose_interpreter_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cc = script(tmp_path / "cc", "#!/nonexistent/sh\n")
    assert why(monkeypatch, cc) == (f"the C compiler {cc} cannot be run: No such file or directory")
    compiler._find.cache_clear()
    cc = script(tmp_path / "cc", "\0no format\n")
    assert why(monkeypatch, cc) == f"the C compiler {cc} cannot be run: Exec format error"


def test_a_compiler_that_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cc = script(tmp_path / "cc", "#!/bin/sh\nkill -9 $$\n")
    assert why(monkeypatch, cc) == f"the C compiler {cc} does not work here: was killed by SIGKILL"
    compiler._find.cache_clear()
    # Of gcc only a part is killed: the driver reports it, and a smaller program compiles.
    said = "cc: fatal error: Killed signal terminated program cc1"
    cc = script(
        tmp_path / "cc",
        f"#!/bin/sh\ncase $* in *any*) : > any; exit 0;; esac\necho '{said}'; exit 1\n",
    )
    assert why(monkeypatch, cc) == f"the C compiler {cc} does not work here: {said}"


def test_a_compiler_that_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compiler, "patience", 0.1)
    cc = script(tmp_path / "cc", "#!/bin/sh\nexec sleep 1000\n")
    assert why(monkeypatch, cc) == f"the C compiler {cc} did not end within 0.1 s"


def test_a_refusal_is_still_an_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cc = script(
        tmp_path / "cc",
        "#!/bin/sh\ncase $* in *any*) : > any; exit 0;; esac\necho 'error: no'; exit 1\n",
    )
    monkeypatch.setenv("CC", cc)
    with pytest.raises(Unsupported, match="refuses it with no flags: error: no"):
        compiler.run(PROGRAM)


def test_a_relative_path_is_of_the_folder_where_the_lab_began(
    monkeypatch: pytest.MonkeyPatch, scratch: Path
) -> None:
    script(scratch / "mycc", "#!/bin/sh\n")
    monkeypatch.setattr(compiler, "_STARTED_IN", str(scratch))
    monkeypatch.setenv("CC", "./mycc -O1")
    assert compiler.find_command() == (os.path.join(scratch, "./mycc"), "-O1")


def test_the_report_says_it() -> None:
    report = measure("--only=compilers", environment={"CC": "nonexistent"})
    assert {(fact.status, fact.reason) for fact in report} == {
        ("blocked", "CC is set to 'nonexistent': no such program; unset CC or name a compiler")
    }
