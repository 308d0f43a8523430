"""gVisor's runsc: a kernel in user space, with this host's files, read-only: ``runsc:systrap``."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys

from . import Provider, _kvm

_PLATFORMS = ("ptrace", "systrap", "kvm")
_INSTALL = "https://gvisor.dev/docs/user_guide/install/"


class Runsc(Provider):
    """The argument is how gVisor intercepts system calls: ptrace, systrap or kvm.

    The Python is the host's.
    """

    argument_is = 'a platform of gVisor: "runsc:systrap"'
    needs_argument = False

    def explain_lack(self) -> str:
        if self._platform not in _PLATFORMS:
            return f"unknown platform {self._platform!r}; choose from {', '.join(_PLATFORMS)}"
        if not shutil.which("runsc"):
            return "runsc (gVisor) is not installed: apt-get install runsc"
        if self._platform == "kvm" and (trouble := _kvm.explain_trouble()):
            return f"KVM does not work here: {trouble}; use the platform ptrace or systrap"
        try:
            tried = subprocess.run(
                [*self._make_command(), "true"],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "runsc do true did not end within 30 s: this machine does not let it trace"
        if tried.returncode:
            said = tried.stderr.strip().splitlines()[-1:] or [f"status {tried.returncode}"]
            if said[0] == f"unknown platform: {self._platform}":
                return (
                    f"the installed runsc does not have the platform {self._platform}: "
                    f"install a newer one, {_INSTALL}"
                )
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
            f"--platform={self._platform}", "--network=none", "do",
        ]  # fmt: skip

    @property
    def _platform(self) -> str:
        return self.argument or "ptrace"


def _find_python() -> str:
    # Not a virtual environment's Python, whose packages are not needed.
    return os.path.realpath(sys.executable)


PROVIDER = Runsc
