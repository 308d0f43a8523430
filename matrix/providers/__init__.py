"""Providers bring platforms up, one file each.

Each has a ``PROVIDER``, a subclass of `Provider`.  In `cells.toml` it is written
``name:argument``; each provider says what its argument is.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence

from probes import plugins

from ..errors import Say


class Provider(ABC):
    """Brings one platform up and down.  Each run makes a new one; only one thread uses it."""

    label = ""
    """Its name for users, such as ``vagrant/libvirt``; empty: the name of the class."""
    argument_is = ""
    """What its argument is, with an example; empty if it takes none."""
    needs_argument = True
    """Whether the argument, if it takes one, must be given."""

    def __init__(self, argument: str, folder: str, say: Say) -> None:
        """Take a folder that only this run uses; it is removed after `down`."""
        self.argument = argument
        self.folder = folder
        self.say = say

    @abstractmethod
    def explain_lack(self) -> str:
        """Return in one line why it cannot run here, and what to type; empty if it can.

        This takes a few seconds at most, and leaves nothing behind.
        """

    def describe(self) -> str:
        """Return what a user should know before it runs, such as the time it takes; may be empty.

        Called only after `explain_lack` returned an empty string.
        """
        return ""

    def add_packages(self, packages: Sequence[str]) -> None:
        """Have these packages of Debian on the platform; called before `up`.

        A provider that cannot add any says so, and brings the platform up as it is.
        """
        self.say("--install: only cells of a release of Debian take packages; this one has its own")

    @abstractmethod
    def up(self) -> str:
        """Bring the platform up, and return the execnet gateway specification.

        Called only after `explain_lack` returned an empty string.  Raise `Unavailable` if it does
        not come up.  Whatever this has started, `down` ends, also after an exception or an
        interrupt.
        """

    def explain_kept(self) -> str:
        """Return how to get into what was left up, and how to end it; empty if nothing is up."""
        return ""

    @abstractmethod
    def down(self) -> None:
        """Take the platform down, and leave nothing behind; harmless before `up`, and twice."""


def list_providers() -> list[str]:
    """Return the names of all providers."""
    return plugins.list_plugins(sys.modules[__name__])


def load_provider(name: str) -> type[Provider]:
    """Return the provider of that name; raise CommandError if there is none."""
    provider: type[Provider] = plugins.load_plugin(sys.modules[__name__], "provider", name).PROVIDER
    return provider
