"""``python3 -m matrix``, and the command ``matrix``."""

try:
    import os
    import signal
except KeyboardInterrupt:
    raise SystemExit(130) from None


def main() -> int:
    """Run `matrix.cli.main`; an interrupt while it is loaded or left is status 130, no more."""

    def leave(signum: int, frame: object) -> None:
        # Nothing has begun, or all has ended: nobody wants to know what was just imported.
        os._exit(130)

    before = signal.signal(signal.SIGINT, leave)
    from matrix import cli

    try:
        signal.signal(signal.SIGINT, before)
        return cli.main()
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGINT, leave)


if __name__ == "__main__":
    raise SystemExit(main())
