"""papaya: a self-hosted chat service whose platform-dependent settings are measured."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (older versions get one line instead of a traceback)
    sys.stderr.write(
        "papaya: needs Python 3.11 or newer; this is {}.{}\n".format(*sys.version_info)
    )
    raise SystemExit(3)
