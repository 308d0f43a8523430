"""The box musl where it cannot be built; that it can, and what is measured, `tests/guests` has."""

from __future__ import annotations

import platform
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from matrix.boxes import musl
from matrix.providers.musl import Musl
from probes.errors import CommandError
from tests.matrix.workplace import ROOT, Workplace

needs_what_it_is_built_with = pytest.mark.skipif(
    bool(musl.explain_lack()), reason=musl.explain_lack()
)


@pytest.fixture
def work(tmp_path: Path) -> Workplace:
    work = Workplace(tmp_path)
    work.environment["MATRIX_CACHE"] = str(tmp_path / "cache")
    return work


def left(work: Workplace) -> list[str]:
    """Return what the cache has of it."""
    return [path.name for path in (work.folder / "cache").iterdir()]


def test_what_is_missing_is_said_with_its_package(work: Workplace) -> None:
    work.environment["PATH"] = str(work.folder)
    work.cell("box", "musl")
    done = work.run("box")
    assert done.returncode == 3
    assert f"dpkg-source, gcc, make, {platform.machine()}-linux-musl-gcc" in done.stdout
    _, _, packages = done.stdout.partition("apt-get install ")
    assert {"dpkg-dev", "gcc", "make", "musl-dev"} <= set(packages.split())
    assert done.stdout.count("\n") == 1


def test_what_is_missing_for_i386_is_of_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("shutil.which", lambda name: name if name == "make" else None)
    monkeypatch.setattr("os.path.exists", lambda path: "ld-musl" not in path)
    assert musl.explain_lack("i386") == (
        "not installed: apt-get, dpkg-source, gcc, i386-linux-musl-gcc, /lib/ld-musl-i386.so.1; "
        "dpkg --add-architecture i386 && apt-get update && "
        "apt-get install apt dpkg-dev gcc musl-dev:i386 musl:i386"
    )
    # What is missing may be the host's alone.
    monkeypatch.setattr("shutil.which", lambda name: None if name == "make" else name)
    monkeypatch.setattr("os.path.exists", lambda path: True)
    assert musl.explain_lack("i386") == "not installed: make; apt-get install make"


@pytest.mark.parametrize(
    ("argument", "machine", "said"),
    [
        ("arm64", "x86_64", "unknown processor 'arm64'; write i386, or nothing for this host's"),
        ("i386", "aarch64", "musl for i386 is built on x86_64, and this is aarch64"),
    ],
)
def test_a_processor_that_it_is_not_built_for(
    argument: str, machine: str, said: str, work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert Musl(argument, str(work.folder), print).explain_lack().startswith(said)
    with pytest.raises(CommandError, match=said):
        musl.build(print, False, argument)


def test_each_processor_has_its_own_box(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MATRIX_CACHE", str(tmp_path))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    loaders = {"/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-i386.so.1"}
    monkeypatch.setattr("os.path.exists", lambda path: path in loaders)
    own, i386 = map(musl.parse_argument, ("", "i386"))
    recipes = {target.name: musl._hash_recipe(target) for target in (own, i386)}
    assert len({*recipes.values()}) == 2
    for name, recipe in recipes.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / ".recipe").write_text(recipe)
    for target, argument in ((own, ""), (i386, "i386")):
        box = musl.find_built(argument)
        assert box
        assert box.folder == str(tmp_path / target.name)
        # A box is of no use without the C library that it loads.
        loaders.remove(target.loader)
        assert not musl.find_built(argument)
        loaders.add(target.loader)


@needs_what_it_is_built_with
def test_a_mirror_that_has_nothing(work: Workplace) -> None:
    work.environment["MATRIX_MIRROR"] = f"file:{work.folder}/nowhere"
    done = work("box", "musl")
    assert done.returncode == 3
    *_, said = done.stderr.splitlines()
    assert said.startswith("matrix: musl cannot be built: apt-get: E: "), done.stderr
    assert left(work) == ["musl.lock"]


def _first_request(mirror: socket.socket) -> socket.socket:
    """Return the first connection that asks for something: before it comes the look if one can."""
    while True:
        asking, _ = mirror.accept()
        asking.settimeout(60)
        if asking.recv(1 << 16):
            return asking
        asking.close()


@needs_what_it_is_built_with
def test_an_interrupt_leaves_nothing(work: Workplace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mirror:
        mirror.settimeout(60)
        work.environment["MATRIX_MIRROR"] = f"http://127.0.0.1:{mirror.getsockname()[1]}/"
        work.environment |= {"no_proxy": "127.0.0.1", "APT_CONFIG": "/dev/null"}
        with subprocess.Popen(
            [*work.command, "box", "musl"],
            cwd=ROOT, env=work.environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True,
        ) as process:  # fmt: skip
            with _first_request(mirror) as asking:
                # It waits for an answer that never comes, and is ended itself.
                process.send_signal(signal.SIGINT)
                while asking.recv(1 << 16):
                    pass
            said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert left(work) == ["musl.lock"]
