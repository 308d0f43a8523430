"""The probes: one file per family, one function per fact (or per table of facts)."""

SURPRISES = (
    "compilers.signal_flags_strict",
    "sockets.v6only_default",
    "locks.flock_shared_by_fork",
    "accepting.inherits_nonblock",
    "accepting.accept_after_reset",
    "restarts.accept_rcvtimeo",
)
"""The most surprising facts, which the README explains and the atlas shows first."""
