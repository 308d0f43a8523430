"""The ways to a platform, a file each, named after it.

Each has a ``WAY``, a subclass of `Way`.  In `cells.toml` a way is written
``name:argument``; what the argument is the way says.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable

from probes import plugins

Say = Callable[[str], None]
"""Says what is being done, a line each, while it is done."""


class Unavailable(Exception):
    """The platform cannot be brought up: the one reason, and what would make it possible."""


class Way(ABC):
    """One way to one platform.  Made anew for each run; only one thread uses it."""

    label = ""
    """What a user reads, ``vagrant/libvirt``; the class's own name where it is empty."""
    argument_is = ""
    """What its argument is, with an example; empty if it takes none."""
    needs_argument = True
    """Whether the argument, if it takes one, must be given."""

    def __init__(self, argument: str, folder: str, say: Say) -> None:
        """``folder`` is there for the run, and its own; it is removed after `down`."""
        self.argument = argument
        self.folder = folder
        self.say = say

    @abstractmethod
    def lacks(self) -> str:
        """Why it cannot run here and what would make it possible, in a line; empty if it can.

        It finds out, in a few seconds at most, and leaves nothing behind.
        """

    def note(self) -> str:
        """What a user should know before it runs here: what it takes, or how; may be empty.

        Only after `lacks`, which found nothing.
        """
        return ""

    @abstractmethod
    def up(self) -> str:
        """Bring the platform up; the execnet gateway specification.

        Raises `Unavailable`.  Whatever it began `down` ends, also when this raised or
        was interrupted.
        """

    def kept(self) -> str:
        """How a user gets into what was left up, and takes it down; empty if nothing is up."""
        return ""

    @abstractmethod
    def down(self) -> None:
        """Take it down; nothing of it is left.  Harmless before `up`, and twice."""


def list_providers() -> list[str]:
    """Return the names of all providers."""
    return plugins.list_plugins(sys.modules[__name__])


def load_provider(name: str) -> type[Way]:
    """Return the provider of that name; raise CommandError if there is none."""
    provider: type[Way] = plugins.load_plugin(sys.modules[__name__], "way", name).WAY
    return provider
