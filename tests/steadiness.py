"""Run the whole report N times on a busy machine, and see whether it is the same each time.

    python3 tests/steadiness.py [--runs 100] [--busy 4]

Exit status 0 if the inherent facts were the same in every run and no probe failed, otherwise 1;
each fact that varied is printed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from probes import Report  # noqa: E402
from probes.fact import FAULTS, INHERENT  # noqa: E402


def spin() -> None:
    """Keep one processor busy until this process is killed."""
    while True:
        pass


def main() -> int:
    """Run the reports, compare them, and print the facts that varied."""
    parser = argparse.ArgumentParser(description="is the lab steady?")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--busy", type=int, default=4, help="processes that keep the machine busy")
    options = parser.parse_args()

    seen: dict[str, Counter[str]] = {}
    started = time.monotonic()
    context = multiprocessing.get_context("spawn")
    spinners = [context.Process(target=spin, daemon=True) for _ in range(options.busy)]
    for spinner in spinners:
        spinner.start()
    try:
        for number in range(1, options.runs + 1):
            done = subprocess.run(
                [sys.executable, "-m", "probes", "report", "--format", "json"],
                cwd=ROOT,
                capture_output=True,
                check=False,
            )
            report = Report.loads(done.stdout)
            for fact in report:
                if fact.scope == INHERENT or fact.status in FAULTS:
                    counter = seen.setdefault(fact.id, Counter())
                    counter[f"{fact.answer}: {fact.reason}" if fact.reason else fact.answer] += 1
            if sys.stderr.isatty():
                print(f"\r{number}/{options.runs}", end="", file=sys.stderr, flush=True)
    finally:
        for spinner in spinners:
            spinner.kill()
    varied = {id: counts for id, counts in seen.items() if len(counts) > 1}
    failed = [id for id, counts in seen.items() if any(a.split(":")[0] in FAULTS for a in counts)]
    for id, counts in sorted(varied.items()):
        print(f"{id}: " + ", ".join(f"{answer} ({n})" for answer, n in counts.most_common()))
    seconds = time.monotonic() - started
    print(
        f"{options.runs} runs with {options.busy} busy processes, {len(seen)} facts each: "
        f"{len(varied)} varied, {len(failed)} failed; {seconds:.0f} s"
    )
    return 1 if varied or failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
