"""CPython on the musl C library, for this host's kernel: a folder with Python and a C compiler.

    matrix box musl
    matrix box musl:i386

It is built for this host's processor, or on amd64 for i386: 32-bit programs on a 64-bit kernel.
Distributions based on glibc have no package of such a Python.  It is built from Debian 12's
source packages of CPython, libffi and zlib with musl-gcc(1), by any user, in some minutes.
The C library itself is the host's package musl, which this Python loads when it starts.

musl-gcc does not search the kernel's own headers (<linux/…>, <asm/…>), because their folder also
has glibc's.  ``bin/musl-cc`` adds only the former, after musl's.  It compiles what is built here,
and the lab's C programs.

``MATRIX_MIRROR`` names a mirror to use in place of those in the host's /etc/apt, which is only
read.
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
from collections.abc import Sequence
from dataclasses import dataclass

from matrix.errors import Say
from matrix.interrupts import run_program
from probes.errors import CommandError

from . import _mirror, find_cache_path
from ._cache import build_folder, read_recipe

_PYTHON = "python3.11"
_SOURCES = (_PYTHON, "libffi", "zlib")
_RELEASE = "bookworm"

ARGUMENT = "musl[:i386]"

# What the host must have, and the package that gives it.
_PROGRAMS = {"apt-get": "apt", "dpkg-source": "dpkg-dev", "gcc": "gcc", "make": "make"}
_KERNEL_HEADERS = "/usr/include/linux"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

_COMPILER = """\
#!/bin/sh
case $1 in *-print-multiarch) exec echo {machine}-linux-musl ;; esac
exec {compiler} "$@" -idirafter "${{0%/*}}/../kernel"
"""

# Installed by `make install`, but imported by no program of this project.
_LEFT_OUT = ("test", "idlelib", "lib2to3", "tkinter", "turtledemo", "ensurepip", "config-*")


@dataclass(frozen=True)
class Box:
    """The paths of what was built."""

    folder: str
    python: str
    compiler: str


@dataclass(frozen=True)
class Target:
    """The processor whose programs a box has."""

    machine: str
    """Its name in musl's paths."""
    suffix: str = ""
    """What the names of its packages end with; empty for the host's processor."""
    prefix: tuple[str, ...] = ()
    """Words before a command, so that ``uname -m`` names the processor."""

    @property
    def name(self) -> str:
        """Return the name of its folder in the cache."""
        return f"musl{self.suffix.replace(':', '-')}"

    @property
    def compiler(self) -> str:
        """Return the program of the package musl-dev."""
        return f"{self.machine}-linux-musl-gcc"

    @property
    def loader(self) -> str:
        """Return the path of the C library, which the package musl has."""
        return f"/lib/ld-musl-{self.machine}.so.1"


def parse_argument(argument: str) -> Target:
    """Return what an argument like `ARGUMENT` names; raise CommandError."""
    own = platform.machine()
    if not argument:
        return Target(own)
    if argument != "i386":
        raise CommandError(
            f"unknown processor {argument!r}; write i386, or nothing for this host's processor"
        )
    if own != "x86_64":
        raise CommandError(f"musl for i386 is built on x86_64, and this is {own}")
    return Target("i386", ":i386", ("setarch", "i386"))


def explain_lack(argument: str = "") -> str:
    """Return what the host lacks to build the box, and what to type; empty if nothing."""
    target = parse_argument(argument)
    programs = {**_PROGRAMS, target.compiler: f"musl-dev{target.suffix}"}
    files = {
        target.loader: f"musl{target.suffix}",
        _KERNEL_HEADERS: "linux-libc-dev",
        _KEYRING: "debian-archive-keyring",
    }
    missing = {name: package for name, package in programs.items() if not shutil.which(name)}
    missing |= {path: package for path, package in files.items() if not os.path.exists(path)}
    if missing:
        packages = " ".join(sorted(missing.values()))
        install = f"apt-get install {packages}"
        if target.suffix and target.suffix in packages:
            install = f"dpkg --add-architecture i386 && apt-get update && {install}"
        return f"not installed: {', '.join(missing)}; {install}"
    if _find_codename() != _RELEASE and not os.environ.get("MATRIX_MIRROR"):
        return (
            f"the sources are those of Debian {_RELEASE}; "
            f"type: export MATRIX_MIRROR={_mirror.DEFAULT}"
        )
    if why := _mirror.explain_lack(hosts_own=True):
        return f"it is built from Debian's packages, and {why}"
    return ""


def find_built(argument: str = "") -> Box | None:
    """Return the box in the cache, if it is of this recipe and the C library exists; or None."""
    target = parse_argument(argument)
    path = find_cache_path(target.name)
    return _make_box(path) if read_recipe(path) == _hash_recipe(target) else None


def build(say: Say, force: bool = False, argument: str = "") -> Box:
    """Return the box; build it if it is not in the cache, or with ``force``.

    Raise `Unavailable` if it cannot be built.
    """
    target = parse_argument(argument)
    path = build_folder(
        target.name,
        _hash_recipe(target),
        lambda: explain_lack(argument),
        lambda folder: _build(folder, target, say),
        say,
        force,
    )
    return _make_box(path)


def _make_box(path: str) -> Box:
    return Box(path, os.path.join(path, "bin/python3"), os.path.join(path, "bin/musl-cc"))


def _hash_recipe(target: Target) -> str:
    """Return a hash that changes if the result of a build would change."""
    # Without the C library a box is of no use, and what is missing is said as for a build.
    loads = os.path.exists(target.loader)
    parts = (_SOURCES, _RELEASE, _COMPILER, _LEFT_OUT, _list_steps("", ""), target, loads)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _find_codename() -> str:
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


def _list_steps(folder: str, jobs: str) -> list[_Step]:
    """Return the steps that build it for ``folder``; ``jobs`` is make's option, such as ``-j2``."""
    plain = (("CFLAGS", "-O1 -fPIC"),)
    libraries = ("--disable-shared", "--disable-docs", "--disable-multi-os-directory")
    # The host's folders are not searched for libraries, which are built for glibc.
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


def _build(folder: str, target: Target, say: Say) -> None:
    sources = os.path.join(folder, "sources")
    say("fetching Debian's source packages")
    _fetch(sources)
    fixed = {**os.environ, "CC": _make_compiler(folder, target), "LC_ALL": "C"}
    for name in ("CFLAGS", "CPPFLAGS", "LDFLAGS"):
        fixed.pop(name, None)
    for step in _list_steps(folder, f"-j{len(os.sched_getaffinity(0))}"):
        if step.said:
            say(step.said)
        (unpacked,) = glob.glob(f"{glob.escape(sources)}/{step.source}-*/")
        environment = {**fixed, **dict(step.environment)}
        _run(step.command, unpacked, environment, target.prefix)

    library = f"{glob.escape(folder)}/lib"
    unneeded = [path for name in _LEFT_OUT for path in glob.glob(f"{library}/{_PYTHON}/{name}")]
    for path in [sources, f"{folder}/share", f"{folder}/include", *unneeded]:
        shutil.rmtree(path)
    for path in glob.glob(f"{library}/lib*"):
        os.unlink(path)


def _fetch(folder: str) -> None:
    """Fetch Debian's source packages below ``folder``, checked by apt and unpacked.

    apt gets lists and sources of its own: the archives of /etc/apt, but their source packages.
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
        # The host's hooks after an update would act on the host's own lists.
        file.write(
            f'Dir::Etc::SourceList "/dev/null"; Dir::Etc::SourceParts "{apt}/sources.list.d";\n'
            f'Dir::State::Lists "{apt}/lists"; Dir::Cache "{apt}/cache";\n'
            "#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n"
        )
    command = ["apt-get", "-q", "-c", configuration]
    _run([*command, "update"], folder, dict(os.environ))
    # Only the release itself: the mirrors of the other archives may be out of date.
    wanted = ["--only-source", f"--target-release={_RELEASE}", *_SOURCES]
    _run([*command, "source", *wanted], folder, dict(os.environ))


def _make_compiler(folder: str, target: Target) -> str:
    """Write the C compiler, and return its path."""
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
        file.write(_COMPILER.format(machine=target.machine, compiler=target.compiler))
    os.chmod(compiler, 0o755)
    return compiler


def _run(
    command: Sequence[str], folder: str, environment: dict[str, str], prefix: Sequence[str] = ()
) -> None:
    """Run a command in ``folder``; if it fails, raise CalledProcessError with its main message."""
    log = os.path.join(folder, "run.log")
    with (
        open(log, "w+", encoding="utf-8", errors="replace") as said,
        run_program(
            [*prefix, *command],
            _kill,
            cwd=folder,
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        process.wait()
        if process.returncode:
            said.seek(0)
            lines = [line.strip() for line in said if line.strip()]
            told = [line for line in lines if re.search(r"\berror:|^E: ", line)] or lines[-1:]
            raise subprocess.CalledProcessError(process.returncode, command[0], "".join(told[:1]))


def _kill(process: subprocess.Popen[str]) -> None:
    """End a process with everything it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
