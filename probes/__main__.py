"""``python3 -m probes``, and the entry point of an archive made by ``pack``."""

from probes.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
