"""The sockets family can be wrong: change the world, see the answers flip."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from probes import Report
from probes.catalogue import sockets
from probes.load_catalogue import load_catalogue
from probes.probe import Sample
from tests.worlds import ROOT, flipped, measure, needs_linux, needs_root, network, shim

SYSCALLS = """
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netdb.h>
#include <string.h>
#include <sys/un.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#define REAL(name) static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name)
#define FAIL(number) do { errno = (number); return -1; } while (0)

static inline int one_option(int fd, int level, int option) {
    int value = 0;
    socklen_t length = sizeof value;
    getsockopt(fd, level, option, &value, &length);
    return value;
}

static inline int tcp_state(int fd) {
    struct tcp_info told;
    socklen_t length = sizeof told;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &told, &length) ? -1 : told.tcpi_state;
}
"""


def set_option(instead: str) -> str:
    """Return a C setsockopt() that does ``instead`` before the real call."""
    return (
        SYSCALLS
        + """
int setsockopt(int fd, int level, int option, const void *value, socklen_t length) {
    REAL(setsockopt);
    static const int on = 1;
    (void)on;
"""
        + instead
        + "return real(fd, level, option, value, length); }"
    )


def before_bind(instead: str) -> str:
    return (
        SYSCALLS
        + """
int bind(int fd, const struct sockaddr *address, socklen_t length) {
    REAL(bind);
    static const int on = 1;
    (void)on;
    const struct sockaddr_un *un = (const void *)address;
    (void)un;
"""
        + instead
        + "return real(fd, address, length); }"
    )


REVERSED_GETADDRINFO = (
    SYSCALLS
    + """
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **found) {
    REAL(getaddrinfo);
    int status = real(host, port, hints, found);
    struct addrinfo *reversed = 0;
    while (!status && *found) {
        struct addrinfo *next = (*found)->ai_next;
        (*found)->ai_next = reversed;
        reversed = *found;
        *found = next;
    }
    if (!status) *found = reversed;
    return status;
}
"""
)

BINDV6ONLY = {
    "sockets.v6only_default": ("no", "yes"),
    "sockets.v4mapped_default": ("yes", "no"),
    "sockets.bind_v4_first_default": ("EADDRINUSE", "ok"),
    "sockets.bind_v6_first_default": ("EADDRINUSE", "ok"),
    "sockets.bind_v4_first_reuseaddr": ("EADDRINUSE", "ok"),
    "sockets.bind_v6_first_reuseaddr": ("EADDRINUSE", "ok"),
}


@needs_linux
@needs_root
def test_a_server_that_works_on_one_system_serves_ipv6_alone_on_another(
    here: Report, tmp_path: Path
) -> None:
    """FreeBSD breaks the loop that keeps the first address that binds."""
    freebsd = measure(
        before=network("net.ipv6.bindv6only=1"), environment=shim(tmp_path, REVERSED_GETADDRINFO)
    )
    assert flipped(here, freebsd) == {
        **BINDV6ONLY,
        "sockets.passive_order": ("inet, inet6", "inet6, inet"),
        "sockets.first_that_binds": ("inet", "inet6"),
        "sockets.first_that_binds_serves": ("IPv4 alone", "IPv6 alone"),
    }


SYSCTLS: dict[str, dict[str, tuple[str, str]]] = {
    "net.ipv6.bindv6only=1": BINDV6ONLY,
    "net.ipv6.conf.all.disable_ipv6=1": {"sockets.ipv6_loopback": ("yes", "no")},
    "net.core.somaxconn=100": {"sockets.backlog_clamp": ("4096", "100")},
    "net.core.somaxconn=1": {
        "sockets.backlog_clamp": ("4096", "1"),
        "sockets.backlog_completes": ("3", "2"),
        "unix.backlog_completes": ("3", "2"),
    },
    # No connection stays in TIME_WAIT, so nothing prevents a bind.
    "net.ipv4.tcp_max_tw_buckets=0": {
        "sockets.bind_time_wait": ("EADDRINUSE", "ok"),
        "sockets.late_reuseaddr_time_wait": ("EADDRINUSE", "ok"),
    },
    # The kernel resets a client only if the queue fills up between its SYN and its ACK:
    # a SYN that finds the queue full is dropped in any case.
    "net.ipv4.tcp_abort_on_overflow=1": {},
}


def test_facts_hang_on_the_settings_that_flip_them() -> None:
    """Each setting that a fact depends on is changed below, and the answer flips."""
    flip: dict[str, set[str]] = {}
    for changed, facts in SYSCTLS.items():
        flip.setdefault(changed.partition("=")[0], set()).update(facts)
    named: dict[str, set[str]] = {}
    for id, probe in load_catalogue().items():
        for name in {"linux", "posix"} & {*probe.hangs_on}:
            named.setdefault(probe.hangs_on[name], set()).add(id)
    assert named == {setting: facts for setting, facts in flip.items() if facts}


@needs_linux
@needs_root
@pytest.mark.parametrize(("setting", "expected"), SYSCTLS.items())
def test_a_sysctl_flips_what_hangs_on_it_and_nothing_else(
    setting: str, expected: dict[str, tuple[str, str]], here: Report
) -> None:
    changed = measure(before=network(setting))
    assert flipped(here, changed) == expected
    name, _, value = setting.partition("=")
    assert changed.environment.sysctls[name] == value
    assert {changed[id].hangs_on for id in expected} <= {name}


@needs_linux
@needs_root
def test_without_loopback_facts_are_blocked_and_none_is_broken(here: Report) -> None:
    down = measure("--only=sockets", "--only=accepting", before=network(up=False))
    counts = down.counts()
    assert counts["blocked"] > 20
    assert not counts["broken"] + counts["timed out"]
    reasons = {fact.reason for fact in down if fact.status == "blocked"}
    assert reasons == {"no 127.0.0.1 on this machine (Network is unreachable): bring lo up"}
    # glibc lists an address that it cannot reach last.
    assert down["sockets.passive_order"].value == "inet6, inet"


SHIMS = {
    "SO_REUSEADDR is ignored": (
        set_option("if (level == SOL_SOCKET && option == SO_REUSEADDR) return 0;"),
        {"sockets.reuseaddr_time_wait": ("ok", "EADDRINUSE")},
    ),
    "SO_REUSEADDR shares live listeners": (
        set_option(
            """if (level == SOL_SOCKET && option == SO_REUSEADDR)
                   real(fd, level, SO_REUSEPORT, value, length);"""
        ),
        {
            "sockets.bind_v4_first_reuseaddr": ("EADDRINUSE", "ok"),
            "sockets.bind_v6_first_reuseaddr": ("EADDRINUSE", "ok"),
            "sockets.wildcard_beside_specific_reuseaddr": ("EADDRINUSE", "ok"),
            "sockets.specific_beside_wildcard_reuseaddr": ("EADDRINUSE", "ok"),
            "sockets.reuseaddr_live_listener": ("EADDRINUSE", "ok"),
        },
    ),
    "every bind shares its port": (
        before_bind("setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);"),
        {
            "sockets.bind_v4_first_default": ("EADDRINUSE", "ok"),
            "sockets.bind_v6_first_default": ("EADDRINUSE", "ok"),
            "sockets.bind_v4_first_reuseaddr": ("EADDRINUSE", "ok"),
            "sockets.bind_v6_first_reuseaddr": ("EADDRINUSE", "ok"),
            "sockets.wildcard_beside_specific": ("EADDRINUSE", "ok"),
            "sockets.wildcard_beside_specific_reuseaddr": ("EADDRINUSE", "ok"),
            "sockets.specific_beside_wildcard": ("EADDRINUSE", "ok"),
            "sockets.specific_beside_wildcard_reuseaddr": ("EADDRINUSE", "ok"),
            "sockets.reuseaddr_live_listener": ("EADDRINUSE", "ok"),
            "sockets.bind_time_wait": ("EADDRINUSE", "ok"),
            "sockets.late_reuseaddr_time_wait": ("EADDRINUSE", "ok"),
        },
    ),
    "IPV6_V6ONLY=1 is ignored": (
        set_option(
            """if (level == IPPROTO_IPV6 && option == IPV6_V6ONLY && *(const int *)value)
                   return 0;"""
        ),
        {
            "sockets.bind_v4_first_v6only": ("ok", "EADDRINUSE"),
            "sockets.bind_v6_first_v6only": ("ok", "EADDRINUSE"),
            "sockets.bind_v4_first_v6only_reuseaddr": ("ok", "EADDRINUSE"),
            "sockets.bind_v6_first_v6only_reuseaddr": ("ok", "EADDRINUSE"),
            "sockets.v6only_after_bind": ("EINVAL", "ok"),
        },
    ),
    "IPV6_V6ONLY=0 is refused, as on OpenBSD": (
        set_option(
            """if (level == IPPROTO_IPV6 && option == IPV6_V6ONLY && !*(const int *)value)
                   FAIL(EINVAL);"""
        ),
        {
            "sockets.v4mapped_dual": ("yes", "no"),
            "sockets.v4mapped_address": ("::ffff:127.0.0.1", "unsupported"),
        },
    ),
    "there are no IPv6 sockets": (
        SYSCALLS
        + """
int socket(int family, int type, int protocol) {
    REAL(socket);
    if (family == AF_INET6) FAIL(EAFNOSUPPORT);
    return real(family, type, protocol);
}
""",
        {
            "sockets.ipv6_loopback": ("yes", "no"),
            "sockets.v6only_default": ("no", "unsupported"),
            "sockets.v4mapped_default": ("yes", "unsupported"),
            "sockets.v4mapped_dual": ("yes", "unsupported"),
            "sockets.v4mapped_address": ("::ffff:127.0.0.1", "unsupported"),
            "sockets.v6only_after_bind": ("EINVAL", "unsupported"),
            "sockets.bind_v4_first_default": ("EADDRINUSE", "unsupported"),
            "sockets.bind_v6_first_default": ("EADDRINUSE", "unsupported"),
            "sockets.bind_v4_first_reuseaddr": ("EADDRINUSE", "unsupported"),
            "sockets.bind_v6_first_reuseaddr": ("EADDRINUSE", "unsupported"),
            "sockets.bind_v4_first_v6only": ("ok", "unsupported"),
            "sockets.bind_v6_first_v6only": ("ok", "unsupported"),
            "sockets.bind_v4_first_v6only_reuseaddr": ("ok", "unsupported"),
            "sockets.bind_v6_first_v6only_reuseaddr": ("ok", "unsupported"),
        },
    ),
    "addresses are written in capitals": (
        SYSCALLS
        + """
#include <arpa/inet.h>
#include <ctype.h>
const char *inet_ntop(int family, const void *address, char *text, socklen_t size) {
    REAL(inet_ntop);
    const char *written = real(family, address, text, size);
    for (char *at = text; written && *at; at++) *at = toupper(*at);
    return written;
}
""",
        {"sockets.v4mapped_address": ("::ffff:127.0.0.1", "::FFFF:127.0.0.1")},
    ),
    "getaddrinfo lists the other way round": (
        REVERSED_GETADDRINFO,
        {
            "sockets.passive_order": ("inet, inet6", "inet6, inet"),
            "sockets.first_that_binds": ("inet", "inet6"),
            "sockets.first_that_binds_serves": ("IPv4 alone", "both"),
        },
    ),
    "there is no SO_REUSEPORT": (
        set_option("if (level == SOL_SOCKET && option == SO_REUSEPORT) FAIL(ENOPROTOOPT);"),
        {
            "sockets.reuseport_exists": ("yes", "no"),
            "sockets.reuseport_balances": ("yes", "unsupported"),
            "sockets.reuseport_last_binder_wins": ("no", "unsupported"),
            "sockets.reuseport_unix": ("EOPNOTSUPP", "ENOPROTOOPT"),
        },
    ),
    "the last of two SO_REUSEPORT listeners gets all": (
        SYSCALLS
        + """
int listen(int fd, int backlog) {
    REAL(listen);
    int status = real(fd, backlog);
    struct sock_filter always_the_second = {BPF_RET | BPF_K, 0, 0, 1};
    struct sock_fprog program = {1, &always_the_second};
    if (one_option(fd, SOL_SOCKET, SO_REUSEPORT))
        setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);
    return status;
}
""",
        {
            "sockets.reuseport_balances": ("yes", "no"),
            "sockets.reuseport_last_binder_wins": ("no", "yes"),
        },
    ),
    "TCP_INFO is laid out otherwise": (
        SYSCALLS
        + """
int getsockopt(int fd, int level, int option, void *value, socklen_t *length) {
    REAL(getsockopt);
    int done = real(fd, level, option, value, length);
    if (level == IPPROTO_TCP && option == TCP_INFO) memmove((char *)value + 4, value, *length - 4);
    return done;
}
""",
        {"sockets.backlog_clamp": ("4096", "blocked")},
    ),
    "TCP_INFO is cut short, as by qemu-user": (
        SYSCALLS
        + """
int getsockopt(int fd, int level, int option, void *value, socklen_t *length) {
    REAL(getsockopt);
    if (level == IPPROTO_TCP && option == TCP_INFO) *length = 4;
    return real(fd, level, option, value, length);
}
""",
        {"sockets.backlog_clamp": ("4096", "blocked")},
    ),
    "the backlog is not kept": (
        SYSCALLS + "int listen(int fd, int backlog) { REAL(listen); return real(fd, 100); }",
        {
            "sockets.backlog_clamp": ("4096", "100"),
            "sockets.backlog_completes": ("3", "unsupported"),
            "sockets.backlog_overflow": ("waits", "unsupported"),
            "restarts.connect": ("restarts", "unsupported"),
            "restarts.connect_flags_0": ("EINTR", "unsupported"),
            "unix.backlog_completes": ("3", "unsupported"),
            "unix.backlog_full_blocking": ("waits", "unsupported"),
            "unix.backlog_full_nonblock": ("EAGAIN", "unsupported"),
        },
    ),
    "a full backlog refuses": (
        SYSCALLS
        + """
int connect(int fd, const struct sockaddr *address, socklen_t length) {
    REAL(connect);
    static in_port_t asked;
    static int unserved;
    struct sockaddr_in nobody;
    memcpy(&nobody, address, sizeof nobody);
    if (address->sa_family != AF_INET || !(fcntl(fd, F_GETFL) & O_NONBLOCK))
        return real(fd, address, length);
    if (nobody.sin_port != asked) asked = nobody.sin_port, unserved = 0;
    if (unserved++ == 3) {
        nobody.sin_port = htons(1);
        return real(fd, (const void *)&nobody, sizeof nobody);
    }
    return real(fd, address, length);
}
""",
        {"sockets.backlog_overflow": ("waits", "ECONNREFUSED")},
    ),
    "a full backlog resets, and connect() itself tells, as on FreeBSD": (
        # One connection more than Linux completes goes to another listener.
        SYSCALLS
        + """
static int elsewhere(void) {
    static int listening = -1;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof any;
    if (listening < 0) {
        listening = socket(AF_INET, SOCK_STREAM, 0);
        bind(listening, (void *)&any, sizeof any);
        listen(listening, 8);
    }
    getsockname(listening, (void *)&any, &length);
    return any.sin_port;
}
int connect(int fd, const struct sockaddr *address, socklen_t length) {
    REAL(connect);
    static in_port_t asked;
    static int unserved;
    struct sockaddr_in there;
    memcpy(&there, address, sizeof there);
    if (address->sa_family != AF_INET || !(fcntl(fd, F_GETFL) & O_NONBLOCK))
        return real(fd, address, length);
    if (there.sin_port != asked) asked = there.sin_port, unserved = 0;
    if (++unserved > 4) FAIL(ECONNRESET);
    if (unserved == 4) there.sin_port = elsewhere();
    return real(fd, (const void *)&there, sizeof there);
}
""",
        {
            "sockets.backlog_completes": ("3", "4"),
            "sockets.backlog_overflow": ("waits", "ECONNRESET"),
        },
    ),
    "nobody connects to 0.0.0.0, as on FreeBSD 15": (
        SYSCALLS
        + """
int connect(int fd, const struct sockaddr *address, socklen_t length) {
    REAL(connect);
    if (address->sa_family == AF_INET && !((const struct sockaddr_in *)address)->sin_addr.s_addr)
        FAIL(ENOBUFS);
    return real(fd, address, length);
}
""",
        {"sockets.connect_to_any": ("ok", "ENOBUFS")},
    ),
    "Unix sockets have short paths and no abstract names, as on FreeBSD": (
        before_bind(
            """if (address->sa_family == AF_UNIX && !un->sun_path[0]) FAIL(ENOENT);
               if (address->sa_family == AF_UNIX && length > 2 + 104) FAIL(EINVAL);"""
        ),
        {
            "sockets.unix_path_limit": ("108", "104"),
            "sockets.unix_path_limit_with_nul": ("107", "103"),
            "sockets.abstract_unix": ("yes", "no"),
        },
    ),
    "long paths of Unix sockets are cut in silence": (
        before_bind("if (address->sa_family == AF_UNIX && length > 92) length = 92;"),
        {
            "sockets.unix_path_limit": ("108", "90"),
            "sockets.unix_path_limit_with_nul": ("107", "90"),
        },
    ),
    "there must be room for the NUL of a path, as on OpenBSD": (
        before_bind(
            """if (address->sa_family == AF_UNIX && un->sun_path[0]
                    && !memchr(un->sun_path, 0, length - 2) && length == sizeof *un)
                   FAIL(EINVAL);"""
        ),
        {"sockets.unix_path_limit": ("108", "107")},
    ),
}


@needs_linux
def test_what_freebsd_alone_has_is_asked_for_by_its_numbers(tmp_path: Path) -> None:
    """Linux has neither option: the shim answers for both."""
    freebsd = set_option(
        """if (level == SOL_SOCKET && option == 0x10000)
               return real(fd, level, SO_REUSEPORT, value, length);
           if (level == SOL_SOCKET && option == SO_REUSEPORT) FAIL(ENOPROTOOPT);"""
    ) + (
        """
int getsockopt(int fd, int level, int option, void *value, socklen_t *length) {
    REAL(getsockopt);
    if (level == SOL_SOCKET && option == 0x1011) return *(int *)value = 128, 0;
    return real(fd, level, option, value, length);
}
"""
    )
    ask = """
from probes import libc
libc.FREEBSD, libc.LINUX = True, False
from probes.catalogue import sockets
print(sockets.reuseport_lb().value, sockets.backlog_clamp())
"""
    asked = subprocess.run(
        [sys.executable, "-c", ask],
        cwd=ROOT, env=shim(tmp_path, freebsd), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert asked.stdout.split() == ["True", "128"]


# A path that is longer than the struct is bound under another name first.
LONG_PATHS = (
    SYSCALLS
    + """
#include <stdio.h>
int bind(int fd, const struct sockaddr *address, socklen_t length) {
    REAL(bind);
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "short"};
    char path[256] = {0};
    if (address->sa_family != AF_UNIX || length <= sizeof un) return real(fd, address, length);
    memcpy(path, ((const struct sockaddr_un *)address)->sun_path, length - 2);
    return real(fd, (const void *)&un, sizeof un) ? -1 : rename("short", path);
}
"""
)


@needs_linux
def test_no_more_is_told_than_a_program_can_write_down(here: Report, tmp_path: Path) -> None:
    """The kernel of macOS takes a path of 253 bytes, but its struct has room for 104."""
    there = measure("--only=sockets.*path*", environment=shim(tmp_path, LONG_PATHS))
    for name, limit in (("unix_path_limit", 108), ("unix_path_limit_with_nul", 107)):
        fact = there[f"sockets.{name}"]
        assert (here[fact.id].value, here[fact.id].raw) == (limit, limit)
        assert (fact.value, fact.raw) == (limit, 253)


@needs_linux
def test_what_fits_is_told_by_the_struct_python_was_compiled_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Narrow(socket.socket):
        """A socket of a Python whose sun_path has 104 bytes."""

        def connect(self, address: Any) -> None:
            if self.family == socket.AF_UNIX and len(address) >= 104:
                raise OSError("AF_UNIX path too long")
            super().connect(address)

    monkeypatch.chdir(tmp_path)
    assert sockets.sun_path_bytes() == 108
    monkeypatch.setattr(socket, "socket", Narrow)
    assert sockets.sun_path_bytes() == 104
    assert sockets.unix_path_limit() == Sample(104, 108)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert sockets.unix_path_limit_with_nul() == Sample(103, 107)


def test_advice_on_a_full_backlog_names_every_error_it_may_give() -> None:
    advice = load_catalogue()["sockets.backlog_overflow"].advice
    assert "ECONNREFUSED" in advice
    assert "ECONNRESET" in advice
    assert "time-out" in advice
