"""Resource limits of this process (setrlimit(2)), where this Python has the module for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

try:
    import resource
except ImportError:  # A Python that was built without it.
    resource = None  # type: ignore[assignment]


def get_descriptor_limit(otherwise: int) -> int:
    """Return how many descriptors are allowed; ``otherwise`` if unlimited or unknown."""
    if resource is None:
        return otherwise
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft > 0 else otherwise


@contextlib.contextmanager
def forbid_core_files() -> Iterator[None]:
    """Write no core files, because tests of the lens and probes may crash."""
    if resource is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
