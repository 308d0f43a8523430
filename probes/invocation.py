"""called(): a program's command as the user typed it, for hints that can be copied.

And is_interrupt(): whether the user ended it.
"""

from __future__ import annotations

import os
import sys


def called(program: str = "probes") -> str:
    """Return how ``program`` was started: ``probes``, ``python3 -m probes``, ``python3 lab.pyz``.

    A process that was started as something else, such as a test runner that imports the lab,
    is told the form that needs no installation.
    """
    script = sys.argv[0] if sys.argv and sys.argv[0] else ""
    name = os.path.basename(script)
    if name == program:
        return _shortest(script)
    if name.endswith(".pyz") and os.path.isfile(script):
        return f"{_python()} {_quoted(script)}"
    if name == "__main__.py" and os.path.basename(os.path.dirname(script)) == program:
        return f"{_python()} -m {program}"
    return f"python3 -m {program}"


def is_interrupt(error: BaseException) -> bool:
    """Return whether an interrupt raised ``error``.

    Before Python 3.12 one that falls into the making of a class, amid an import, comes out as
    RuntimeError.
    """
    return isinstance(error, KeyboardInterrupt) or (
        isinstance(error, RuntimeError) and isinstance(error.__cause__, KeyboardInterrupt)
    )


def _python() -> str:
    """Return the interpreter as it was typed; Python 3.9 does not keep that."""
    typed: list[str] = getattr(sys, "orig_argv", [])
    return _shortest(typed[0] if typed and typed[0] else sys.executable or "python3")


def _shortest(path: str) -> str:
    """Return the name alone if the shell would find the same file under it."""
    name = os.path.basename(path)
    if path == name:
        return name
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        found = os.path.join(folder, name)
        if os.access(found, os.X_OK):
            alike = os.path.abspath(found) == os.path.abspath(path)
            return name if alike else _quoted(path)
    return _quoted(path)


def _quoted(path: str) -> str:
    import shlex  # Rarely needed, and slow to import.

    return shlex.quote(path)
