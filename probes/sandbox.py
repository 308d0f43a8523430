"""The child's side of a probe: it leaves the lab's surroundings behind, answers, and ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterable
from typing import Any

from . import lens, libc, limits, refusals, run_program
from .fact import BLOCKED, BROKEN, MEASURED, UNSUPPORTED
from .probe import Blocked, Probe, Sample, Unsupported


def answer_all(
    probes: list[Probe], scratch: str, writing: int, changed: Iterable[int], runner: int
) -> None:
    """In the child: leave the lab's surroundings behind, answer, and end."""
    code = 1
    kept = writing
    parent = os.getpid()
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        # A probe begins as a program does: nothing blocked, and every disposition the default
        # but those Python itself sets (SIGPIPE and SIGXFSZ ignored).
        for signum in changed:
            signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        with contextlib.suppress(Unsupported, Blocked, OSError):
            libc.request_death_signal(signal.SIGKILL)
        if os.getppid() != runner:
            return  # It ended before it could be asked to take this process along.
        libc.become_reaper()
        os.chdir(scratch)
        # Through a number out of the way, as `writing` may be 3 or the null device's.
        os.set_inheritable(writing, False)
        kept = os.dup(writing) if writing < 3 else writing
        # First, as what comes next needs descriptors, of which perhaps few are allowed.
        os.closerange(3, kept)
        # One system call on Linux and FreeBSD however many; elsewhere a loop that must end.
        os.closerange(kept + 1, min(limits.get_descriptor_limit(65536), 65536))
        _lead_nowhere(0, 1, 2)
        os.umask(0o022)
        for probe in probes:
            document = {"id": probe.id, **answer(probe)}
            if os.getpid() != parent:
                return  # A child of the probe's that came back from it.
            _tell(kept, document)
        code = 0
    except OSError as error:
        # A limit kept it from so much as beginning.
        if os.getpid() == parent:
            for probe in probes:
                _tell(kept, {"id": probe.id, **_without_value(error)})
            code = 0
    finally:
        os._exit(code)


def _tell(writing: int, document: dict[str, Any]) -> None:
    text = json.dumps(document).encode() + b"\n"
    while text:
        text = text[os.write(writing, text) :]


def _lead_nowhere(*descriptors: int) -> None:
    """Have reading from them find the end, and writing to them be forgotten."""
    nothing = run_program.open_nothing()
    for descriptor in descriptors:
        os.dup2(nothing, descriptor)
    if nothing not in descriptors:
        os.close(nothing)


def answer(probe: Probe) -> dict[str, Any]:
    try:
        lens.check_numbers()
        value = probe()
    except BaseException as error:
        return _without_value(error)
    if isinstance(value, Sample):
        return {"status": MEASURED, "value": value.value, "raw": value.raw}
    return {"status": MEASURED, "value": value}


def _without_value(error: BaseException) -> dict[str, Any]:
    why = refusals.explain(error)
    if why:
        status = BLOCKED if isinstance(why, Blocked) else UNSUPPORTED
        return {"status": status, "reason": str(why)}
    return {"status": BROKEN, "reason": described(error)}


def described(error: BaseException) -> str:
    """What went wrong and where, in one line."""
    where = ""
    trace = error.__traceback__
    while trace:
        frame = trace.tb_frame
        where = f" ({os.path.basename(frame.f_code.co_filename)}:{trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {error}{where}".replace("\n", " ")


def dispositions() -> list[int]:
    """The signals that a caller ignores or this process handles, but those Python ignores."""
    known = (signal.SIG_DFL, None)
    python = (signal.SIGPIPE, signal.SIGXFSZ)
    return [
        s for s in signal.valid_signals() if signal.getsignal(s) not in known and s not in python
    ]
