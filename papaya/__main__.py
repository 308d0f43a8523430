"""``python3 -m papaya``, and the command ``papaya``."""

import signal


def main() -> int:
    """See `papaya.cli.main`."""
    # Whoever interrupts while we are being loaded is not shown where that was.
    told = signal.getsignal(signal.SIGINT)
    if told is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from papaya import cli

    signal.signal(signal.SIGINT, told)
    return cli.main()


if __name__ == "__main__":
    raise SystemExit(main())
