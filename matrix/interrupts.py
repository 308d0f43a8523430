"""Hold back the signals that would stop a process."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def block_stopping() -> Iterator[Callable[[], None]]:
    """Block the signals that would stop this process until the block is left.

    Yield a function for ``preexec_fn``, because a new process would inherit the blocked signals.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)

    def restore() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        yield restore
    finally:
        restore()


@contextmanager
def make_temporary_folder() -> Iterator[str]:
    """Yield a temporary folder, and remove it with its contents, also after an interrupt."""
    with ExitStack() as stack:
        # An interrupt must not come between the making of the folder and the note of it.
        with block_stopping():
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="matrix-", ignore_cleanup_errors=True)
            )
        yield folder


@contextmanager
def run_program(
    command: Sequence[str], end: Callable[[subprocess.Popen[Any]], None], **options: Any
) -> Iterator[subprocess.Popen[Any]]:
    """Run a program, and wait for it when the block is left; call ``end`` if the block fails.

    An interrupt cannot come between the program's start and the note of it.  Ctrl-C reaches only
    this process, so that ``end`` decides how the program ends.  ``options`` are those of Popen.
    """
    process: subprocess.Popen[Any] | None = None
    try:
        with block_stopping() as restore:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=restore,
                **options,
            )
        yield process
    except BaseException:
        if process:
            end(process)
        raise
    finally:
        if process:
            with process:
                pass
