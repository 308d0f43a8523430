"""``python3 -m probes``, the command ``probes``, and what an archive made by ``pack`` runs."""

try:
    import gc
    import os
    import signal
    import sys
except KeyboardInterrupt:
    raise SystemExit(130) from None

# A short life, that makes little to collect: while it imports, looking for it takes a tenth of
# the time, and in the probes' processes it would copy the memory they share.
gc.disable()


def _leave(signum: int, frame: object) -> None:
    """Exit with 130 at once: an exception amid an import may come out as another (3.11)."""
    os._exit(130)


_before = signal.getsignal(signal.SIGINT)
if _before is signal.default_int_handler:
    signal.signal(signal.SIGINT, _leave)
try:
    from probes.cli import main
except ImportError as error:
    # Python would exit with 1, which means drift.
    if sys.stderr:
        sys.stderr.write(
            f"probes: this Python lacks what the lab needs: {error}; use another Python\n"
        )
    raise SystemExit(3) from None
except (MemoryError, OSError) as error:
    # As above.  A Python that may open no file, or have no more memory, reads no module.
    if sys.stderr:
        said = getattr(error, "strerror", None) or "Cannot allocate memory"
        sys.stderr.write(f"probes: {said} while the lab is read: raise ulimit -n or -v\n")
    raise SystemExit(3) from None
if _before is signal.default_int_handler:
    signal.signal(signal.SIGINT, _before)

if __name__ == "__main__":
    raise SystemExit(main())
