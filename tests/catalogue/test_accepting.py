"""The accepting family can be wrong: change the world, see the answers flip."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.catalogue.test_sockets import SYSCALLS, set_option
from tests.worlds import ROOT, needs_linux, shim


def write_accept(then: str) -> str:
    """Return an accept() and an accept4() that do ``then`` with ``made`` before they return it."""
    return (
        SYSCALLS
        + """
static int changed(int fd, int made) {
    (void)fd;
    if (made >= 0) {
"""
        + then
        + """
    }
    return made;
}
int accept(int fd, struct sockaddr *address, socklen_t *length) {
    REAL(accept);
    return changed(fd, real(fd, address, length));
}
int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    REAL(accept4);
    return changed(fd, real(fd, address, length, flags));
}
"""
    )


SHIMS = {
    "accepted sockets inherit O_NONBLOCK": (
        write_accept("fcntl(made, F_SETFL, fcntl(fd, F_GETFL));"),
        {
            "accepting.inherits_nonblock": ("no", "yes"),
            "accepting.accept4_inherits_nonblock": ("no", "yes"),
            "accepting.python_inherits_nonblock": ("never", "if the listener has"),
        },
    ),
    "accepted sockets inherit FD_CLOEXEC": (
        write_accept("fcntl(made, F_SETFD, fcntl(fd, F_GETFD));"),
        {
            "accepting.inherits_cloexec": ("no", "yes"),
            "accepting.accept4_inherits_cloexec": ("no", "yes"),
            "accepting.python_inherits_cloexec": ("always", "if the listener has"),
        },
    ),
    "accepted sockets inherit no option, as in gVisor": (
        write_accept(
            """int off[4] = {0};
               setsockopt(made, IPPROTO_TCP, TCP_NODELAY, off, sizeof(int));
               setsockopt(made, SOL_SOCKET, SO_KEEPALIVE, off, sizeof(int));
               setsockopt(made, SOL_SOCKET, SO_LINGER, off, 2 * sizeof(int));
               setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, off, sizeof off);"""
        ),
        {
            "accepting.inherits_nodelay": ("yes", "no"),
            "accepting.inherits_keepalive": ("yes", "no"),
            "accepting.inherits_linger": ("yes", "no"),
            "accepting.inherits_rcvtimeo": ("yes", "no"),
        },
    ),
    "a fresh socket has TCP_NODELAY and SO_KEEPALIVE": (
        SYSCALLS
        + """
int socket(int family, int type, int protocol) {
    REAL(socket);
    int made = real(family, type, protocol), on = 1;
    if (made >= 0 && family == AF_INET) {
        setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(made, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    return made;
}
""",
        {
            "accepting.nodelay_default": ("no", "yes"),
            "accepting.keepalive_default": ("no", "yes"),
            "accepting.inherits_nodelay": ("yes", "unsupported"),
            "accepting.inherits_keepalive": ("yes", "unsupported"),
        },
    ),
    "accept needs room for an address": (
        SYSCALLS
        + """
int accept(int fd, struct sockaddr *address, socklen_t *length) {
    REAL(accept);
    if (!address) FAIL(EFAULT);
    return real(fd, address, length);
}
""",
        {
            "accepting.accept_null_address": ("ok", "EFAULT"),
            **{
                f"restarts.accept{suffix}": (old, "unsupported")
                for suffix, old in (
                    ("", "restarts"),
                    ("_flags_0", "EINTR"),
                    ("_rcvtimeo", "EINTR"),
                    ("_rcvtimeo_flags_0", "EINTR"),
                )
            },
        },
    ),
    "accept tells of a client that reset": (
        write_accept("if (tcp_state(made) == TCP_CLOSE) FAIL(ECONNABORTED);"),
        {
            "accepting.accept_after_reset": ("accepted", "ECONNABORTED"),
            "accepting.read_after_accepted_reset": ("ECONNRESET", "unsupported"),
        },
    ),
    "accept passes over a client that reset": (
        write_accept("if (tcp_state(made) == TCP_CLOSE) return accept(fd, 0, 0);"),
        {
            "accepting.accept_after_reset": ("accepted", "dropped"),
            "accepting.read_after_accepted_reset": ("ECONNRESET", "unsupported"),
        },
    ),
    "a reset reads as the end": (
        SYSCALLS
        + """
ssize_t recv(int fd, void *data, size_t size, int flags) {
    REAL(recv);
    ssize_t got = real(fd, data, size, flags);
    return got < 0 && errno == ECONNRESET ? 0 : got;
}
""",
        {
            "accepting.read_after_reset": ("ECONNRESET", "EOF"),
            "accepting.read_after_accepted_reset": ("ECONNRESET", "EOF"),
            "unix.read_after_listener_closed": ("ECONNRESET", "EOF"),
            "unix.read_end_of_peer_with_unread": ("ECONNRESET", "EOF"),
        },
    ),
    "only what is accepted after its reset reads as the end": (
        write_accept(
            """if (tcp_state(made) == TCP_CLOSE) {
                   char byte;
                   recv(made, &byte, 1, 0);
               }"""
        ),
        {"accepting.read_after_accepted_reset": ("ECONNRESET", "EOF")},
    ),
    "a write to a peer that closed fails at once": (
        SYSCALLS
        + """
#include <unistd.h>
ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    if (tcp_state(fd) == TCP_CLOSE_WAIT) FAIL(EPIPE);
    return real(fd, data, size);
}
""",
        {"accepting.write_after_peer_closed_first": ("ok", "EPIPE")},
    ),
    "EPIPE and ECONNRESET change places": (
        SYSCALLS
        + """
#include <unistd.h>
ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    ssize_t put = real(fd, data, size);
    int number = errno;
    if (put < 0 && tcp_state(fd) >= 0)
        number = number == EPIPE ? ECONNRESET : number == ECONNRESET ? EPIPE : number;
    errno = number;
    return put;
}
""",
        {
            "accepting.write_after_peer_closed_second": ("EPIPE", "ECONNRESET"),
            "accepting.write_after_reset_first": ("ECONNRESET", "EPIPE"),
        },
    ),
    "poll tells POLLHUP of a peer that closed, as on macOS": (
        SYSCALLS
        + """
#include <poll.h>
int poll(struct pollfd *watched, nfds_t count, int milliseconds) {
    REAL(poll);
    int ready = real(watched, count, milliseconds);
    for (nfds_t at = 0; at < count; at++)
        if (watched[at].revents && tcp_state(watched[at].fd) == TCP_CLOSE_WAIT)
            watched[at].revents |= POLLHUP;
    return ready;
}
""",
        {
            "accepting.peer_close_seen_by_poll": ("IN", "IN|HUP"),
            "pollers.poll_half_closed_tcp": ("IN|OUT", "IN|OUT|HUP"),
        },
    ),
    "MSG_NOSIGNAL is ignored": (
        SYSCALLS
        + """
ssize_t send(int fd, const void *data, size_t size, int flags) {
    REAL(send);
    return real(fd, data, size, flags & ~MSG_NOSIGNAL);
}
""",
        {"accepting.msg_nosignal": ("yes", "no")},
    ),
    "no send raises SIGPIPE": (
        SYSCALLS
        + """
ssize_t send(int fd, const void *data, size_t size, int flags) {
    REAL(send);
    return real(fd, data, size, flags | MSG_NOSIGNAL);
}
""",
        {"accepting.sigpipe_from_socket": ("yes", "no")},
    ),
}


@needs_linux
@pytest.mark.parametrize("works", [True, False])
def test_so_nosigpipe_is_asked_for_by_its_number(works: bool, tmp_path: Path) -> None:
    """Linux has no such option: the shim accepts it, and obeys it or not."""
    freebsd = set_option(
        "if (level == SOL_SOCKET && option == 0x0800) { quiet = fd; return 0; }"
    ).replace("int setsockopt", "static int quiet = -1;\nint setsockopt") + (
        """
ssize_t send(int fd, const void *data, size_t size, int flags) {
    REAL(send);
    return real(fd, data, size, flags | (fd == quiet && WORKS ? MSG_NOSIGNAL : 0));
}
""".replace("WORKS", str(int(works)))
    )
    ask = """
from probes import libc
libc.FREEBSD = True
from probes.catalogue import accepting
print(accepting.so_nosigpipe())
"""
    asked = subprocess.run(
        [sys.executable, "-c", ask],
        cwd=ROOT, env=shim(tmp_path, freebsd), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert asked.stdout.strip() == str(works)
