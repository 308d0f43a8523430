"""``python3 -m matrix``, and the command ``matrix``."""

try:
    import os
    import signal
except KeyboardInterrupt:
    raise SystemExit(130) from None


def main() -> int:
    """Run `matrix.cli.main`; an interrupt while it starts or ends is only status 130."""

    def leave(signum: int, frame: object) -> None:
        # Nothing has started yet, or everything has ended: a traceback would only confuse.
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
