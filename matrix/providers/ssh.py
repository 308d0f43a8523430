"""A host that ssh reaches: ``ssh:me@box``, or any name in ``~/.ssh/config``."""

from __future__ import annotations

import shutil
import subprocess

from matrix.errors import Unavailable

from . import Provider

_OPTIONS = (
    # Never ask for a password, and give up if the host does not answer.
    "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=15",
)  # fmt: skip

# FreeBSD's package installs python3.11, and python3 only with another package.
_NAMES = ["python3", *(f"python3.{minor}" for minor in range(15, 8, -1))]
# A single word for the login shell, which may be csh(1); /bin/sh runs the rest.
SCRIPT = f"/bin/sh -c '{' || '.join(f'command -v {name}' for name in _NAMES)} || exit 44'"


class Ssh(Provider):
    """The argument is what ssh takes, with options: ``-p 2222 me@box``."""

    argument_is = 'a host that ssh reaches: "ssh:me@box"'

    def explain_lack(self) -> str:
        if not shutil.which("ssh"):
            return "ssh is not installed: apt-get install openssh-client"
        try:
            self._find_python()
        except Unavailable as error:
            return str(error)
        return ""

    def up(self) -> str:
        # ssh's own messages must not appear among the user's lines.
        options = f"{' '.join(_OPTIONS)} -E /dev/null {self.argument}"
        return f"ssh={options}//python={self._find_python()}"

    def down(self) -> None:
        pass  # Another machine's owner keeps it up.

    def _find_python(self) -> str:
        command = ["ssh", "-T", *_OPTIONS, *self.argument.split(), SCRIPT]
        try:
            asked = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=60, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Unavailable(f"ssh {self.argument}: no answer within 60 s") from None
        if asked.returncode == 44:
            raise Unavailable(
                f"{self.argument}: has no Python 3; install 3.9 or newer "
                "with apt-get install python3 or pkg install python3"
            )
        if asked.returncode:
            said = asked.stderr.strip().splitlines()[-1:] or [f"status {asked.returncode}"]
            raise Unavailable(f"ssh {self.argument}: {said[0]}; try: ssh {self.argument} true")
        return asked.stdout.split()[0]


PROVIDER = Ssh
