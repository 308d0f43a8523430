"""CPython on the musl C library, on this host's kernel; built at first use."""

from __future__ import annotations

import shlex

from matrix.boxes import musl
from probes.errors import CommandError

from . import Provider


class Musl(Provider):
    """The lab's C programs are built for musl too."""

    label = "musl"
    argument_is = 'a processor other than this host\'s: "musl:i386"'
    needs_argument = False

    def explain_lack(self) -> str:
        try:
            return "" if musl.find_built(self.argument) else musl.explain_lack(self.argument)
        except CommandError as error:
            return str(error)

    def describe(self) -> str:
        return "" if musl.find_built(self.argument) else "is built at first use, in some minutes"

    def up(self) -> str:
        box = musl.build(self.say, argument=self.argument)
        compiler = f"CC={shlex.quote(box.compiler)}"
        command = [*musl.parse_argument(self.argument).prefix, "env", compiler, box.python]
        return f"popen//python={shlex.join(command)}"

    def down(self) -> None:
        pass  # It ends with its process.


PROVIDER = Musl
