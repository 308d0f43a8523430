"""This host, with the Python that runs the matrix or another one: ``here``, ``here:PYTHON``.

Pythons are searched on the PATH and in pyenv's folder.
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

from matrix.errors import Unavailable

from . import Provider


class Here(Provider):
    """``PYTHON`` is a program such as ``python3.9``; ``oldest`` is the oldest supported one."""

    label = "here"
    argument_is = 'a Python: "here:python3.9"'
    needs_argument = False

    def explain_lack(self) -> str:
        try:
            self._find_python()
        except Unavailable as error:
            return str(error)
        return ""

    def up(self) -> str:
        return f"popen//python={shlex.quote(self._find_python())}"

    def down(self) -> None:
        pass

    def _find_python(self) -> str:
        if not self.argument:
            return sys.executable
        names = [f"python3.{n}" for n in range(9, 12)]
        for name in names if self.argument == "oldest" else [self.argument]:
            # A program on the PATH may be a version manager's stub for a Python that is not
            # installed.
            for path in _find_programs(name):
                if _is_working(path):
                    return path
        wanted = names[0] if self.argument == "oldest" else self.argument
        version = wanted.removeprefix("python")
        how = f"pyenv install {version}" if re.fullmatch(r"3\.\d+", version) else "install it"
        raise Unavailable(f"no working {wanted} on the PATH: {how}")


def _find_programs(name: str) -> Iterator[str]:
    """Yield the programs of that name, the most likely first."""
    if path := shutil.which(name):
        yield path
    if re.fullmatch(r"python3\.\d+", name):
        root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
        version = glob.escape(root) + f"/versions/{name.removeprefix('python')}.*/bin/{name}"
        yield from sorted(glob.glob(version), reverse=True)


def _is_working(path: str) -> bool:
    return not subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode


PROVIDER = Here
