"""Writing a file's data to the disk itself, past every cache."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable


def choose_data_sync() -> Callable[[int], None]:
    """Return the function that writes a file's data to the disk itself: fdatasync(2).

    macOS has no fdatasync, and its fsync(2) leaves the data in the disk's cache.
    """
    if not hasattr(fcntl, "F_FULLFSYNC"):
        return os.fdatasync
    command: int = fcntl.F_FULLFSYNC

    def sync_fully(descriptor: int) -> None:
        try:
            fcntl.fcntl(descriptor, command)
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
            os.fsync(descriptor)  # On a network disk there is no more to be had.

    return sync_fully
