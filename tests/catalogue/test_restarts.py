"""The restarts family can be wrong: change the world, see the answers flip."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from probes.catalogue import restarts
from probes.harness import blocking
from probes.probe import Unsupported
from tests.catalogue.test_signals import python_flags
from tests.catalogue.test_terminals import OF_OPENPTY
from tests.worlds import ROOT, measure, needs_linux, needs_root, shim

CALLS = """
#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#define REAL(name) static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name)
#define FAIL(number) do { errno = (number); return -1; } while (0)
#define IS_HANDLER(action) ((action).sa_handler != SIG_DFL && (action).sa_handler != SIG_IGN)
"""


def again(result: str, name: str, declared: str, passed: str) -> str:
    """Return a C function that repeats the real call until it fails with something but EINTR."""
    return f"""
{result} {name}({declared}) {{
    REAL({name});
    {result} got;
    while ((got = real({passed})) == -1 && errno == EINTR);
    return got;
}}
"""


def to_the_end(name: str, declared: str, passed: str) -> str:
    """Return a C write() or send() that returns when all is moved, or when it would block."""
    return f"""
ssize_t {name}(int fd, const void *data, size_t size{declared}) {{
    REAL({name});
    size_t moved = 0;
    while (moved < size) {{
        ssize_t now = real(fd, (const char *)data + moved, size - moved{passed});
        if (now < 0 && errno == EINTR) continue;
        if (now < 0) return moved ? (ssize_t)moved : -1;
        moved += now;
    }}
    return moved;
}}
"""


def with_flags(change: str) -> str:
    """Return a C sigaction() that changes the flags of a handler for SIGUSR1."""
    return (
        CALLS
        + f"""
int sigaction(int signum, const struct sigaction *new, struct sigaction *old) {{
    REAL(sigaction);
    struct sigaction to;
    if (signum != SIGUSR1 || !new || !IS_HANDLER(*new)) return real(signum, new, old);
    to = *new;
    to.sa_flags {change};
    return real(signum, &to, old);
}}
"""
    )


BY_FLAG = [
    "read_pipe",
    "write_pipe",
    "read_terminal",
    "write_terminal",
    "read_socket",
    "read_tcp",
    "write_socket",
    "write_tcp",
    "recv",
    "recv_tcp",
    "send",
    "send_tcp",
    "accept",
    "connect",
    "flock",
    "fcntl_setlkw",
    "waitpid",
    "open_fifo",
    "sem_wait",
]
"""Facts that SA_RESTART decides."""
NEVER = [
    "recv_rcvtimeo",
    "recv_rcvtimeo_tcp",
    "accept_rcvtimeo",
    "poll",
    "select",
    "poller",
    "nanosleep",
    "pause",
    "sigsuspend",
    "sigwaitinfo",
    "msgrcv",
]
"""Facts that are EINTR with and without SA_RESTART."""


def rows(*names: str, old: str, new: str) -> dict[str, tuple[str, str]]:
    return {f"restarts.{name}": (old, new) for name in names}


def both(*names: str) -> list[str]:
    return [f"{name}{suffix}" for name in names for suffix in ("", "_flags_0")]


def bare(*names: str) -> list[str]:
    return [f"{name}_flags_0" for name in names]


SHIMS = {
    "SA_RESTART is dropped": (
        with_flags("&= ~SA_RESTART"),
        rows(*BY_FLAG, old="restarts", new="EINTR"),
    ),
    "SA_RESTART is always there": (
        with_flags("|= SA_RESTART"),
        {
            **rows(*bare(*BY_FLAG), old="EINTR", new="restarts"),
            "signals.sigaction_flags_0_flags": ("none", "SA_RESTART"),
            "signals.sigaction_flags_0_restarts": ("no", "yes"),
            "signals.python_signal_flags": python_flags("SA_RESTART"),
            "signals.python_signal_restarts": ("no", "yes"),
        },
    ),
    "nothing ends with EINTR": (
        CALLS
        + again("ssize_t", "recv", "int a, void *b, size_t c, int d", "a, b, c, d")
        + again("int", "accept", "int a, struct sockaddr *b, socklen_t *c", "a, b, c")
        + again("int", "poll", "struct pollfd *a, nfds_t b, int c", "a, b, c")
        + again(
            "int",
            "select",
            "int a, fd_set *b, fd_set *c, fd_set *d, struct timeval *e",
            "a, b, c, d, e",
        )
        + again("int", "epoll_wait", "int a, struct epoll_event *b, int c, int d", "a, b, c, d")
        + again("int", "nanosleep", "const struct timespec *a, struct timespec *b", "a, b")
        + again("int", "sigsuspend", "const sigset_t *a", "a")
        + again("int", "sigwaitinfo", "const sigset_t *a, siginfo_t *b", "a, b")
        + again("ssize_t", "msgrcv", "int a, void *b, size_t c, long d, int e", "a, b, c, d, e")
        + "int pause(void) { REAL(pause); for (;;) real(); }",
        {
            **rows(*both(*NEVER), old="EINTR", new="restarts"),
            **rows(*bare("recv", "recv_tcp", "accept"), old="EINTR", new="restarts"),
            **rows("recv_rcvtimeo_stopped", "poller_stopped", old="EINTR", new="restarts"),
        },
    ),
    "a read is taken up again": (
        CALLS + again("ssize_t", "read", "int a, void *b, size_t c", "a, b, c"),
        {
            **rows(
                *bare("read_pipe", "read_terminal", "read_socket", "read_tcp"),
                old="EINTR",
                new="restarts",
            ),
            "signals.sigaction_flags_0_restarts": ("no", "yes"),
            "signals.sysv_signal_restarts": ("no", "yes"),
            "signals.python_signal_restarts": ("no", "yes"),
            "signals.siginterrupt_interrupts": ("yes", "no"),
            "signals.siginterrupt_outlives_signal": ("yes", "no"),
        },
    ),
    "what is begun is brought to its end": (
        CALLS + to_the_end("write", "", "") + to_the_end("send", ", int flags", ", flags"),
        {
            **rows(
                *both("write_pipe_begun", "send_begun", "send_begun_tcp"),
                old="partial",
                new="restarts",
            ),
            **rows(
                *bare("write_pipe", "write_terminal", "write_socket", "write_tcp"),
                *bare("send", "send_tcp"),
                old="EINTR",
                new="restarts",
            ),
        },
    ),
    "sigwait ends with EINTR": (
        CALLS
        + """
int sigwait(const sigset_t *set, int *taken) {
    siginfo_t told;
    if (sigwaitinfo(set, &told) < 0) return errno;
    *taken = told.si_signo;
    return 0;
}
""",
        rows(*both("sigwait"), old="restarts", new="EINTR"),
    ),
    "SIGCONT has a handler": (
        CALLS
        + """
static void nothing(int signum) {}
__attribute__((constructor)) static void install(void) {
    struct sigaction action = {.sa_handler = nothing};
    sigaction(SIGCONT, &action, 0);
}
""",
        rows(
            "read_pipe_stopped",
            "nanosleep_stopped",
            "sem_wait_stopped",
            old="restarts",
            new="EINTR",
        ),
    ),
    "there are no terminals and no message queues": (
        CALLS
        + """
#include <pty.h>
int openpty(int *a, int *b, char *c, const struct termios *d, const struct winsize *e) {
    FAIL(ENOENT);
}
int msgget(key_t key, int flags) { FAIL(ENOSYS); }
""",
        {
            **rows("read_terminal", "write_terminal", old="restarts", new="blocked"),
            **rows(*bare("read_terminal", "write_terminal"), old="EINTR", new="blocked"),
            **rows(*both("msgrcv"), old="EINTR", new="unsupported"),
            "groups.session_leader_gains_terminal": ("yes", "blocked"),
            "groups.double_fork_regains_terminal": ("no", "blocked"),
            "pollers.poll_terminal": ("OUT", "blocked"),
            "pollers.select_terminal": ("OUT", "blocked"),
            "pollers.poller_terminal": ("nothing", "blocked"),
            **dict.fromkeys(OF_OPENPTY, "blocked"),
        },
    ),
    "semaphores have names, as on macOS": (
        # Python's own locks start at 1.
        CALLS
        + """
int sem_init(sem_t *made, int shared, unsigned value) {
    REAL(sem_init);
    if (!value) FAIL(ENOSYS);
    return real(made, shared, value);
}
""",
        {},
    ),
}


def test_a_write_that_went_through_whole_was_not_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TCP may find room in a full connection at any time."""
    case = restarts._CASES["write_tcp"]
    through = Unsupported("the call does not block here: it returned all")
    given = iter(["all", through, "EINTR", "never asked"])

    def interrupted(*_: object) -> object:
        outcome = next(given)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(blocking, "interrupt", interrupted)
    assert restarts.after_restarting_handler(case) == "EINTR"
    given = iter(["all"] * 100)
    with pytest.raises(Unsupported, match="moves all its bytes"):
        restarts.after_restarting_handler(case)
    given = iter([Unsupported("the C library has no write()"), "EINTR"])
    with pytest.raises(Unsupported, match="no write"):
        restarts.after_restarting_handler(case)


@needs_linux
def test_each_kind_of_socket_has_its_own_answer(tmp_path: Path) -> None:
    """The answer for a Unix socket says nothing of TCP, and the other way round."""
    once_more = """
#include <errno.h>
#include <sys/socket.h>
ssize_t recv(int fd, void *data, size_t size, int flags) {
    ssize_t (*real)(int, void *, size_t, int) = dlsym(RTLD_NEXT, "recv");
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    getsockname(fd, (struct sockaddr *)&name, &length);
    ssize_t got;
    while ((got = real(fd, data, size, flags)) < 0 && errno == EINTR && name.ss_family == FAMILY);
    return got;
}
"""
    names = ("recv_flags_0", "recv_tcp_flags_0")
    for family, expected in (
        ("AF_UNIX", ["restarts", "EINTR"]),
        ("AF_INET", ["EINTR", "restarts"]),
    ):
        world = shim(tmp_path, once_more.replace("FAMILY", family))
        there = measure("--only=restarts.recv*", environment=world)
        assert [there[f"restarts.{name}"].value for name in names] == expected


def test_rows_of_sockets_say_of_which_kind_they_are() -> None:
    for name, case in restarts._CASES.items():
        if name.startswith(("recv", "send", "read_socket", "write_socket")) or "tcp" in name:
            assert ("TCP socket" if "tcp" in name else "Unix socket") in case.call, name


RESET_WHEN_FULL = """
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
int connect(int fd, const struct sockaddr *address, socklen_t length) {
    static in_port_t asked;
    static int unserved;
    int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
    in_port_t port = ((const struct sockaddr_in *)address)->sin_port;
    if (!(fcntl(fd, F_GETFL) & O_NONBLOCK)) return real(fd, address, length);
    if (port != asked) asked = port, unserved = 0;
    if (++unserved > 1) return errno = ECONNRESET, -1;
    return real(fd, address, length);
}
"""


@needs_linux
def test_what_connect_itself_gives_for_a_full_backlog_is_told(tmp_path: Path) -> None:
    """On FreeBSD connect() fails with ECONNRESET, and SO_ERROR no longer has it."""
    there = measure("--only=restarts.connect*", environment=shim(tmp_path, RESET_WHEN_FULL))
    for name in ("connect", "connect_flags_0"):
        fact = there[f"restarts.{name}"]
        assert fact.status == "unsupported"
        assert "the backlog is full: ECONNRESET" in fact.reason


QUEUES_LEFT = """
from pathlib import Path
from tests.worlds import measure
queues = Path("/proc/sysvipc/msg")
before = queues.read_text()
assert measure("--only=restarts.msgrcv")["restarts.msgrcv"].value == "EINTR"
for milliseconds in range(1, 30, 2):
    measure("--only=restarts.msgrcv", f"--deadline={milliseconds / 1000}")
assert queues.read_text() == before
"""


@needs_linux
@needs_root
def test_no_message_queue_is_left_when_the_probe_is_killed() -> None:
    # In a namespace with separate queues, because other tests may make queues at the same time.
    subprocess.run(["unshare", "--ipc", sys.executable, "-c", QUEUES_LEFT], cwd=ROOT, check=True)
