"""Find the C compiler; build and run a small C program under given flags."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess

from .probe import Blocked, Unsupported


@functools.cache
def command() -> tuple[str, ...]:
    """``$CC`` if it is set, else the first of cc, gcc and clang.  Empty where there is none."""
    candidates = [os.environ["CC"]] if os.environ.get("CC") else ["cc", "gcc", "clang"]
    for candidate in candidates:
        words = shlex.split(candidate)
        if words and shutil.which(words[0]):
            return tuple(words)
    return ()


def version() -> str:
    """The first line of ``cc --version``, empty where there is no compiler."""
    if not command():
        return ""
    try:
        said = subprocess.run(
            [*command(), "--version"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=5, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout.decode(errors="replace").partition("\n")[0].strip()


def run(source: str, *flags: str) -> str:
    """Compile ``source`` with ``flags`` in the current folder, run it, give its output.

    Raises Blocked without a compiler, Unsupported where it refuses the program.
    """
    if not command():
        raise Blocked("needs a C compiler: install cc, gcc or clang, or set CC")
    with open("asked.c", "w", encoding="ascii") as file:
        file.write(source)
    built = subprocess.run(
        [*command(), *flags, "-o", "asked", "asked.c"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    if built.returncode:
        lines = built.stdout.decode(errors="replace").splitlines()
        said = next((line for line in lines if "error" in line), "it said nothing")
        raise Unsupported(f"the C compiler refuses it with {' '.join(flags) or 'no flags'}: {said}")
    done = subprocess.run(["./asked"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode()
