"""This host, with the Python that runs the matrix, or another of it: ``here``, ``here:PYTHON``.

Pythons are looked for on the path and where pyenv keeps them.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator

from . import Unavailable, Way


class Here(Way):
    """``PYTHON`` is a program, ``python3.9``; ``oldest`` is the oldest that the lab runs on."""

    label = "here"
    argument_is = 'a Python: "here:python3.9"'
    needs_argument = False

    def lacks(self) -> str:
        try:
            self._python()
        except Unavailable as error:
            return str(error)
        return ""

    def up(self) -> str:
        return f"popen//python={shlex.quote(self._python())}"

    def down(self) -> None:
        pass

    def _python(self) -> str:
        if not self.argument:
            return sys.executable
        names = [f"python3.{n}" for n in range(9, 12)]
        for name in names if self.argument == "oldest" else [self.argument]:
            # What is on the path may be a stub of a version manager that runs nothing.
            for path in _found(name):
                if _runs(path):
                    return path
        wanted = names[0] if self.argument == "oldest" else self.argument
        version = wanted.removeprefix("python")
        how = f"pyenv install {version}" if re.fullmatch(r"3\.\d+", version) else "install it"
        raise Unavailable(f"no {wanted} that runs on the path: {how}")


def _found(name: str) -> Iterator[str]:
    """The programs of that name, the likeliest first."""
    if path := shutil.which(name):
        yield path
    if re.fullmatch(r"python3\.\d+", name):
        root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
        version = glob.escape(root) + f"/versions/{name.removeprefix('python')}.*/bin/{name}"
        yield from sorted(glob.glob(version), reverse=True)


def _runs(path: str) -> bool:
    return not subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode


WAY = Here
