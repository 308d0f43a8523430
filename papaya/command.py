"""What every command line here has: one line for what is wrong, and never a traceback."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable

from probes.files import open_standard_descriptors
from probes.invocation import is_interrupt

from .errors import Refused


def guarded(program: str, run: Callable[[], int], usage: tuple[type[Exception], ...] = ()) -> int:
    """The exit status of ``run``, or of what ended it, which is said in a line.

    ``usage`` are exceptions that say of the input what is wrong with it.
    """
    try:
        open_standard_descriptors()
        status = run()
        _flush()
        return status
    except Refused as refused:
        return _said(program, refused.status, str(refused))
    except usage as error:
        return _said(program, 2, str(error))
    except (KeyboardInterrupt, RuntimeError) as error:
        if not is_interrupt(error):
            raise
        return _said(program, 130, "interrupted")
    except BrokenPipeError:
        return _said(program, 141, "")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _said(program, 3, f"{where}{error.strerror or error}")


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from None


def _said(program: str, status: int, line: str) -> int:
    with contextlib.suppress(OSError):
        if line:
            print(f"{program}: {line}", file=sys.stderr)
    # What is left in the buffer goes nowhere: the other end may be gone.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return status
