"""CMake, Meson and autoconf make probes.h and build a program with it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from probes.commands.pack import pack
from tests.needs import needs
from tests.worlds import ROOT

SUPPORT = ROOT / "build-support"
PROGRAM = """
#include "probes.h"
#include <stdio.h>
#if !PROBE_MEASURED(abi_long_bits)
#error not measured
#endif
int main(void) {
    printf("%d\\n", (int)(PROBE(abi_long_bits) == 8 * sizeof(long)));
    return 0;
}
"""
pytestmark = needs("cc")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project with the lab as one file."""
    (tmp_path / "program.c").write_text(PROGRAM)
    pack(str(tmp_path / "lab.pyz"))
    return tmp_path


def run(folder: Path, *command: object, status: int = 0) -> str:
    clean = {n: v for n, v in os.environ.items() if n not in ("PYTHONPATH", "CFLAGS", "PROBES")}
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, env=clean, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) == (status == 0), done.stdout
    return done.stdout


@needs("cmake", "make")
@pytest.mark.parametrize("lab", ["lab.pyz", str(ROOT)])
def test_cmake(project: Path, lab: str) -> None:
    where = f'"{lab}"' if os.path.isabs(lab) else f'"${{CMAKE_SOURCE_DIR}}/{lab}"'
    (project / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.12)\nproject(it C)\n"
        f'set(PROBES_LAB {where})\ninclude("{SUPPORT}/Probes.cmake")\n'
        "add_executable(program program.c)\n"
        "target_link_libraries(program PRIVATE Probes::Header)\n"
    )
    make = ("-G", "Unix Makefiles")
    assert "measured this host" in run(project, "cmake", "-S.", "-Bbuild", *make)
    run(project, "cmake", "--build", "build")
    assert run(project, "build/program") == "1\n"
    assert "measured this host" not in run(project, "cmake", "-S.", "-Bbuild")
    given = (f"-DPROBES_HEADER={project}/build/probes/probes.h", "-DCMAKE_SYSTEM_NAME=Other")
    assert "PROBES_HEADER" in run(project, "cmake", "-S.", "-Bc", *make, given[1], status=1)
    run(project, "cmake", "-S.", "-Bd", *make, *given)
    assert (project / "d/probes/probes.h").exists()


@needs("meson", "ninja")
def test_meson(project: Path) -> None:
    (project / "probes").mkdir()
    shutil.copy(SUPPORT / "meson.build", project / "probes")
    (project / "lab.pyz").rename(project / "probes/lab.pyz")
    (project / "meson.build").write_text(
        "project('it', 'c')\nsubdir('probes')\n"
        "executable('program', 'program.c', dependencies: probes_dep)\n"
    )
    run(project, "meson", "setup", "build")
    run(project, "ninja", "-C", "build")
    assert run(project, "build/program") == "1\n"


@needs("autoconf", "automake")
def test_autoconf(project: Path) -> None:
    (project / "m4").mkdir()
    shutil.copy(SUPPORT / "ax_probes.m4", project / "m4")
    (project / "configure.ac").write_text(
        "AC_INIT([it], [1])\nAC_CONFIG_MACRO_DIRS([m4])\nAC_PROG_CC\nAX_PROBES\nAC_OUTPUT\n"
    )
    run(project, "aclocal", "-I", "m4")
    run(project, "autoconf", "-Wall,error")
    (project / "build").mkdir()
    build = project / "build"
    assert "how system calls behave here... probes.h" in run(build, "../configure")
    run(build, "cc", "-I.", "-o", "program", "../program.c")
    assert run(build, "./program") == "1\n"
    run(build, "../configure", f"PROBES_HEADER={build}/missing.h", status=1)
    cross = ("--build=i686-pc-linux-gnu", "--host=mips-pc-linux-gnu", "CC=cc")
    assert "set PROBES_HEADER" in run(build, "../configure", *cross, status=1)
    run(build, "../configure", "PROBES=false", status=1)
