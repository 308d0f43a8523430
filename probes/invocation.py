"""How the user started the program, for hints that can be copied, and interrupted it."""

from __future__ import annotations

import os
import sys


def get_invocation(program: str = "probes") -> str:
    """Return how ``program`` was started: ``probes``, ``python3 -m probes``, ``python3 lab.pyz``.

    In another program, such as a test runner that imports the lab, return the form that needs no
    installation.
    """
    script = sys.argv[0] if sys.argv and sys.argv[0] else ""
    name = os.path.basename(script)
    if name == program:
        return _shorten(script)
    if name.endswith(".pyz") and os.path.isfile(script):
        return f"{_name_python()} {_quote(script)}"
    if name == "__main__.py" and os.path.basename(os.path.dirname(script)) == program:
        return f"{_name_python()} -m {program}"
    return f"python3 -m {program}"


def is_interrupt(error: BaseException) -> bool:
    """Return whether an interrupt raised ``error``.

    Before Python 3.12, an interrupt while a class is made, during an import, is a RuntimeError.
    """
    return isinstance(error, KeyboardInterrupt) or (
        isinstance(error, RuntimeError) and isinstance(error.__cause__, KeyboardInterrupt)
    )


def _name_python() -> str:
    """Return the interpreter as the user typed it, if this version of Python knows that."""
    typed: list[str] = getattr(sys, "orig_argv", [])
    return _shorten(typed[0] if typed and typed[0] else sys.executable or "python3")


def _shorten(path: str) -> str:
    """Return only the name if the shell would find the same file by it."""
    name = os.path.basename(path)
    if path == name:
        return name
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        found = os.path.join(folder, name)
        if os.access(found, os.X_OK):
            alike = os.path.abspath(found) == os.path.abspath(path)
            return name if alike else _quote(path)
    return _quote(path)


def _quote(path: str) -> str:
    import shlex  # Rarely needed, and slow to import.

    return shlex.quote(path)
