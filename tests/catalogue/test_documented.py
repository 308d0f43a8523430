"""What is documented, where it was once filed wrong, and the advice that goes with it."""

from __future__ import annotations

import pytest

from probes.fact import Platform, Value
from probes.load_catalogue import load_catalogue

LINUX = Platform("Linux", "6.1", "x86_64", "glibc", "2.36", 64)
FREEBSD = Platform("FreeBSD", "13.2-RELEASE", "amd64", "freebsd", "13.2-RELEASE", 64)
NETBSD = Platform("NetBSD", "10.0", "amd64", "netbsd", "10.0", 64)
OPENBSD = Platform("OpenBSD", "7.6", "amd64", "openbsd", "7.6", 64)
MACOS = Platform("Darwin", "24.0.0", "arm64", "darwin", "24.0.0", 64)

DOCUMENTED: list[tuple[str, Platform, Value]] = [
    # FreeBSD's as measured on its release 13.2; the others' by their kernels' own sources.
    ("accepting.inherits_nonblock", MACOS, True),
    ("accepting.inherits_nonblock", NETBSD, True),
    ("files.full_disk_first_write", FREEBSD, "ENOSPC"),
    ("files.full_disk_leaves", FREEBSD, "nothing"),
    ("files.full_disk_first_write", NETBSD, "ENOSPC"),
    ("files.full_disk_leaves", NETBSD, "nothing"),
    ("files.full_disk_first_write", LINUX, "partial"),
    ("files.full_disk_leaves", LINUX, "the written part"),
    ("groups.kill_all_reaches_self", MACOS, True),
    ("groups.kill_all_reaches_self", FREEBSD, False),
    ("groups.killpg_only_zombies", MACOS, "EPERM"),
    ("groups.killpg_only_zombies", FREEBSD, "ok"),
    ("groups.killpg_some_permitted", FREEBSD, "ok"),
    ("groups.killpg_some_permitted", NETBSD, "ok"),
    ("groups.killpg_some_permitted", OPENBSD, "ok"),
    ("groups.killpg_some_permitted", MACOS, "ok"),
    ("groups.killpg_none_permitted", FREEBSD, "EPERM"),
    ("groups.killpg_none_permitted", NETBSD, "ESRCH"),
    ("groups.killpg_none_permitted", OPENBSD, "ESRCH"),
    ("groups.killpg_none_permitted", MACOS, "EPERM"),
    ("groups.session_leader_gains_terminal", FREEBSD, False),
    ("locks.flock_failed_upgrade_keeps", FREEBSD, "kept"),
    ("locks.flock_failed_upgrade_keeps", NETBSD, "kept"),
    ("locks.flock_failed_upgrade_keeps", OPENBSD, "kept"),
    ("locks.flock_failed_upgrade_keeps", MACOS, "kept"),
    ("locks.flock_failed_upgrade_keeps", LINUX, "lost"),
    ("restarts.sigwait", FREEBSD, "restarts"),
    ("restarts.sigwait_flags_0", FREEBSD, "restarts"),
    ("signals.has_sigqueue", MACOS, False),
    ("signals.has_sigqueue", OPENBSD, False),
    ("signals.has_sigtimedwait", MACOS, False),
    ("signals.has_sigtimedwait", OPENBSD, False),
    ("signals.has_sigtimedwait", FREEBSD, True),
    ("signals.has_sigwaitinfo", MACOS, False),
    ("signals.has_sigwaitinfo", OPENBSD, False),
    ("sockets.backlog_completes", FREEBSD, 4),
    ("sockets.sun_path_bytes", LINUX, 108),
    ("sockets.sun_path_bytes", FREEBSD, 104),
    ("sockets.sun_path_bytes", NETBSD, 104),
    ("sockets.sun_path_bytes", OPENBSD, 104),
    ("sockets.sun_path_bytes", MACOS, 104),
    ("sockets.unix_path_limit", MACOS, 104),
    ("sockets.unix_path_limit", NETBSD, 104),
    ("sockets.unix_path_limit_with_nul", LINUX, 107),
    ("sockets.unix_path_limit_with_nul", MACOS, 103),
]


@pytest.mark.parametrize(
    ("id", "platform", "value"),
    DOCUMENTED,
    ids=[f"{id}-{platform.system}" for id, platform, _ in DOCUMENTED],
)
def test_documented_is_what_the_platform_does(id: str, platform: Platform, value: Value) -> None:
    found = load_catalogue()[id].find_documented(platform)
    assert found
    assert found[1] == value
    assert type(found[1]) is type(value)


def test_nothing_is_documented_of_functions_that_freebsd_does_not_have() -> None:
    for id, probe in load_catalogue().items():
        if id.startswith(("signals.bsd_signal", "signals.sysv_signal")):
            assert not probe.find_documented(FREEBSD), id


def test_no_advice_takes_eperm_of_killpg_for_an_answer() -> None:
    """EPERM says here that some, there that none was signalled, and of zombies on macOS."""
    for name in ("some_permitted", "none_permitted", "only_zombies"):
        advice = load_catalogue()[f"groups.killpg_{name}"].advice
        assert "EPERM says" not in advice
        assert "as partial" not in advice


def test_no_advice_gives_poll_a_terminal() -> None:
    # poll(2) BUGS of macOS: devices are not supported, so terminals neither.
    advice = load_catalogue()["files.poll_dev_null"].advice
    assert "only pipes and sockets" in advice
    assert "for a device or a terminal use select()" in advice
