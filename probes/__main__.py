"""``python3 -m probes``, the command ``probes``, and what an archive made by ``pack`` runs."""

import gc
import sys

# A short life, that makes little to collect: while it imports, looking for it takes a tenth of
# the time, and in the probes' processes it would copy the memory they share.
gc.disable()


def _leave(signum: int, frame: object) -> None:
    """Exit with 130 at once: an exception amid an import may come out as another (3.11)."""
    os._exit(130)


try:
    import os
    import signal

    _before = signal.getsignal(signal.SIGINT)
    if _before is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    from probes.cli import main

    if _before is signal.default_int_handler:
        signal.signal(signal.SIGINT, _before)
except KeyboardInterrupt:
    raise SystemExit(130) from None
except ImportError as error:
    # Python would exit with 1, which means drift.
    if sys.stderr:
        sys.stderr.write(
            f"probes: this Python lacks what the lab needs: {error}; use another Python\n"
        )
    raise SystemExit(3) from None
except (MemoryError, OSError, SystemError) as error:
    # As above.  A Python that may open no file, or have no more memory, reads no module.  Without
    # memory CPython also raises SystemError, "error return without exception set".
    if sys.stderr:
        said = getattr(error, "strerror", None) or "Cannot allocate memory"
        sys.stderr.write(f"probes: {said} while the lab is read: raise ulimit -n or -v\n")
    raise SystemExit(3) from None

if __name__ == "__main__":
    raise SystemExit(main())
