"""CPython on the musl C library, on this host's kernel; it is built at first use."""

from __future__ import annotations

import shlex

from matrix.boxes import musl

from . import Way


class Musl(Way):
    """No argument.  The lab's C programs are built for musl too."""

    label = "musl"

    def lacks(self) -> str:
        return "" if musl.built() else musl.lacks()

    def note(self) -> str:
        return "" if musl.built() else "is built at first use, in two to three minutes"

    def up(self) -> str:
        box = musl.build(self.say)
        return f"popen//python={shlex.join(['env', f'CC={shlex.quote(box.compiler)}', box.python])}"

    def down(self) -> None:
        pass  # It ends with the process it runs.


WAY = Musl
