"""A host one reaches by ssh: ``ssh:me@box``, or any name of ``~/.ssh/config``."""

from __future__ import annotations

import shutil
import subprocess

from . import Unavailable, Way

_OPTIONS = (
    # No question that nobody would answer, and an end where nobody answers.
    "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=15",
)  # fmt: skip

# FreeBSD's package gives python3.11, and python3 only with another package.
_NAMES = ["python3", *(f"python3.{minor}" for minor in range(15, 8, -1))]
# One word for whatever shell a user has, csh(1) too, and the rest is for sh(1).
SCRIPT = f"/bin/sh -c '{' || '.join(f'command -v {name}' for name in _NAMES)} || exit 44'"


class Ssh(Way):
    """The argument is what ssh takes, options and all: ``-p 2222 me@box``."""

    argument_is = 'a host that ssh reaches: "ssh:me@box"'

    def lacks(self) -> str:
        if not shutil.which("ssh"):
            return "no ssh: apt-get install openssh-client"
        try:
            self._python()
        except Unavailable as error:
            return str(error)
        return ""

    def up(self) -> str:
        # What ssh says of its own is not to be among our lines.
        options = f"{' '.join(_OPTIONS)} -E /dev/null {self.argument}"
        return f"ssh={options}//python={self._python()}"

    def down(self) -> None:
        pass  # The host is not ours.

    def _python(self) -> str:
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
                f"{self.argument}: no Python 3 there: install it, 3.9 or newer, "
                "with apt-get install python3 or pkg install python3"
            )
        if asked.returncode:
            said = asked.stderr.strip().splitlines()[-1:] or [f"status {asked.returncode}"]
            raise Unavailable(f"ssh {self.argument}: {said[0]}; try: ssh {self.argument} true")
        return asked.stdout.split()[0]


WAY = Ssh
