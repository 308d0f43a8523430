"""A sandbox's refusal is not an answer: under a seccomp filter a fact is right or blocked."""

from __future__ import annotations

import errno
import io
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Optional

import pytest

from probes import Report, libc, refusals
from probes.fact import BLOCKED
from probes.probe import Blocked, Unsupported
from tests.worlds import ROOT, measure, needs_linux, needs_root, run_lab

needs_filter = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or sys.maxsize < 2**32,
    reason="the filter is built for 64-bit x86",
)


def filtered(refusal: str, calls: str) -> list[str]:
    return [sys.executable, str(ROOT / "tests" / "sandboxed.py"), refusal, calls, "--"]


# The facts that need the call.
NEEDED = {
    "close_range": {"processes.close_range"},
    "sendfile": {"files.sendfile_to_socket", "files.sendfile_order", "files.sendfile_to_file"},
    "prctl": {"processes.no_new_privs", "processes.reaper", "processes.parent_death_signal"},
    "msgget": {"restarts.msgrcv", "restarts.msgrcv_flags_0"},
    "signalfd4": {"signals.signal_descriptor"},
    "epoll_create1": {"restarts.poller", "restarts.poller_stopped", "pollers.interface"},
    "timerfd_create": {"pollers.timer_event"},
    "accept4": {"files.has_accept4", "accepting.accept4_inherits_nonblock"},
    "clone3": set(),
    "sendmsg": {"unix.passed_arrives_once", "unix.passed_at_most", "unix.passed_without_data"},
    "socketpair": {"unix.half_close", "unix.seqpacket_exists", "unix.passed_arrives_once"},
    "unshare": {"groups.kill_all_reaches_self"},
}


@needs_filter
@pytest.mark.parametrize("refusal", ["EPERM", "EACCES", "ENOSYS"])
@pytest.mark.parametrize("call", NEEDED)
def test_what_a_filter_refuses_is_blocked_and_names_it(
    call: str, refusal: str, here: Report
) -> None:
    # The other two errors take the same way: they are tried where the first one counts.
    families = {id.partition(".")[0] for id in NEEDED[call]}
    only = [f"--only={name}" for name in sorted(families) if refusal != "EPERM"]
    report = measure(*only, before=filtered(refusal, call))
    wrong = {
        fact.id: (here[fact.id].answer, fact.answer, fact.reason)
        for fact in report
        if fact.answer != here[fact.id].answer and fact.status != BLOCKED
    }
    # This fact is about the filter itself; its scope is `configured`.
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
    # Facts that serve both families through one IPv4 socket answer as without IPv6.
    answered = {id: f.answer for id, f in told.items() if f.status != BLOCKED}
    assert answered == {}
    assert all("seccomp filter" in fact.reason for fact in told.values())


@needs_linux
@needs_root
def test_no_ipv6_at_all_is_the_platforms_own_answer(tmp_path: Path) -> None:
    with pytest.raises(Unsupported):
        raise refusals.explain(OSError(errno.EAFNOSUPPORT, "")) or AssertionError


@pytest.mark.parametrize(
    ("number", "call", "kind", "filtered_kind"),
    [
        (errno.EPERM, "kill", None, None),
        (errno.EACCES, "setpgid", None, None),
        (errno.EACCES, "kill", Blocked, Blocked),
        (errno.EPERM, "close_range", Blocked, Blocked),
        (errno.EACCES, "sendfile", Blocked, Blocked),
        (errno.ENOSYS, "close_range", Unsupported, Blocked),
        (errno.ENOSYS, "kill", Unsupported, Blocked),
        (errno.EAFNOSUPPORT, "connect", None, Blocked),
        (errno.EINVAL, "close_range", None, None),
        (errno.EAGAIN, "sigqueue", None, None),
        (None, "close_range", None, None),
    ],
)
def test_one_table_says_what_an_error_means(
    number: Optional[int],
    call: str,
    kind: Optional[type],
    filtered_kind: Optional[type],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for by, expected, whom in (
        (False, kind, "a sandbox or security module"),
        (True, filtered_kind, "the seccomp filter in force"),
    ):
        monkeypatch.setattr(refusals, "has_seccomp_filter", lambda by=by: by)
        why = refusals.explain_errno(number, call)
        assert type(why) is (expected or type(None))
        if isinstance(why, Blocked):
            assert str(why) == (
                f"{call}() is refused with {errno.errorcode[number or 0]} by {whom}: "
                "run the lab outside it to measure this"
            )
        if isinstance(why, Unsupported):
            assert str(why) == f"the kernel has no {call}()"


# The refusals that POSIX or the manual documents for each call (ERRORS).
OWN = {
    ("bind", "EACCES"), ("chroot", "EPERM"), ("connect", "EACCES"), ("connect", "EPERM"),
    ("fchmod", "EPERM"), ("fcntl", "EACCES"), ("fcntl64", "EACCES"), ("initgroups", "EPERM"),
    ("kill", "EPERM"), ("killpg", "EPERM"), ("lockf", "EACCES"), ("mount", "EPERM"),
    ("mount", "EACCES"), ("msgget", "EACCES"), ("open", "EACCES"), ("open", "EPERM"),
    ("setegid", "EPERM"), ("seteuid", "EPERM"), ("setgid", "EPERM"), ("setgroups", "EPERM"),
    ("setpgid", "EACCES"), ("setpgid", "EPERM"), ("setregid", "EPERM"), ("setresgid", "EPERM"),
    ("setresuid", "EPERM"), ("setreuid", "EPERM"), ("setsid", "EPERM"), ("setuid", "EPERM"),
    ("unshare", "EPERM"),
}  # fmt: skip


@pytest.mark.parametrize("by", [True, False], ids=["filter", "no filter"])
def test_a_calls_own_refusal_is_an_answer(by: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "has_seccomp_filter", lambda: by)
    answers = {
        (call, name)
        for call in libc._PROTOTYPES.keys() | {"fchmod"}
        for name in ("EPERM", "EACCES")
        if refusals.explain_errno(getattr(errno, name), call) is None
    }
    assert answers == OWN


@pytest.mark.parametrize(
    ("error", "unfiltered", "behind_filter"),
    [
        (OSError(errno.EPERM, ""), "Blocked: EPERM by a sandbox", "Blocked: EPERM by the seccomp"),
        (OSError(errno.EACCES, "", "/x"), "Blocked: EACCES of /x by a", "Blocked: EACCES of /x by"),
        (OSError(errno.EACCES, "", b"/x"), "Blocked: EACCES of /x by a", "Blocked: EACCES of /x"),
        (
            OSError(errno.ENOSYS, ""),
            "Unsupported: the kernel lacks a call",
            "Blocked: ENOSYS by the",
        ),
        (
            OSError(errno.EAFNOSUPPORT, ""),
            "Unsupported: the kernel has no sockets of this family",
            "Blocked: EAFNOSUPPORT by the seccomp",
        ),
        (OSError(errno.ENOENT, "", os.devnull), "Blocked: needs /dev/null", "Blocked: needs /dev"),
        (OSError(errno.ENOENT, "", "/x"), "None", "None"),
        (OSError(errno.EINVAL, "", os.devnull), "None", "None"),
        (OSError(errno.ENOSPC, ""), "Blocked: the scratch file system is full", "Blocked: the"),
        (OSError(errno.EAGAIN, ""), "None", "None"),
        (Unsupported("own"), "Unsupported: own", "Unsupported: own"),
    ],
)
def test_an_error_that_nothing_asked_for_is_explained(
    error: BaseException, unfiltered: str, behind_filter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for by, expected in ((False, unfiltered), (True, behind_filter)):
        monkeypatch.setattr(refusals, "has_seccomp_filter", lambda by=by: by)
        why = refusals.explain(error)
        told = f"{type(why).__name__}: {why}" if why else "None"
        assert told.startswith(expected)


@pytest.mark.parametrize(
    ("own", "status", "expected"),
    [
        (True, b"Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n", True),
        (True, b"Name:\tx\nSeccomp:\t0\nSeccomp_filters:\t2\n", False),
        (True, b"Name:\tx\nSeccomp:\t1\n", False),  # Strict mode would have killed the lab.
        (True, b"Name:\tx\nSeccomp:\t22\n", False),
        (True, b"Name:\tx\n", False),
        # A foreign /proc shows another process; an absent one shows nothing.
        (False, b"Seccomp:\t2\n", False),
        (True, None, False),
        (None, None, False),
    ],
)
def test_a_filter_is_known_by_the_processes_own_status(
    own: Optional[bool], status: Optional[bytes], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def readlink(path: str) -> str:
        if own is None:
            raise FileNotFoundError(errno.ENOENT, "", path)
        return str(os.getpid() + (not own))

    def open_(path: str, mode: str) -> io.BytesIO:
        assert (path, mode) == ("/proc/self/status", "rb")
        if status is None:
            raise FileNotFoundError(errno.ENOENT, "", path)
        return io.BytesIO(status)

    monkeypatch.setattr(os, "readlink", readlink)
    monkeypatch.setattr(refusals, "open", open_, raising=False)
    assert refusals.has_seccomp_filter() is expected


@needs_filter
@pytest.mark.parametrize(
    "before", [[], filtered("EPERM", "close_range"), filtered("EPERM", "prctl")]
)
def test_a_filter_is_seen_without_proc(before: list[str]) -> None:
    ask = "from probes import refusals; print(refusals._ask_prctl())"
    done = subprocess.run(
        [*before, sys.executable, "-c", ask],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(bool(before))


@pytest.mark.parametrize("number", refusals.LIMITS)
def test_a_limit_is_named_with_what_to_do(number: int) -> None:
    why = refusals.explain(OSError(number, os.strerror(number)))
    assert isinstance(why, Blocked)
    assert ": " in str(why)


def test_what_is_no_refusal_is_a_fault_of_the_probe() -> None:
    assert refusals.explain(OSError(errno.EINVAL, "")) is None
    assert refusals.explain(ValueError("x")) is None
    own = Blocked("the moon is needed")
    assert refusals.explain(own) is own


@needs_linux
def test_debug_names_the_refusal_too() -> None:
    if platform.machine() != "x86_64":
        pytest.skip("the filter is built for 64-bit x86")
    done = run_lab("debug", "processes.close_range", before=filtered("EPERM", "close_range"))
    assert done.returncode == 3
    assert "close_range() is refused with EPERM by the seccomp filter in force" in done.stdout
