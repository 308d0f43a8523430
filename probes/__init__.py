"""The portability lab: how do system calls really behave on this Unix?

report = probes.measure(only=["sockets.*"])
report["sockets.v6only_default"].value
probes.Report.load("freebsd.json")
"""

import os
import sys

if sys.version_info < (3, 9):  # noqa: UP036 (said in one line to whoever comes with an older one)
    sys.stderr.write("probes: needs Python 3.9 or newer; this is {}.{}\n".format(*sys.version_info))
    raise SystemExit(3)
if os.name != "posix":
    sys.stderr.write(f"probes: measures the system calls of a Unix; {sys.platform} is none\n")
    raise SystemExit(3)

TYPE_CHECKING = False  # Known to type checkers by its name; `typing` takes a while to import.
if TYPE_CHECKING:
    from .fact import Fact, Platform, Report, ReportError
    from .library import measure

__all__ = ["Fact", "Platform", "Report", "ReportError", "measure"]


def __getattr__(name: str) -> object:
    """Each of ``__all__``, imported when it is asked for: `__main__` has to begin before that."""
    if name not in __all__:
        raise AttributeError(f"module 'probes' has no attribute {name!r}")
    from . import fact, library

    globals().update(
        {each: getattr(library if each == "measure" else fact, each) for each in __all__}
    )
    return globals()[name]
