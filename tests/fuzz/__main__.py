"""Look for bytes that a reader of papaya cannot bear, guided by which lines they make it run.

    pip install -r requirements/fuzz.txt
    python -m tests.fuzz                    every target, 20,000 times
    python -m tests.fuzz read_log --runs 1000000

The bytes that failed are left in the folder that is named.  The tests give the same targets bytes
that hypothesis makes (tests/papaya/test_fuzz.py).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]
except ImportError:
    sys.exit("tests.fuzz: atheris is not installed: pip install -r requirements/fuzz.txt")


def fuzz(name: str, runs: str, seed: str, corpus: str, found: str) -> None:
    """Run one target; this ends the process."""
    with atheris.instrument_imports(include=["papaya"]):
        from tests.fuzz.targets import SEEDS, TARGETS
    for number, data in enumerate(SEEDS[name]):
        Path(corpus, str(number)).write_bytes(data)
    options = [f"-atheris_runs={runs}", f"-seed={seed}", "-max_len=600"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={found}/", corpus], TARGETS[name])
    atheris.Fuzz()


def main() -> int:
    """Run the targets that were asked for, each in a process of its own."""
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--runs", type=int, default=20000, help="of each target (default: 20000)")
    parser.add_argument("--seed", type=int, default=1, help="(default: 1)")
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    if unknown := set(names) - TARGETS.keys():
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    failed = False
    for name in names:
        found = tempfile.mkdtemp(prefix=f"fuzz-{name}-")
        with tempfile.TemporaryDirectory() as corpus:
            run = "import sys; from tests.fuzz.__main__ import fuzz; fuzz(*sys.argv[1:])"
            given = [name, str(options.runs), str(options.seed), corpus, found]
            done = subprocess.run(
                [sys.executable, "-c", run, *given],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            )  # fmt: skip
        if done.returncode:
            failed = True
            print(f"{done.stdout}{name}: failed; the bytes are in {found}", flush=True)
        else:
            os.rmdir(found)
            print(f"{name}: {options.runs} runs passed", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
