"""AnyOrder: a parser that takes arguments and options in any order."""

from __future__ import annotations

import argparse
from typing import Any


class AnyOrder(argparse.ArgumentParser):
    """Take a command's arguments and options in any order, as users type them.

    argparse by itself gives a list of arguments all that stand together and refuses those after
    the next option, as in ``run CELL --json CELL``.
    """

    _takes_any_order = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """See `argparse.ArgumentParser.parse_known_args`."""
        if self._takes_any_order or self._subparsers is not None:
            # A command's name is looked for before any of its options.
            return super().parse_known_args(args, namespace)
        self._takes_any_order = True  # What follows calls this method again.
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._takes_any_order = False
