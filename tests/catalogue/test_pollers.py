"""The pollers family can be wrong: change the world, see the answers flip."""

from __future__ import annotations

import errno
import os
import resource
import select
from pathlib import Path
from typing import Any, NamedTuple, Optional

import pytest

from probes import Report, libc
from probes.catalogue import pollers as catalogue
from probes.fact import BLOCKED
from probes.load_catalogue import load_catalogue
from probes.probe import Blocked, Unsupported
from tests.catalogue import test_terminals
from tests.worlds import COUNT_SESSIONS, flipped, measure, needs_linux, needs_root, network

pytestmark = needs_linux

HEADERS = r"""
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL(why) return errno = why, -1
static int is(int fd, mode_t kind)
{
    struct stat s;
    return fstat(fd, &s) == 0 && (s.st_mode & S_IFMT) == kind;
}
static int is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }
static int is_tcp(int fd)
{
    int domain = 0;
    socklen_t size = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_INET;
}
"""


def write_poll(rule: str, before: str = "") -> str:
    """Return a poll() that applies ``before``, and then ``rule`` to each entry ``p``."""
    return (
        "int poll(struct pollfd *fds, nfds_t n, int timeout) {"
        + before
        + " int ready = REAL(poll)(fds, n, timeout);"
        " for (struct pollfd *p = fds; p < fds + n; p++) { int fd = p->fd; (void)fd;"
        + rule
        + " } return ready; }\n"
    )


def write_select(before: str, after: str = "") -> str:
    return (
        "int select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *t) {"
        + before
        + " int ready = REAL(select)(n, r, w, e, t);"
        + after
        + " return ready; }\n"
    )


def write_epoll_wait(rule: str) -> str:
    """Return an epoll_wait() that applies ``rule`` to the ``ready`` events ``found``."""
    return (
        "int epoll_wait(int epoll, struct epoll_event *found, int n, int timeout) {"
        " int ready = REAL(epoll_wait)(epoll, found, n, timeout); int i; (void)i;"
        + rule
        + " return ready; }\n"
    )


def write_epoll_ctl(rule: str) -> str:
    """Return an epoll_ctl() that applies ``rule`` first."""
    return (
        "int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event) {"
        + rule
        + " return REAL(epoll_ctl)(epoll, operation, fd, event); }\n"
    )


def pollers(**answers: str) -> dict[str, str]:
    return {f"pollers.{name}": answer for name, answer in answers.items()}


OF_POLLERS = (
    "poller_regular_file", "poller_terminal", "poller_dev_null", "poller_closed_descriptor",
    "poller_unwritten_fifo", "poller_ended_pipe", "poller_unread_pipe", "poller_half_closed_tcp",
    "poller_reset_tcp", "poller_early", "timer_event", "in_child", "child_removes_for_parent",
    "dup_keeps_registration", "add_twice", "add_after_one_shot", "level_repeats",
    "edge_reports_earlier", "edge_repeats", "edge_reports_more", "drained_pipe_writable",
    "closed_during_poller", "woken_by_poller", "woken_by_exclusive",
)  # fmt: skip
"""The facts that an epoll or kqueue is needed for."""

OF_POLL = (
    "poll_regular_file", "poll_terminal", "poll_closed_descriptor", "poll_negative_descriptor",
    "poll_unwritten_fifo", "poll_unread_pipe", "poll_readerless_pipe", "poll_unconnected_tcp",
    "poll_refused_tcp", "poll_half_closed_tcp", "poll_reset_tcp", "poll_shut_down_tcp",
    "poll_closed_unix", "poll_half_closed_unix", "rdhup", "closed_during_poll", "woken_by_poll",
    "poll_minus_2", "nofile_zero_poll",
)  # fmt: skip
"""The facts that Python's constants for poll() are needed for."""

WORLDS = {
    "poll knows no files and no devices": (
        write_poll("if (is(fd, S_IFREG) || is(fd, S_IFCHR)) p->revents = POLLNVAL;"),
        {
            **pollers(poll_regular_file="NVAL", poll_terminal="NVAL"),
            "files.poll_dev_null": "NVAL",
            **{f"terminals.{name}": "NVAL" for name in test_terminals.OF_POLL},
        },
    ),
    "poll takes descriptor -1 for closed, and a closed one for broken": (
        write_poll("if (!is_open(fd)) p->revents = fd < 0 ? POLLNVAL : POLLERR;"),
        pollers(poll_closed_descriptor="ERR", poll_negative_descriptor="NVAL"),
    ),
    "poll reports the ends of pipes otherwise": (
        write_poll(
            r"""
            if (!is(fd, S_IFIFO)) continue;
            if (p->revents & (POLLHUP | POLLERR)) p->revents &= ~(POLLHUP | POLLERR);
            else if (!p->revents) p->revents = POLLHUP;
            """
        ),
        {
            **pollers(poll_unwritten_fifo="HUP", poll_unread_pipe="IN", poll_readerless_pipe="OUT"),
            "files.poll_pipe_writer_closed": "nothing",
        },
    ),
    "poll reports the ends of connections otherwise": (
        write_poll(
            r"""
            char byte;
            if (!is(fd, S_IFSOCK)) continue;
            int ended = p->revents == (POLLIN | POLLOUT) && p->events == p->revents;
            ended = ended && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
            p->revents &= ~(POLLHUP | POLLERR | POLLRDHUP);
            if (ended) p->revents |= POLLHUP;
            """
        ),
        pollers(
            poll_unconnected_tcp="OUT",
            poll_refused_tcp="IN|OUT",
            poll_half_closed_tcp="IN|OUT|HUP",
            poll_reset_tcp="IN|OUT",
            poll_shut_down_tcp="IN|OUT",
            poll_closed_unix="IN|OUT",
            poll_half_closed_unix="IN|OUT|HUP",
            rdhup="no",
        ),
    ),
    "select finds no file and no device writable": (
        write_select(
            "",
            "for (int fd = 0; w && fd < n; fd++)"
            " if (is(fd, S_IFREG) || is(fd, S_IFCHR)) FD_CLR(fd, w);",
        ),
        pollers(select_regular_file="IN", select_terminal="nothing", select_dev_null="IN"),
    ),
    "select takes a closed descriptor for idle": (
        write_select(
            "for (int fd = 0; r && w && fd < n; fd++)"
            " if (!is_open(fd)) FD_CLR(fd, r), FD_CLR(fd, w);"
        ),
        pollers(select_closed_descriptor="nothing"),
    ),
    "select says the contrary of what can be read": (
        write_select(
            "fd_set asked; if (r) asked = *r;",
            r"""
            for (int fd = 0; r && w && t && fd < n; fd++) {
                if (!FD_ISSET(fd, &asked) || !(is(fd, S_IFIFO) || is_tcp(fd))) continue;
                if (FD_ISSET(fd, r)) FD_CLR(fd, r); else FD_SET(fd, r);
            }
            """,
        ),
        pollers(
            select_unwritten_fifo="IN",
            select_ended_pipe="nothing",
            select_refused_tcp="OUT",
            select_drained_tcp="IN|OUT",
            select_listener_of_reset="nothing",
        ),
    ),
    "select counts descriptors, and refuses what POSIX lets it refuse": (
        write_select(
            r"""
            struct rlimit files = {1};
            if (t && t->tv_usec >= 1000000) FAIL(EINVAL);
            if (n > FD_SETSIZE) FAIL(EINVAL);
            if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur == 0) FAIL(EINVAL);
            """,
            "if (r && w && ready == 2) ready = 1;",
        ),
        pollers(
            select_counts="1",
            select_million_microseconds="EINVAL",
            select_over_fd_setsize="EINVAL",
            nofile_zero_select="EINVAL",
        ),
    ),
    "poll refuses a negative timeout, and no number of descriptors": (
        write_poll(
            "",
            r"""
            struct rlimit files = {1};
            if (timeout < -1) FAIL(EINVAL);
            if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur == 0) return 1;
            """,
        ),
        pollers(poll_minus_2="EINVAL", nofile_zero_poll="ok"),
    ),
    "no limit of no files at all": (
        r"""
        int setrlimit64(__rlimit_resource_t which, const struct rlimit64 *limit)
        {
            if (which == RLIMIT_NOFILE && limit->rlim_cur == 0) FAIL(EINVAL);
            return REAL(setrlimit64)(which, limit);
        }
        int setrlimit(__rlimit_resource_t which, const struct rlimit *limit)
        {
            return setrlimit64(which, (const struct rlimit64 *)limit);
        }
        """,
        pollers(
            nofile_zero="EINVAL", nofile_zero_poll="unsupported", nofile_zero_select="unsupported"
        ),
    ),
    "waits end a millisecond too early": (
        write_poll("", "if (!n && timeout > 0) timeout--;")
        + write_select("if (t && !n && t->tv_usec >= 1000) t->tv_usec -= 1000;")
        + "int epoll_wait(int epoll, struct epoll_event *found, int n, int timeout)"
        " { return REAL(epoll_wait)(epoll, found, n, timeout > 0 ? timeout - 1 : timeout); }",
        pollers(poll_early="yes", select_early="yes", poller_early="yes"),
    ),
    "epoll takes every descriptor, as often as it is given": (
        write_epoll_ctl(
            r"""
            int done = REAL(epoll_ctl)(epoll, operation, fd, event);
            if (!done || operation != EPOLL_CTL_ADD) return done;
            if (errno == EEXIST) return REAL(epoll_ctl)(epoll, EPOLL_CTL_MOD, fd, event);
            return 0;
            """
        ),
        pollers(
            poller_regular_file="nothing",
            poller_dev_null="nothing",
            poller_closed_descriptor="nothing",
            add_twice="ok",
            add_after_one_shot="ok",
        ),
    ),
    "epoll reports ends otherwise": (
        "static int last = -1;"
        + write_epoll_ctl("if (operation == EPOLL_CTL_ADD) last = fd;")
        + write_epoll_wait(
            r"""
            struct stat s;
            char byte;
            for (i = 0; i < ready; i++) {
                int fd = found[i].data.fd;
                if (found[i].events == EPOLLIN && is_tcp(fd)
                    && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
                    found[i].events |= EPOLLHUP;
                else if (fd == last && found[i].events & EPOLLHUP)
                    found[i].events = EPOLLIN;
            }
            /* A terminal, or a FIFO, whose name is gone: pipes have a link. */
            if (!ready && !timeout && !fstat(last, &s)
                && (S_ISCHR(s.st_mode) || (S_ISFIFO(s.st_mode) && !s.st_nlink))) {
                found[0].events = EPOLLHUP;
                ready = 1;
            }
            """
        ),
        pollers(
            poller_terminal="HUP",
            poller_unwritten_fifo="HUP",
            poller_ended_pipe="IN",
            poller_unread_pipe="IN",
            poller_half_closed_tcp="IN|HUP",
            poller_reset_tcp="IN",
        ),
    ),
    "epoll has no edges, and every epoll is woken": (
        write_epoll_ctl("if (event) event->events &= ~(EPOLLET | EPOLLEXCLUSIVE);"),
        pollers(edge_repeats="yes", woken_by_exclusive="2"),
    ),
    "epoll has only edges, and one epoll is woken": (
        COUNT_SESSIONS
        + write_epoll_ctl(
            "if (event && sessions > 1 && event->events == EPOLLIN)"
            " event->events |= EPOLLET | EPOLLEXCLUSIVE;"
        ),
        pollers(level_repeats="no", woken_by_poller="1"),
    ),
    "an edge that was there is not reported": (
        write_epoll_ctl(
            r"""
            int done = REAL(epoll_ctl)(epoll, operation, fd, event);
            struct epoll_event reported;
            if (event && event->events & EPOLLET) REAL(epoll_wait)(epoll, &reported, 1, 0);
            return done;
            """
        ),
        pollers(
            edge_reports_earlier="no", edge_repeats="unsupported", edge_reports_more="unsupported"
        ),
    ),
    "an edge is reported once for all": (
        write_epoll_ctl("if (event && event->events & EPOLLET) event->events |= EPOLLONESHOT;"),
        pollers(edge_reports_more="no"),
    ),
    "epoll reports no room in pipes": (
        write_epoll_ctl("if (event && is(fd, S_IFIFO)) event->events &= ~EPOLLOUT;"),
        pollers(drained_pipe_writable="no"),
    ),
    "close ends what is registered": (
        "static int last = -1;" + write_epoll_ctl("last = epoll;") + "int close(int fd)"
        " { if (last >= 0 && last != fd) REAL(epoll_ctl)(last, EPOLL_CTL_DEL, fd, NULL);"
        " return REAL(close)(fd); }",
        pollers(dup_keeps_registration="no"),
    ),
    "a child's changes are its own": (
        "static pid_t adder;"
        + write_epoll_ctl(
            "if (operation == EPOLL_CTL_ADD) adder = getpid();"
            " if (operation == EPOLL_CTL_DEL && adder != getpid()) return 0;"
        ),
        pollers(child_removes_for_parent="no"),
    ),
    "a child has no epoll of its parent's": (
        "static pid_t maker;"
        "int epoll_create1(int flags) { maker = getpid(); return REAL(epoll_create1)(flags); }"
        + write_epoll_ctl("if (maker != getpid()) FAIL(EBADF);")
        + write_epoll_wait("if (maker != getpid()) FAIL(EBADF);"),
        pollers(in_child="EBADF", child_removes_for_parent="unsupported"),
    ),
    "no epoll in the kernel": (
        "int epoll_create1(int flags) { FAIL(ENOSYS); }",
        {
            **pollers(interface="none", **dict.fromkeys(OF_POLLERS, "unsupported")),
            **dict.fromkeys(
                ("restarts.poller", "restarts.poller_flags_0", "restarts.poller_stopped"),
                "unsupported",
            ),
        },
    ),
    "no timers in descriptors": (
        "int timerfd_create(int clock, int flags) { FAIL(ENOSYS); }",
        pollers(timer_event="unsupported"),
    ),
    "a non-blocking read confuses the end with nothing yet": (
        r"""
        ssize_t read(int fd, void *room, size_t n)
        {
            ssize_t got = REAL(read)(fd, room, n);
            if (n != 8 || !(fcntl(fd, F_GETFL) & O_NONBLOCK) || is(fd, S_IFCHR)) return got;
            if (got < 0 && errno == EAGAIN) return 0;
            if (got == 0) FAIL(EAGAIN);
            return got;
        }
        """,
        pollers(
            read_empty_pipe="0 bytes",
            read_ended_pipe="EAGAIN",
            read_unwritten_fifo="EAGAIN",
            read_drained_tcp="0 bytes",
        ),
    ),
    "a pipe takes less than select promised": (
        "static int promised;"
        + write_select("", "promised = ready > 0 && w && !r;")
        + r"""
        ssize_t write(int fd, const void *data, size_t n)
        {
            if (!promised || !is(fd, S_IFIFO)) return REAL(write)(fd, data, n);
            promised = 0;
            if (n == 1) FAIL(EAGAIN);
            return REAL(write)(fd, data, n / 2);
        }
        """,
        pollers(writable_pipe_byte="EAGAIN", writable_pipe_pipe_buf="partial"),
    ),
    "of those that poll one pipe the first is woken": (
        r"""
        #include <sys/mman.h>
        static ino_t *polled;
        __attribute__((constructor)) static void share(void)
        {
            polled = mmap(0, 4096 * sizeof *polled, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        }
        """
        + write_poll(
            "",
            r"""
            struct stat s;
            if (n == 1 && timeout == -1 && !fstat(fds->fd, &s) && S_ISFIFO(s.st_mode)) {
                if (__sync_lock_test_and_set(&polled[s.st_ino % 4096], s.st_ino) == s.st_ino)
                    pause();
            }
            """,
        ),
        pollers(woken_by_poll="1"),
    ),
    "close in another thread ends a wait": (
        r"""
        int close(int fd)
        {
            struct stat s, other;
            if (gettid() == getpid() || fstat(fd, &s) || !S_ISFIFO(s.st_mode))
                return REAL(close)(fd);
            for (int end = 3; end < 64; end++)
                if (!fstat(end, &other) && other.st_ino == s.st_ino
                    && (fcntl(end, F_GETFL) & O_ACCMODE) == O_WRONLY)
                    return write(end, "x", 1) - 1;
            abort();
        }
        """,
        pollers(closed_during_select="IN", closed_during_poll="IN", closed_during_poller="IN"),
    ),
}

SHIMS = {world: (HEADERS + source, expected) for world, (source, expected) in WORLDS.items()}


@pytest.mark.parametrize("size", [256, 65536])
def test_the_size_of_fd_set_is_where_python_refuses(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(asked: list[int], *_: object) -> None:
        if asked[0] >= size:
            raise ValueError("filedescriptor out of range in select()")
        raise OSError(errno.EBADF, "")

    monkeypatch.setattr(select, "select", refuse)
    assert load_catalogue()["pollers.fd_setsize"]() == size


def test_every_kind_of_timer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_has_kqueue_timer", lambda: True)  # As on FreeBSD 14.
    assert load_catalogue()["pollers.timer_event"]() == "timerfd, EVFILT_TIMER"


def test_a_refused_limit_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")  # Python's text for EPERM.

    monkeypatch.setattr(resource, "setrlimit", refuse)
    for name in ("nofile_zero", "nofile_zero_poll", "nofile_zero_select"):
        with pytest.raises(Blocked, match="setrlimit\\(\\) is refused here"):
            load_catalogue()[f"pollers.{name}"]()


@needs_root
def test_without_loopback_what_asks_of_tcp_is_blocked(here: Report) -> None:
    down = measure("--only=pollers", before=network(up=False))
    changed = {id: down[id] for id in flipped(here, down)}
    assert {fact.status for fact in changed.values()} == {BLOCKED}
    assert all("bring lo up" in fact.reason for fact in changed.values())
    tcp = {id for id in down.facts if "_tcp" in id or id.endswith(("of_reset", "rdhup"))}
    assert set(changed) == tcp - {"pollers.poll_unconnected_tcp"}


class _Kevent(NamedTuple):
    ident: int
    filter: int
    flags: int = 0
    fflags: int = 0
    data: int = 0


class _Kqueue:
    """A kqueue as kqueue(2) FreeBSD describes it, for pipes: made of poll()."""

    def __init__(self) -> None:
        self.asked: dict[int, _Kevent] = {}
        self.maker = os.getpid()
        self.number = 0

    def fileno(self) -> int:
        return 99

    @classmethod
    def fromfd(cls, number: int) -> _Kqueue:
        made = cls()
        made.number = number
        return made

    def control(self, changes: Optional[list[_Kevent]], most: int, seconds: object = 0) -> Any:
        if self.maker != os.getpid():  # As Python does since 3.12.
            raise ValueError("I/O operation on closed kqueue object")
        if self.number:  # No kqueue is inherited.
            raise OSError(errno.EBADF, "")
        for change in changes or ():
            if change.filter == TIMER:
                return [change]
            os.fstat(change.ident)
            self.asked[change.ident] = change
            if change.flags & DELETE:
                del self.asked[change.ident]
        found = [self.report(event) for event in self.asked.values() if most]
        ready = [event for event in found if event]
        for event in ready:
            if event.flags & (ONESHOT | CLEAR):
                del self.asked[event.ident]
        return ready

    def report(self, event: _Kevent) -> Optional[_Kevent]:
        if not Path(f"/dev/fd/{event.ident}").exists():
            return None
        poll = select.poll()
        poll.register(event.ident, select.POLLIN if event.filter == READ else select.POLLOUT)
        reported = poll.poll(0)
        if not reported:
            return None
        ended = EOF if reported[0][1] & select.POLLHUP else 0
        return event._replace(flags=event.flags | ended)

    def close(self) -> None:
        self.asked.clear()


READ, WRITE, TIMER = -1, -2, -7
ADD, DELETE, ONESHOT, CLEAR, EOF = 1, 2, 16, 32, 0x8000


def test_a_kqueue_is_asked_as_its_page_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {
        "kqueue": _Kqueue, "kevent": _Kevent, "KQ_FILTER_READ": READ, "KQ_FILTER_WRITE": WRITE,
        "KQ_FILTER_TIMER": TIMER, "KQ_EV_ADD": ADD, "KQ_EV_DELETE": DELETE,
        "KQ_EV_ONESHOT": ONESHOT, "KQ_EV_CLEAR": CLEAR, "KQ_EV_EOF": EOF,
    }.items():  # fmt: skip
        monkeypatch.setattr(select, name, value, raising=False)
    monkeypatch.delattr(select, "epoll")
    monkeypatch.setattr(libc, "has", lambda name: name != "timerfd_create")
    monkeypatch.chdir(tmp_path)
    asked = load_catalogue()
    answers = {name: asked[f"pollers.{name}"]() for name in KQUEUE}
    assert answers == KQUEUE
    for name in ("woken_by_exclusive", "child_removes_for_parent"):
        with pytest.raises(Unsupported):
            asked[f"pollers.{name}"]()


KQUEUE = {
    "interface": "kqueue",
    "timer_event": "EVFILT_TIMER",
    "in_child": "EBADF",
    "add_twice": "ok",
    "add_after_one_shot": "ok",
    "level_repeats": True,
    "edge_repeats": False,
    "edge_reports_earlier": True,
    "poller_closed_descriptor": "EBADF",
    "poller_unread_pipe": "IN|HUP",
    "drained_pipe_writable": True,
    "dup_keeps_registration": False,
    "poller_regular_file": "IN",
}
