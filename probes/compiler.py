"""Find the C compiler; build and run a small C program under given flags."""

from __future__ import annotations

import errno
import functools
import os
import shlex

from .command import run as run_command
from .harness import ending
from .probe import Blocked, Unsupported


@functools.cache
def command() -> tuple[str, ...]:
    """``$CC`` if it is set, else the first of cc, gcc and clang.  Empty where there is none."""
    candidates = [os.environ["CC"]] if os.environ.get("CC") else ["cc", "gcc", "clang"]
    for candidate in candidates:
        try:
            words = shlex.split(candidate)
        except ValueError:  # A quote that is never closed.
            words = []
        paths = [os.path.join(folder, words[0]) for folder in os.get_exec_path()] if words else []
        if any(os.path.isfile(path) and os.access(path, os.X_OK) for path in paths):
            return tuple(words)
    return ()


def version() -> str:
    """The first line of ``cc --version``, empty where there is no compiler."""
    if not command():
        return ""
    try:
        _, said = run_command([*command(), "--version"], seconds=5)
    except OSError:
        return ""
    return said.partition("\n")[0].strip()


def run(source: str, *flags: str) -> str:
    """Compile ``source`` with ``flags`` in the current folder, run it, give its output.

    Raises Blocked without a compiler, Unsupported where it refuses the program.
    """
    _build(source, *flags, "-o", "asked")
    try:
        status, said = run_command(["./asked"])
    except PermissionError:
        raise Blocked("the scratch file system runs no programs: set TMPDIR elsewhere") from None
    if status:
        raise RuntimeError(f"the compiled program {ending(status)}")
    return said


def constant(expression: str, header: str, *flags: str) -> int:
    """A constant from 0 to 999 as the compiler sees it after ``#include <header>``.

    Read from the object file: a third of the time it takes to link a program and run it.
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
        raise Unsupported("the C compiler's object files do not hold constants as they are")
    return int(after[:3])


def _build(source: str, *arguments: str) -> None:
    if not command():
        raise Blocked("needs a C compiler: install cc, gcc or clang, or set CC")
    status, said = _compiled(source, *arguments)
    if not status and os.path.exists(arguments[-1]):
        return
    why = next((line for line in said.splitlines() if "error" in line), "it said nothing")
    # Is it this program that it does not take, or any?
    status, _ = _compiled("#include <stdio.h>\nint main(void) { return 0; }\n", "-o", "any")
    if status or not os.path.exists("any"):
        raise Blocked(f"the C compiler {command()[0]} does not work here: {why}")
    flags = " ".join(arguments[: arguments.index("-o")])
    raise Unsupported(f"the C compiler refuses it with {flags or 'no flags'}: {why}")


def _compiled(source: str, *arguments: str) -> tuple[int, str]:
    """The wait status of the compiler for ``source``, and what it said."""
    with open("asked.c", "w", encoding="ascii") as file:
        file.write(source)
    status, said = run_command([*command(), *arguments, "asked.c"], errors_too=True)
    for number in (errno.ENOSPC, errno.EDQUOT):
        if status and os.strerror(number) in said:
            raise OSError(number, os.strerror(number))
    return status, said
