"""The matrix: the lab and papaya on every platform there is a way to.

A *cell* is a platform (`cells.toml`); a *way* brings it up, names an execnet gateway
and takes it down again (`matrix.providers`, a file each).  What comes back is a report.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (said in one line to whoever comes with an older one)
    sys.stderr.write(
        "matrix: needs Python 3.11 or newer; this is {}.{}\n".format(*sys.version_info)
    )
    raise SystemExit(3)
