"""A sandbox's refusal is no answer: under a filter of system calls a fact is right or blocked."""

from __future__ import annotations

import errno
import os
import platform
import sys
from pathlib import Path
from typing import Optional

import pytest

from probes import Report, refusals
from probes.fact import BLOCKED
from probes.probe import Blocked, Unsupported
from tests.worlds import ROOT, measure, needs_linux, needs_root, run_lab

needs_filter = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or sys.maxsize < 2**32,
    reason="the filter is built for 64-bit x86",
)


def filtered(refusal: str, calls: str) -> list[str]:
    return [sys.executable, str(ROOT / "tests" / "sandboxed.py"), refusal, calls, "--"]


# What the call is needed for.
NEEDED = {
    "close_range": {"processes.close_range"},
    "sendfile": {"files.sendfile_to_socket", "files.sendfile_order", "files.sendfile_to_file"},
    "prctl": {"processes.no_new_privs", "processes.reaper", "processes.parent_death_signal"},
    "msgget": {"restarts.msgrcv", "restarts.msgrcv_flags_0"},
    "signalfd4": {"signals.signal_descriptor"},
    "epoll_create1": {"restarts.poller", "restarts.poller_stopped"},
    "accept4": {"files.has_accept4", "accepting.accept4_inherits_nonblock"},
    "clone3": set(),
    "unshare": {"groups.kill_all_reaches_self"},
}


@needs_filter
@pytest.mark.parametrize("refusal", ["EPERM", "EACCES", "ENOSYS"])
@pytest.mark.parametrize("call", NEEDED)
def test_what_a_filter_refuses_is_blocked_and_names_it(
    call: str, refusal: str, here: Report
) -> None:
    report = measure(before=filtered(refusal, call))
    wrong = {
        fact.id: (here[fact.id].answer, fact.answer, fact.reason)
        for fact in report
        if fact.answer != here[fact.id].answer and fact.status != BLOCKED
    }
    # That fact is of the filter itself, and is said to be of this machine's configuration.
    assert wrong == {}
    blocked = {fact.id for fact in report if fact.answer != here[fact.id].answer}
    assert NEEDED[call] <= blocked
    for id in NEEDED[call] - {"groups.kill_all_reaches_self"}:
        assert "seccomp filter" in report[id].reason, report[id].reason


@needs_filter
@pytest.mark.parametrize("refusal", ["EPERM", "EACCES", "ENOSYS"])
def test_a_filter_that_lets_python_make_no_pipe_is_named(refusal: str) -> None:
    done = run_lab("report", before=filtered(refusal, "pipe2"))
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        f"probes: the lab cannot run here: {refusal} by the seccomp filter in force: "
        "run the lab outside it to measure this\n"
    )


@needs_filter
@pytest.mark.parametrize("refusal", ["EPERM", "ENOSYS"])
def test_an_unknown_call_gives_what_the_filter_says(refusal: str, here: Report) -> None:
    report = measure("--only=processes", before=filtered(refusal, "unknown"))
    assert here["processes.unknown_system_call"].value == "ENOSYS"
    assert report["processes.unknown_system_call"].value == refusal
    assert report["processes.close_range"].status == BLOCKED
    assert "by the seccomp filter in force" in report["processes.close_range"].reason


@needs_filter
def test_a_family_that_a_filter_refuses_is_not_missing(here: Report) -> None:
    report = measure("--only=sockets", before=filtered("EAFNOSUPPORT", "inet6"))
    told = {f.id: f for f in report if f.answer != here[f.id].answer}
    assert "sockets.v6only_default" in told
    # What serves both families through one IPv4 socket is as it is without IPv6.
    answered = {id: f.answer for id, f in told.items() if f.status != BLOCKED}
    assert answered == {}
    assert all("seccomp filter" in fact.reason for fact in told.values())


@needs_linux
@needs_root
def test_no_ipv6_at_all_is_the_platforms_own_answer(tmp_path: Path) -> None:
    with pytest.raises(Unsupported):
        raise refusals.unexpected(OSError(errno.EAFNOSUPPORT, "")) or AssertionError


@pytest.mark.parametrize(
    ("number", "call", "kind"),
    [
        (errno.EPERM, "kill", None),
        (errno.EACCES, "setpgid", None),
        (errno.EPERM, "close_range", Blocked),
        (errno.EACCES, "sendfile", Blocked),
        (errno.ENOSYS, "close_range", Unsupported),
        (errno.EINVAL, "close_range", None),
        (errno.EAGAIN, "sigqueue", None),
    ],
)
def test_one_table_says_what_an_error_means(
    number: int, call: str, kind: Optional[type], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "seccomp_filter", lambda: False)
    why = refusals.refusal(number, call)
    assert type(why) is (kind or type(None))
    if isinstance(why, Blocked):
        assert "a sandbox or security module" in str(why)
    monkeypatch.setattr(refusals, "seccomp_filter", lambda: True)
    if number == errno.ENOSYS:
        assert isinstance(refusals.refusal(number, call), Blocked)


@pytest.mark.parametrize("number", refusals.LIMITS)
def test_a_limit_is_named_with_what_to_do(number: int) -> None:
    why = refusals.unexpected(OSError(number, os.strerror(number)))
    assert isinstance(why, Blocked)
    assert ": " in str(why)


def test_what_is_no_refusal_is_a_fault_of_the_probe() -> None:
    assert refusals.unexpected(OSError(errno.EINVAL, "")) is None
    assert refusals.unexpected(ValueError("x")) is None
    own = Blocked("the moon is needed")
    assert refusals.unexpected(own) is own


@needs_linux
def test_debug_names_the_refusal_too() -> None:
    if platform.machine() != "x86_64":
        pytest.skip("the filter is built for 64-bit x86")
    done = run_lab("debug", "processes.close_range", before=filtered("EPERM", "close_range"))
    assert done.returncode == 3
    assert "close_range() is refused with EPERM by the seccomp filter in force" in done.stdout
