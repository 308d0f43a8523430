"""gVisor's runsc: a kernel of its own in user space, with this host's files read-only below it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys

from . import Way


class Runsc(Way):
    """No argument.  The Python is the host's own, as the files are."""

    def lacks(self) -> str:
        if not shutil.which("runsc"):
            return "no runsc (gVisor): apt-get install runsc"
        try:
            tried = subprocess.run(
                [*self._command(), "true"],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "runsc do true did not end within 30 s: this machine does not let it trace"
        if tried.returncode:
            said = tried.stderr.strip().splitlines()[-1:] or [f"status {tried.returncode}"]
            return f"runsc does not run here: {said[0]}; try: {shlex.join(self._command())} true"
        return ""

    def up(self) -> str:
        return f"popen//python={shlex.join([*self._command(), _python()])}"

    def down(self) -> None:
        pass  # It ends with the process it runs.

    def _command(self) -> list[str]:
        # Of its own: what it keeps of a container is not to meet another run's.
        root = os.path.join(self.folder, "runsc")
        rootless = [] if os.geteuid() == 0 else ["--rootless"]
        ignore = ["--ignore-cgroups"] if os.geteuid() == 0 else []
        return [
            "runsc", "--root", root, *rootless, *ignore,
            "--platform=ptrace", "--network=none", "do",
        ]  # fmt: skip


def _python() -> str:
    # A virtual environment's Python finds its packages, and nothing of it is needed there.
    return os.path.realpath(sys.executable)


WAY = Runsc
