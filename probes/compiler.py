"""Find the C compiler; build and run a small C program with given flags."""

from __future__ import annotations

import errno
import functools
import os
import shlex
import signal

from . import refusals
from .harness.children import describe_ending
from .probe import Blocked, Unsupported
from .run_program import run as run_command

patience = 8.0
"""Seconds that the compiler may take: less than a probe, so that the reason names the compiler."""


def _find_working_folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # It was removed.
        return "/"


# A probe runs in a scratch folder, where a relative $CC would not be found.
_STARTED_IN = _find_working_folder()
_INSTALL = "needs a C compiler: install cc, gcc or clang, or set CC"


def find_command() -> tuple[str, ...]:
    """Return ``$CC`` if it is set, or the first of cc, gcc and clang; empty if none exists."""
    return _find()[0]


@functools.cache
def _find() -> tuple[tuple[str, ...], str]:
    """Return the compiler's command, or an empty one and the reason."""
    asked = os.environ.get("CC", "")
    if not asked.strip():
        for name in ("cc", "gcc", "clang"):
            if any(map(_is_program, _list_paths(name))):
                return (name,), ""
        return (), _INSTALL
    setting = f"CC is set to {asked!r}"
    remedy = "unset CC or name a compiler"
    try:
        program, *options = shlex.split(asked)
    except ValueError:
        return (), f"{setting}: a quotation mark is not closed; {remedy}"
    paths = _list_paths(program)
    if any(map(_is_program, paths)):
        return (paths[0] if os.sep in program else program, *options), ""
    if any(map(os.path.isfile, paths)):
        return (), f"{setting}: may not be executed; make it executable, or {remedy}"
    return (), f"{setting}: no such program; {remedy}"


def _list_paths(program: str) -> list[str]:
    if os.sep in program:
        return [os.path.join(_STARTED_IN, program)]
    return [os.path.join(folder, program) for folder in os.get_exec_path()]


def _is_program(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def get_version() -> str:
    """Return the first line of ``cc --version``, empty if there is no compiler."""
    if not find_command():
        return ""
    try:
        _, output = run_command([*find_command(), "--version"], seconds=5)
    except (OSError, Blocked):
        return ""
    return output.partition("\n")[0].strip()


def run(source: str, *flags: str) -> str:
    """Compile ``source`` with ``flags`` in the current folder, run it, return its output.

    Raises Blocked without a compiler, Unsupported if the compiler refuses the program.
    """
    _build(source, *flags, "-o", "asked")
    try:
        status, output = run_command(["./asked"])
    except PermissionError:
        raise Blocked("the scratch file system is noexec: set TMPDIR to another") from None
    if status:
        raise RuntimeError(f"the compiled program {describe_ending(status)}")
    return output


def read_constant(expression: str, header: str, *flags: str) -> int:
    """Return a constant from 0 to 999 as the compiler sees it after ``#include <header>``.

    It is read from the object file, in a third of the time of linking and running a program.
    Raises as `run` does.
    """
    digits = ", ".join(f"'0' + ({expression}) / {power} % 10" for power in (100, 10, 1))
    mark = "asked:"
    letters = ", ".join(f"'{letter}'" for letter in mark)
    _build(
        f"#include <{header}>\nconst char asked[] = {{{letters}, {digits}}};\n",
        *flags, "-c", "-o", "asked.o",
    )  # fmt: skip
    with open("asked.o", "rb") as file:
        _, found, after = file.read().partition(mark.encode())
    if not found:
        raise Unsupported("the C compiler's object files do not hold constants as plain bytes")
    return int(after[:3])


def _build(source: str, *arguments: str) -> None:
    words, missing = _find()
    if not words:
        raise Blocked(missing)
    status, output = _compile(source, *arguments)
    if not status and os.path.exists(arguments[-1]):
        return
    why = next((line for line in output.splitlines() if "error" in line), "no error message")
    # Does the compiler refuse only this program, or every program?
    if not os.WIFSIGNALED(status):
        status, _ = _compile("#include <stdio.h>\nint main(void) { return 0; }\n", "-o", "any")
    if os.WIFSIGNALED(status):
        why = describe_ending(status)
    if status or not os.path.exists("any"):
        raise Blocked(f"the C compiler {words[0]} does not work here: {why}")
    flags = " ".join(arguments[: arguments.index("-o")])
    raise Unsupported(f"the C compiler refuses it with {flags or 'no flags'}: {why}")


_CANNOT_RUN = (errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR, errno.ELOOP)


def _compile(source: str, *arguments: str) -> tuple[int, str]:
    """Return the wait status of the compiler for ``source``, and its output."""
    with open("asked.c", "w", encoding="ascii") as file:
        file.write(source)
    words = find_command()
    try:
        status, output = run_command(
            [*words, *arguments, "asked.c"], errors_too=True, seconds=patience
        )
    except TimeoutError as error:
        raise Blocked(f"the C compiler {words[0]} {error.strerror}") from None
    except OSError as error:
        if error.errno not in _CANNOT_RUN or error.filename != words[0]:
            raise
        raise Blocked(f"the C compiler {words[0]} cannot be run: {error.strerror}") from None
    if status and os.strerror(errno.EAGAIN) in output:
        raise Blocked(refusals.PROCESSES)
    for number in refusals.LIMITS:
        if status and os.strerror(number) in output:
            raise OSError(number, os.strerror(number))
    if status and _TOO_LONG in output:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    # gcc prints this, and exits with 1 or 4, when one of the programs it runs is killed.
    killed = next((line for line in output.splitlines() if _A_PART_WAS_KILLED in line), "")
    if status and killed:
        raise Blocked(f"the C compiler {words[0]} does not work here: {killed}")
    return status, output


_A_PART_WAS_KILLED = "signal terminated program"
_TOO_LONG = signal.strsignal(signal.SIGXFSZ) or "SIGXFSZ"
