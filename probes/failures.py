"""Say what an exception means for the user: an exit status, and one line.

Every text is written out here, because when memory or descriptors run out, another module may
not be importable.
"""

from __future__ import annotations

import errno
import os

from .errors import CommandError
from .files import write_standard_error
from .invocation import is_interrupt
from .text import make_printable

ENVIRONMENT, INTERRUPTED = 3, 130

_REMEDIES = {
    errno.EMFILE: ": raise ulimit -n",
    errno.ENFILE: ": close some files, or raise the system's limit",
    errno.ENOMEM: ": raise ulimit -v, or end other programs",
    errno.EFBIG: ": raise ulimit -f",
}

_PURPOSES = {
    "ctypes": " to call the C library",
    "fcntl": " to set up descriptors",
    "resource": " to read and set limits",
    "select": " to wait for several processes at once",
    "signal": " to handle signals",
    "socket": " to make sockets",
}


def describe_failure(error: BaseException, program: str) -> tuple[int, str]:
    """Return the exit status of ``program`` and the line it prints when ``error`` ends it."""
    if isinstance(error, CommandError):
        return error.status, str(error)
    if is_interrupt(error):
        return INTERRUPTED, "interrupted"
    if isinstance(error, OSError):
        where = f"{make_printable(os.fsdecode(error.filename))}: " if error.filename else ""
        remedy = _REMEDIES.get(error.errno or 0, "")
        return ENVIRONMENT, f"{where}{error.strerror or error}{remedy}"
    if isinstance(error, MemoryError):
        return ENVIRONMENT, f"{os.strerror(errno.ENOMEM)}{_REMEDIES[errno.ENOMEM]}"
    missing = _describe_missing_module(error, program) if isinstance(error, ImportError) else ""
    # Python would exit with 1, which means that a check failed.
    return ENVIRONMENT, missing or _describe_internal_error(error, program)


def _describe_missing_module(error: ImportError, program: str) -> str:
    """Say which module this Python was built without; return "" if it is one of the project's."""
    # For a package such as ctypes, the missing module is its part in C, _ctypes.
    name = (error.name or "").partition(".")[0].lstrip("_")
    if name in ("", "probes", "papaya", "matrix"):
        return ""
    return (
        f"this Python has no module {name}, which {program} needs{_PURPOSES.get(name, '')} "
        f"({error}); use another Python"
    )


def _describe_internal_error(error: BaseException, program: str) -> str:
    """Describe an unexpected exception, and the first one if cleaning up raised another."""
    variable = f"{program.upper()}_DEBUG"
    if os.environ.get(variable):
        import traceback

        lines = traceback.format_exception(type(error), error, error.__traceback__)
        write_standard_error("".join(lines))
    line = f"internal error: {_locate(error)}"
    first = error
    while first.__context__ and not first.__suppress_context__:
        first = first.__context__
    if first is not error:
        line += f", after {_locate(first)}"
    return f"{line}; set {variable}=1 for the traceback"


def _locate(error: BaseException) -> str:
    """Return the exception, and the file and line that raised it."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = ""
    if trace:
        where = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})"
    return f"{type(error).__name__}: {error}{where}"
