"""The command line of all three programs: `Parser` reads it, `run_command` runs a command."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn, Optional

from .failures import describe_failure
from .files import open_standard_descriptors, write_standard_error, write_standard_output
from .invocation import get_invocation
from .text import make_printable

PROGRAMS = ("probes", "papaya", "matrix")


class Parser(argparse.ArgumentParser):
    """Accept a command's arguments and options in any order.

    Report a mistake in one line, and exit with status 2.  ``options`` adds a command's options
    when the command is used, so that other commands start faster.
    """

    def __init__(
        self, *, options: Optional[Callable[[Parser], None]] = None, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.options = options
        self._takes_any_order = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Report unknown options for this command; argparse leaves that to its parent."""
        add, self.options = self.options, None
        if add:
            add(self)
        if self._takes_any_order:
            return super().parse_known_args(args, namespace)
        if self._subparsers is not None:
            # The name of a command comes before the command's options.
            found, unknown = super().parse_known_args(args, namespace)
        else:
            # By default argparse refuses arguments after an option, as in `run CELL --json CELL`.
            self._takes_any_order = True  # The next call calls this method again.
            try:
                found, unknown = self.parse_known_intermixed_args(args, namespace)
            finally:
                self._takes_any_order = False
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def print_help(self, file: Any = None) -> None:
        """Print the help, or raise OSError; argparse ignores a full disk."""
        write_standard_output(self.format_help().encode("utf-8", "backslashreplace"))

    def error(self, message: str) -> NoReturn:
        """Print the mistake and exit; see `argparse.ArgumentParser.error`."""
        name = self.prog
        for program in PROGRAMS:
            name = name.replace(get_invocation(program), program, 1)
        write_standard_error(f"{name}: {message}; see {self.prog} --help\n")
        raise SystemExit(2)


def run_command(program: str, run: Callable[[], int]) -> int:
    """Return the exit status of ``run``, or that of the exception that ended it.

    Print the exception as one line, never as a traceback.
    """
    try:
        open_standard_descriptors()
        status = run()
        _flush()
        return status
    except BrokenPipeError:
        # The reader of the output has closed it: end without a message, as other programs do.
        return _print_and_return(program, 128 + signal.SIGPIPE, "")
    except (KeyboardInterrupt, Exception) as error:
        status = _print_and_return(program, *describe_failure(error, program))
        if isinstance(error, MemoryError):
            # Python would name each object that it has no memory to finalize.
            os._exit(status)
        return status


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from None


def _print_and_return(program: str, status: int, line: str) -> int:
    # What was printed before the failure stays, if it can be written.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    if line:
        write_standard_error(f"{program}: {make_printable(line)}\n")
    # Discard what is left in the buffer, or Python would try to write it again at exit.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return status
