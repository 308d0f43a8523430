"""CPython on the musl C library, for this host's kernel: a folder with Python and a C compiler.

Distributions that are built on glibc have no such Python among their packages.  It is made of
Debian 12's source packages of CPython, libffi and zlib with musl-gcc(1), as any user, in some two
minutes.  The C library itself is the host's package musl: this Python loads it as it starts.

musl-gcc knows nothing of the kernel's own headers (<linux/…>, <asm/…>), as their folder has
glibc's beside them: ``bin/musl-cc`` adds those alone, behind musl's.  It is the compiler of what
is built here, and of the lab's C programs.

``MATRIX_MIRROR`` names another mirror than those of the host's /etc/apt, which is only read.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matrix.providers import Unavailable

from . import _mirror, cache
from ._cache import alone, building, made_by

Say = Callable[[str], None]

_PYTHON = "python3.11"
_SOURCES = (_PYTHON, "libffi", "zlib")
_RELEASE = "bookworm"

# What the host must have, and the package that gives it.
_PROGRAMS = {
    "apt-get": "apt",
    "dpkg-source": "dpkg-dev",
    "gcc": "gcc",
    "make": "make",
    "musl-gcc": "musl-tools",
}
_LOADER = f"/lib/ld-musl-{platform.machine()}.so.1"
_KERNEL_HEADERS = "/usr/include/linux"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

_COMPILER = """\
#!/bin/sh
case $1 in *-print-multiarch) exec echo {machine}-linux-musl ;; esac
exec musl-gcc "$@" -idirafter "${{0%/*}}/../kernel"
"""

# Of what `make install` gives: what no program of ours imports.
_LEFT_OUT = ("test", "idlelib", "lib2to3", "tkinter", "turtledemo", "ensurepip", "config-*")


@dataclass(frozen=True)
class Box:
    """What was built."""

    folder: str
    python: str
    compiler: str


def lacks() -> str:
    """What the host lacks to build it, and the command that gives it; empty if nothing."""
    missing = {name: package for name, package in _PROGRAMS.items() if not shutil.which(name)}
    files = {_LOADER: "musl", _KERNEL_HEADERS: "linux-libc-dev", _KEYRING: "debian-archive-keyring"}
    missing |= {path: package for path, package in files.items() if not os.path.exists(path)}
    if missing:
        return f"no {', '.join(missing)}: apt-get install {' '.join(sorted(missing.values()))}"
    if _codename() != _RELEASE and not os.environ.get("MATRIX_MIRROR"):
        return (
            f"the sources are those of Debian {_RELEASE}; "
            f"type: export MATRIX_MIRROR={_mirror.DEFAULT}"
        )
    if why := _mirror.lacks(hosts_own=True):
        return f"it is built from Debian's packages, and {why}"
    return ""


def built() -> Box | None:
    """The one in the cache, if it is whole and of this recipe, and the C library is there."""
    folder = cache("musl")
    if made_by(folder) != _recipe() or not os.path.exists(_LOADER):
        return None
    return Box(folder, os.path.join(folder, "bin/python3"), os.path.join(folder, "bin/musl-cc"))


def build(say: Say, force: bool = False) -> Box:
    """The one of the cache, built if it is not there; ``force`` builds it anew.

    Raises `Unavailable`.
    """
    with alone("musl"):
        if not force and (box := built()):
            return box
        if reason := lacks():
            raise Unavailable(f"musl cannot be built: {reason}")
        with building("musl", _recipe()) as folder:
            _build(folder, say)
    box = built()
    if not box:
        raise Unavailable(f"{cache('musl')}: what was just built is not what it was")
    return box


def _recipe() -> str:
    """Changes when what is built would."""
    parts = (_SOURCES, _RELEASE, _COMPILER, _LEFT_OUT, _steps("", ""), platform.machine())
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _codename() -> str:
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    return ""


@dataclass(frozen=True)
class _Step:
    """A command run in the folder of a source package."""

    source: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    said: str = ""


def _steps(folder: str, jobs: str) -> list[_Step]:
    """How it is built to be in ``folder``; ``jobs`` is make's ``-j2``."""
    plain = (("CFLAGS", "-O1 -fPIC"),)
    libraries = ("--disable-shared", "--disable-docs", "--disable-multi-os-directory")
    # No folder of the host's is searched for libraries: they are glibc's.
    found = (
        ("OPT", "-O1"),
        ("CPPFLAGS", f"-I{folder}/include"),
        ("LDFLAGS", f"-L{folder}/lib"),
        ("PKG_CONFIG_LIBDIR", f"{folder}/lib/pkgconfig"),
    )
    options = ("--without-ensurepip", "--without-doc-strings", "--disable-test-modules")
    prefix = f"--prefix={folder}"
    return [
        _Step("zlib", ("./configure", "--static", prefix), plain, "building zlib and libffi"),
        _Step("zlib", ("make", jobs, "libz.a")),
        _Step("zlib", ("make", "install")),
        _Step("libffi", ("./configure", prefix, *libraries), plain),
        _Step("libffi", ("make", jobs, "install")),
        _Step(
            _PYTHON,
            ("./configure", prefix, "--with-system-ffi", *options),
            found,
            "configuring CPython",
        ),
        _Step(_PYTHON, ("make", jobs), said="compiling CPython: one to two minutes"),
        _Step(_PYTHON, ("make", "install"), said="installing CPython"),
        _Step(_PYTHON, (f"{folder}/bin/python3", "-c", "import ctypes, zlib")),
    ]


def _build(folder: str, say: Say) -> None:
    sources = os.path.join(folder, "sources")
    say("fetching Debian's source packages")
    _fetch(sources)
    fixed = {**os.environ, "CC": _make_compiler(folder), "LC_ALL": "C"}
    for name in ("CFLAGS", "CPPFLAGS", "LDFLAGS"):
        fixed.pop(name, None)
    for step in _steps(folder, f"-j{len(os.sched_getaffinity(0))}"):
        if step.said:
            say(step.said)
        (unpacked,) = glob.glob(f"{glob.escape(sources)}/{step.source}-*/")
        _run(step.command, unpacked, {**fixed, **dict(step.environment)})

    library = f"{glob.escape(folder)}/lib"
    unneeded = [path for name in _LEFT_OUT for path in glob.glob(f"{library}/{_PYTHON}/{name}")]
    for path in [sources, f"{folder}/share", f"{folder}/include", *unneeded]:
        shutil.rmtree(path)
    for path in glob.glob(f"{library}/lib*"):
        os.unlink(path)


def _fetch(folder: str) -> None:
    """Debian's source packages, checked by apt and unpacked, each below ``folder``.

    By an apt with lists and sources of its own: /etc/apt's archives, asked for their sources.
    """
    apt = os.path.join(folder, "apt")
    for name in ("sources.list.d", "lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(apt, name))
    if mirror := os.environ.get("MATRIX_MIRROR"):
        texts = {"mirror.list": f"deb [signed-by={_KEYRING}] {mirror} {_RELEASE} main\n"}
    else:
        texts = {}
        for path in ["/etc/apt/sources.list", *glob.glob("/etc/apt/sources.list.d/*")]:
            if path.endswith((".list", ".sources")) and os.path.isfile(path):
                with open(path, encoding="utf-8") as file:
                    texts[os.path.basename(path)] = file.read()
    for name, text in texts.items():
        text = re.sub(r"(?m)^Types:.*", "Types: deb-src", text)
        text = re.sub(r"(?m)^deb-src\s.*\n?", "", text)
        text = re.sub(r"(?m)^deb(?=\s)", "deb-src", text)
        with open(os.path.join(apt, "sources.list.d", name), "w", encoding="utf-8") as file:
            file.write(text)
    configuration = os.path.join(apt, "apt.conf")
    with open(configuration, "w", encoding="utf-8") as file:
        # What the host's apt does after an update it does to the host's own lists.
        file.write(
            f'Dir::Etc::SourceList "/dev/null"; Dir::Etc::SourceParts "{apt}/sources.list.d";\n'
            f'Dir::State::Lists "{apt}/lists"; Dir::Cache "{apt}/cache";\n'
            "#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n"
        )
    command = ["apt-get", "-q", "-c", configuration]
    _run([*command, "update"], folder, dict(os.environ))
    # The release itself: the archives beside it may be ahead of their mirrors.
    wanted = ["--only-source", f"--target-release={_RELEASE}", *_SOURCES]
    _run([*command, "source", *wanted], folder, dict(os.environ))


def _make_compiler(folder: str) -> str:
    """The path of the C compiler, which is there then."""
    asked = subprocess.run(["gcc", "-print-multiarch"], capture_output=True, text=True, check=True)
    headers = {
        "linux": _KERNEL_HEADERS,
        "asm": f"/usr/include/{asked.stdout.strip()}/asm",
        "asm-generic": "/usr/include/asm-generic",
    }
    for name in ("bin", "kernel"):
        os.mkdir(os.path.join(folder, name))
    for name, path in headers.items():
        os.symlink(path, os.path.join(folder, "kernel", name))
    compiler = os.path.join(folder, "bin/musl-cc")
    with open(compiler, "w", encoding="ascii") as file:
        file.write(_COMPILER.format(machine=platform.machine()))
    os.chmod(compiler, 0o755)
    return compiler


def _run(command: Sequence[str], folder: str, environment: dict[str, str]) -> None:
    """Run it in ``folder``; CalledProcessError, with the line that tells most, if it fails."""
    log = os.path.join(folder, "run.log")
    with (
        open(log, "w+", encoding="utf-8", errors="replace") as said,
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            # What it started ends with it when we are interrupted.
            start_new_session=True,
        ) as process,
    ):
        try:
            process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
        if process.returncode:
            said.seek(0)
            lines = [line.strip() for line in said if line.strip()]
            told = [line for line in lines if re.search(r"\berror:|^E: ", line)] or lines[-1:]
            raise subprocess.CalledProcessError(process.returncode, command[0], "".join(told[:1]))
