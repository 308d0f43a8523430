"""``python3 -m papaya``, and the command ``papaya``."""

from papaya.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
