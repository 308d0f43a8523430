"""gVisor's runsc: a kernel in user space, with this host's files, read-only."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys

from . import Provider


class Runsc(Provider):
    """Takes no argument.  The Python is the host's."""

    def explain_lack(self) -> str:
        if not shutil.which("runsc"):
            return "runsc (gVisor) is not installed: apt-get install runsc"
        try:
            tried = subprocess.run(
                [*self._make_command(), "true"],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "runsc do true did not end within 30 s: this machine does not let it trace"
        if tried.returncode:
            said = tried.stderr.strip().splitlines()[-1:] or [f"status {tried.returncode}"]
            return (
                f"runsc does not run here: {said[0]}; try: {shlex.join(self._make_command())} true"
            )
        return ""

    def up(self) -> str:
        return f"popen//python={shlex.join([*self._make_command(), _find_python()])}"

    def down(self) -> None:
        pass  # It ends with its process.

    def _make_command(self) -> list[str]:
        # Its own folder, so that its state does not clash with another run's.
        root = os.path.join(self.folder, "runsc")
        rootless = [] if os.geteuid() == 0 else ["--rootless"]
        ignore = ["--ignore-cgroups"] if os.geteuid() == 0 else []
        return [
            "runsc", "--root", root, *rootless, *ignore,
            "--platform=ptrace", "--network=none", "do",
        ]  # fmt: skip


def _find_python() -> str:
    # Not a virtual environment's Python, whose packages are not needed.
    return os.path.realpath(sys.executable)


PROVIDER = Runsc
