"""The portability lab: how do system calls really behave on this Unix?

report = probes.measure(only=["sockets.*"])
report["sockets.v6only_default"].value
probes.Report.load("freebsd.json")
"""

import os
import sys


def _refuse(line: str) -> None:
    if sys.stderr:  # None if descriptor 2 is closed.
        sys.stderr.write(f"probes: {line}\n")
    raise SystemExit(3)


if sys.version_info < (3, 9):  # noqa: UP036 (tells users of an older one in one line)
    _refuse("needs Python 3.9 or newer; this is {}.{}".format(*sys.version_info))
if os.name != "posix":
    _refuse(f"measures the system calls of a Unix; {sys.platform} is none")

TYPE_CHECKING = (
    False  # Type checkers know the name without the import, and importing `typing` is slow.
)
if TYPE_CHECKING:
    from .api import Fact, Platform, Report, ReportError, measure

__all__ = ["Fact", "Platform", "Report", "ReportError", "measure"]


def __getattr__(name: str) -> object:
    """Import what ``__all__`` names when it is used, because `__main__` must begin before that."""
    if name not in __all__:
        raise AttributeError(f"module 'probes' has no attribute {name!r}")
    from . import api

    globals().update({each: getattr(api, each) for each in __all__})
    return globals()[name]
