"""One file a family, one function a fact (or a row, where a table is asked)."""

SURPRISES = (
    "compilers.signal_flags_strict",
    "sockets.v6only_default",
    "locks.flock_shared_by_fork",
    "accepting.inherits_nonblock",
    "accepting.accept_after_reset",
    "restarts.accept_rcvtimeo",
)
"""The facts that surprised most, as the README tells them; the atlas shows them first."""
