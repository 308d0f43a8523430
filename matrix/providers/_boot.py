"""Start a guest from an initramfs, whatever runs its kernel, and wait until it is ready.

Its console is the file ``console.log`` in the cell's folder.  The gateway goes through a channel:
the guest's end is `_channel.py`, this host's end is `_relay.py`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence

from matrix.boxes import debian
from matrix.errors import Say, Unavailable
from matrix.interrupts import block_stopping

from . import _channel, _relay

CONSOLE = "console.log"


class BootedGuest:
    """A guest of one run.  `down` is a method of `Provider`."""

    runs_it = ""
    """What runs its kernel, for messages."""

    def __init__(self, argument: str, folder: str, say: Say) -> None:
        self.argument = argument
        self.folder = folder
        self.say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._log = os.path.join(folder, "log")
        """What the program that runs the guest says, beside the guest's console."""

    def down(self) -> None:
        """See `Provider`."""
        process, self._process = self._process, None
        if process:
            # It may have started others.  Until it has been waited for, the number is not reused.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _boot(
        self,
        box: debian.Box,
        make_command: Callable[[str], list[str]],
        limit: float,
        *,
        descriptors: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
        modules: Mapping[str, bytes] | None = None,
        channel: Sequence[str],
    ) -> str:
        """Boot the guest, and return the execnet gateway through its channel.

        ``make_command`` gets the path of the initramfs; ``modules`` are loaded, if the kernel is
        not the box's; ``channel`` are the arguments of `_relay.py`.  Raise `Unavailable` if the
        guest is not ready within ``limit`` seconds.
        """
        # Without a name, so that nothing is left of it even if this process is killed.
        with tempfile.TemporaryFile(dir=self.folder) as initramfs:
            with open(_channel.__file__, "rb") as file:
                files = debian.make_channel_files(file.read(), modules or {})
                debian.extend_initramfs(box, initramfs, files)
            command = make_command(f"/proc/self/fd/{initramfs.fileno()}")
            self._start(command, [initramfs.fileno(), *descriptors], environment)
            self._wait(limit)
        return f"popen//python={shlex.join([sys.executable, _relay.__file__, *channel])}"

    def _start(
        self, command: list[str], descriptors: Sequence[int], environment: Mapping[str, str] | None
    ) -> None:
        # An interrupt must not come between the start of the program and the note of its process.
        with open(self._log, "wb") as log, block_stopping() as restore:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=descriptors,
                preexec_fn=restore,
                # Ctrl-C must reach only this process, which takes the guest down.
                start_new_session=True,
            )

    def _wait(self, limit: float) -> None:
        """Wait until the guest is ready; raise `Unavailable` if it ends or takes too long."""
        assert self._process
        started = told = time.monotonic()
        while time.monotonic() - started < limit:
            ended = _has_ended(self._process.pid)
            lines = read_console(os.path.join(self.folder, CONSOLE))
            if any(line.endswith(_channel.READY) for line in lines):
                self.say(f"up after {time.monotonic() - started:.0f} s")
                return
            if ended:
                raise Unavailable(self._explain_end(lines))
            if time.monotonic() - told >= 10:
                told = time.monotonic()
                self.say(f"starting, {told - started:.0f} s: {(lines or ['no output yet'])[-1]}")
            time.sleep(0.05)
        raise Unavailable(
            f"the guest was not ready within {limit:.0f} s: {(lines or ['no output'])[-1]}"
        )

    def _explain_end(self, lines: list[str]) -> str:
        if not lines:
            with open(self._log, encoding="utf-8", errors="replace") as log:
                said = [line.strip() for line in log if line.strip()]
            return f"{self.runs_it} did not start: {(said or ['no message'])[-1]}"
        panics = [line for line in lines if "Kernel panic" in line]
        # The kernel's own last words only say that it powers down.
        said = [line for line in lines if not re.match(r"\[ *\d+\.\d+\]|sysrq: |reboot: ", line)]
        return f"the guest ended during the boot: {(panics or said or lines)[-1]}"


def read_console(path: str) -> list[str]:
    """Return the lines of a console that are not empty, without control sequences."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except FileNotFoundError:
        return []
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1bc|\r", "", text)
    return [line.strip()[-200:] for line in text.splitlines() if line.strip()]


def _has_ended(process: int) -> bool:
    """Return whether a child has ended, which is still to be waited for."""
    return bool(os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT))
