"""CPython on the musl C library, on this host's kernel; built at first use."""

from __future__ import annotations

import shlex

from matrix.boxes import musl

from . import Provider


class Musl(Provider):
    """Takes no argument.  The lab's C programs are built for musl too."""

    label = "musl"

    def explain_lack(self) -> str:
        return "" if musl.find_built() else musl.explain_lack()

    def describe(self) -> str:
        return "" if musl.find_built() else "is built at first use, in two to three minutes"

    def up(self) -> str:
        box = musl.build(self.say)
        return f"popen//python={shlex.join(['env', f'CC={shlex.quote(box.compiler)}', box.python])}"

    def down(self) -> None:
        pass  # It ends with its process.


PROVIDER = Musl
