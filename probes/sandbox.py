"""The child's side of a probe: leave the lab's surroundings, answer, and exit."""

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
    """In the child: leave the lab's surroundings, write each probe's answer, and exit."""
    code = 1
    kept = writing
    parent = os.getpid()
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        # A probe starts as a program does: nothing blocked, and every disposition the default
        # except those that Python sets (SIGPIPE and SIGXFSZ ignored).
        for signum in changed:
            signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        with contextlib.suppress(Unsupported, Blocked, OSError):
            libc.request_death_signal(signal.SIGKILL)
        if os.getppid() != runner:
            return  # The runner ended before this process asked for a signal at its death.
        libc.become_reaper()
        os.chdir(scratch)
        # Keep a number above 2, because the null device gets 0, 1 and 2.
        os.set_inheritable(writing, False)
        kept = os.dup(writing) if writing < 3 else writing
        # Before the rest, which needs descriptors: perhaps only a few are allowed.
        os.closerange(3, kept)
        # On Linux and FreeBSD this is one system call; elsewhere a loop, which must be short.
        os.closerange(kept + 1, min(limits.get_descriptor_limit(65536), 65536))
        _redirect_to_nothing(0, 1, 2)
        os.umask(0o022)
        for probe in probes:
            document = {"id": probe.id, **ask(probe)}
            if os.getpid() != parent:
                return  # This is a child of the probe that returned from it.
            _write_answer(kept, document)
        code = 0
    except OSError as error:
        # A limit kept the process from preparing itself.
        if os.getpid() == parent:
            for probe in probes:
                _write_answer(kept, {"id": probe.id, **_explain_error(error)})
            code = 0
    finally:
        os._exit(code)


def _write_answer(writing: int, document: dict[str, Any]) -> None:
    text = json.dumps(document).encode() + b"\n"
    while text:
        text = text[os.write(writing, text) :]


def _redirect_to_nothing(*descriptors: int) -> None:
    """Let the descriptors read end of file, and discard what is written to them."""
    nothing = run_program.open_nothing()
    for descriptor in descriptors:
        os.dup2(nothing, descriptor)
    if nothing not in descriptors:
        os.close(nothing)


def ask(probe: Probe) -> dict[str, Any]:
    try:
        lens.check_numbers()
        value = probe()
    except BaseException as error:
        return _explain_error(error)
    if isinstance(value, Sample):
        return {"status": MEASURED, "value": value.value, "raw": value.raw}
    return {"status": MEASURED, "value": value}


def _explain_error(error: BaseException) -> dict[str, Any]:
    why = refusals.explain(error)
    if why:
        status = BLOCKED if isinstance(why, Blocked) else UNSUPPORTED
        return {"status": status, "reason": str(why)}
    return {"status": BROKEN, "reason": describe_error(error)}


def describe_error(error: BaseException) -> str:
    """Return what went wrong and where, in one line."""
    where = ""
    trace = error.__traceback__
    while trace:
        frame = trace.tb_frame
        where = f" ({os.path.basename(frame.f_code.co_filename)}:{trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {error}{where}".replace("\n", " ")


def list_changed_signals() -> list[int]:
    """Return the signals that are ignored or handled here, except those that Python ignores."""
    known = (signal.SIG_DFL, None)
    python = (signal.SIGPIPE, signal.SIGXFSZ)
    return [
        s for s in signal.valid_signals() if signal.getsignal(s) not in known and s not in python
    ]
