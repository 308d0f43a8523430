"""The command `settings`: facts that rule out a setting are measured again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.worlds import needs_linux, shim


@needs_linux
def test_a_fact_that_rules_all_out_is_asked_again(tmp_path: Path) -> None:
    """One measurement is not enough to refuse to serve; four are."""
    # The handler is reset after one signal; with FIRST_RUN set, only in the first program run.
    world = shim(
        tmp_path,
        """
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
static int first;
__attribute__((constructor)) static void begin(void) {
    const char *mark = getenv("FIRST_RUN");
    first = !mark || open(mark, O_CREAT | O_EXCL, 0600) >= 0;
}
int sigaction(int sig, const struct sigaction *new, struct sigaction *old) {
    int (*real)(int, const struct sigaction *, struct sigaction *) = dlsym(RTLD_NEXT, "sigaction");
    struct sigaction once;
    if (!new || !first || sig != SIGUSR1) return real(sig, new, old);
    once = *new;
    once.sa_flags |= SA_RESETHAND;
    return real(sig, &once, old);
}
""",
    )
    command = [sys.executable, "-m", "papaya", "settings", "--json"]
    always = {**os.environ, **world}
    once = {**always, "FIRST_RUN": str(tmp_path / "mark")}
    done = subprocess.run(command, env=once, capture_output=True, text=True, check=False)
    assert "signals.python_signal_stays is no; measuring 3 times more" in done.stderr
    assert done.returncode == 0
    choice = json.loads(done.stdout)["handler"]
    assert choice["facts"]["signals.python_signal_stays"] == "yes"

    done = subprocess.run(command, env=always, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "the facts rule out every option" in done.stderr.splitlines()[-1]
