"""The matrix: measure platforms with the lab, and try papaya on them.

A *cell* is a platform of `cells.toml`.  A *provider* brings it up, names an execnet gateway to
it, and takes it down again (`matrix.providers`, one file each).  The result is a report.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (an older Python gets one clear line)
    sys.stderr.write(
        "matrix: needs Python 3.11 or newer; this is {}.{}\n".format(*sys.version_info)
    )
    raise SystemExit(3)
