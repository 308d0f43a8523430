"""``python -m matrix``."""

try:
    import os
    import signal
except KeyboardInterrupt:
    raise SystemExit(130) from None


def _main() -> int:
    def leave(signum: int, frame: object) -> None:
        # Nothing has begun, or all has ended: nobody wants to know what was just imported.
        os._exit(130)

    before = signal.signal(signal.SIGINT, leave)
    from matrix.cli import main

    try:
        signal.signal(signal.SIGINT, before)
        return main()
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGINT, leave)


if __name__ == "__main__":
    raise SystemExit(_main())
