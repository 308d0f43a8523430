"""``python3 -m probes``, the command ``probes``, and what an archive made by ``pack`` runs."""

import gc
import sys

# The process is short-lived and makes little garbage.  During imports, collections take a tenth of
# the time, and in the probes' processes they would copy shared memory.
gc.disable()


def _leave(signum: int, frame: object) -> None:
    """Exit with 130 at once, because during an import KeyboardInterrupt may become RuntimeError."""
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
    # As above: without descriptors or memory, Python cannot import modules.  Without memory,
    # CPython also raises SystemError, "error return without exception set".
    if sys.stderr:
        said = getattr(error, "strerror", None) or "Cannot allocate memory"
        sys.stderr.write(f"probes: {said} while the lab is read: raise ulimit -n or -v\n")
    raise SystemExit(3) from None

if __name__ == "__main__":
    raise SystemExit(main())
