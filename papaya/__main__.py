"""``python3 -m papaya``, and the command ``papaya``."""

import signal


def main() -> int:
    """See `papaya.cli.main`."""
    # An interrupt during the imports must not print a traceback.
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from papaya import cli

    signal.signal(signal.SIGINT, handler)
    return cli.main()


if __name__ == "__main__":
    raise SystemExit(main())
