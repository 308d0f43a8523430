"""Change the world, and see the answers of the family unix flip."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from probes import Report
from tests.worlds import ROOT, as_user, flipped, measure, needs_linux, needs_root, shim

CALLS = """
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <linux/sockios.h>
#include <unistd.h>
#define REAL(name) static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name)
#define FAIL(number) do { errno = (number); return -1; } while (0)

static inline int option(int fd, int option) {
    int value = 0;
    socklen_t length = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &length) ? -1 : value;
}
static inline int is_unix(int fd, int kind) {
    return option(fd, SO_DOMAIN) == AF_UNIX && (!kind || option(fd, SO_TYPE) == kind);
}
static inline int is_file(const char *path, int type) {
    struct stat found;
    return !lstat(path, &found) && (found.st_mode & S_IFMT) == type;
}
"""


def connect(instead: str) -> str:
    """Return a C connect() that does ``instead`` for a Unix socket, whose address is ``un``."""
    return (
        CALLS
        + """
int connect(int fd, const struct sockaddr *address, socklen_t length) {
    REAL(connect);
    const struct sockaddr_un *un = (const void *)address;
    if (address->sa_family != AF_UNIX || !un->sun_path[0]) return real(fd, address, length);
    char path[109] = {0};
    memcpy(path, un->sun_path, length - 2);
    RULE
    return real(fd, address, length);
}
""".replace("RULE", instead)
    )


def bind(before: str = "", after: str = "") -> str:
    """Return a C bind() that does something before and after it, for a Unix socket's ``path``."""
    return (
        CALLS
        + """
int bind(int fd, const struct sockaddr *address, socklen_t length) {
    REAL(bind);
    struct sockaddr_un un = {0};
    if (address->sa_family != AF_UNIX || length > sizeof un) return real(fd, address, length);
    memcpy(&un, address, length);
    if (!un.sun_path[0]) return real(fd, address, length);
    char path[109] = {0};
    memcpy(path, un.sun_path, length - 2);
    BEFORE
    int done = real(fd, (void *)&un, length);
    AFTER
    return done;
}
""".replace("BEFORE", before).replace("AFTER", after)
    )


def send(kind: str, rule: str) -> str:
    """Return a C send() that applies ``rule`` to its result on Unix sockets of a kind."""
    return (
        CALLS
        + """
ssize_t send(int fd, const void *data, size_t size, int flags) {
    REAL(send);
    if (!is_unix(fd, KIND)) return real(fd, data, size, flags);
    RULE
}
""".replace("KIND", kind).replace("RULE", rule)
    )


def receive(rule: str) -> str:
    """Return a C recv() that applies ``rule`` on Unix stream sockets."""
    return (
        CALLS
        + """
ssize_t recv(int fd, void *data, size_t size, int flags) {
    REAL(recv);
    if (!is_unix(fd, SOCK_STREAM)) return real(fd, data, size, flags);
    RULE
}
""".replace("RULE", rule)
    )


def sendmsg(rule: str) -> str:
    """Return a C sendmsg() that applies ``rule`` first if it passes ``count`` descriptors."""
    return (
        CALLS
        + """
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REAL(sendmsg);
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    if (!header || header->cmsg_type != SCM_RIGHTS) return real(fd, message, flags);
    int count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    int *passed = (void *)CMSG_DATA(header);
    struct msghdr other = *message;
    (void)count; (void)passed; (void)other;
    RULE
    return real(fd, message, flags);
}
""".replace("RULE", rule)
    )


def recvmsg(before: str = "", after: str = "") -> str:
    """Return a C recvmsg() that does something before, and after with ``got`` descriptors."""
    return (
        CALLS
        + """
ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    REAL(recvmsg);
    size_t room = message->msg_controllen;
    (void)room;
    BEFORE
    ssize_t done = real(fd, message, flags);
    struct cmsghdr *header = done < 0 ? 0 : CMSG_FIRSTHDR(message);
    int got = header ? (header->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
    int *received = header ? (void *)CMSG_DATA(header) : 0;
    (void)got; (void)received;
    AFTER
    return done;
}
""".replace("BEFORE", before).replace("AFTER", after)
    )


BIG_CONTROL = """
static ssize_t take_all(int fd, struct msghdr *message, int flags) {
    static ssize_t (*real)(int, struct msghdr *, int);
    if (!real) real = dlsym(RTLD_NEXT, "recvmsg");
    char control[512] __attribute__((aligned(8)));
    void *theirs = message->msg_control;
    size_t room = message->msg_controllen;
    message->msg_control = control;
    message->msg_controllen = sizeof control;
    ssize_t done = real(fd, message, flags);
    size_t length = message->msg_controllen;
    message->msg_control = theirs;
    message->msg_controllen = length < room ? length : room;
    if (done >= 0 && message->msg_controllen >= CMSG_LEN(0)) {
        struct cmsghdr *header = (void *)control;
        if (header->cmsg_len > room) header->cmsg_len = room;
        memcpy(theirs, control, message->msg_controllen);
    }
    return done;
}
ssize_t recvmsg(int fd, struct msghdr *message, int flags) { return take_all(fd, message, flags); }
ssize_t recv(int fd, void *data, size_t size, int flags) {
    REAL(recv);
    if (!is_unix(fd, 0)) return real(fd, data, size, flags);
    struct iovec part = {data, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    return take_all(fd, &message, flags);
}
"""

SHIMS = {
    "a full backlog refuses, as on the BSDs": (
        connect(
            """int flags = fcntl(fd, F_GETFL);
               fcntl(fd, F_SETFL, flags | O_NONBLOCK);
               int done = real(fd, address, length), number = errno;
               fcntl(fd, F_SETFL, flags);
               errno = number == EAGAIN ? ECONNREFUSED : number;
               return done;"""
        ),
        {
            "unix.backlog_full_nonblock": ("EAGAIN", "ECONNREFUSED"),
            "unix.backlog_full_blocking": ("waits", "ECONNREFUSED"),
        },
    ),
    "half as many again fit a backlog": (
        CALLS
        + """
int listen(int fd, int backlog) {
    REAL(listen);
    return real(fd, is_unix(fd, 0) ? backlog * 3 / 2 : backlog);
}
""",
        {"unix.backlog_completes": ("3", "4")},
    ),
    "Unix sockets do not show as such": (
        CALLS
        + """
int stat(const char *path, struct stat *found) {
    REAL(stat);
    int done = real(path, found);
    if (!done && S_ISSOCK(found->st_mode)) found->st_mode ^= S_IFSOCK ^ S_IFIFO;
    return done;
}
int stat64(const char *path, struct stat64 *found) {
    REAL(stat64);
    int done = real(path, found);
    if (!done && S_ISSOCK(found->st_mode)) found->st_mode ^= S_IFSOCK ^ S_IFIFO;
    return done;
}
""",
        {"unix.bound_socket_is_file": ("yes", "no")},
    ),
    "the file goes with its socket": (
        CALLS
        + """
int close(int fd) {
    REAL(close);
    struct sockaddr_un un = {0}, peer;
    socklen_t length = sizeof un - 1, more = sizeof peer;
    if (is_unix(fd, 0) && !getsockname(fd, (void *)&un, &length)
            && !strcmp(un.sun_path, "socket") && getpeername(fd, (void *)&peer, &more))
        unlink(un.sun_path);
    return real(fd);
}
""",
        {
            "unix.file_stays_after_close": ("yes", "no"),
            "unix.bind_stale_file": ("EADDRINUSE", "unsupported"),
            "unix.bind_stale_file_reuseaddr": ("EADDRINUSE", "unsupported"),
            "unix.connect_stale_file": ("ECONNREFUSED", "unsupported"),
        },
    ),
    "bind() replaces a socket's file": (
        bind("if (is_file(path, S_IFSOCK)) unlink(path);"),
        {
            "unix.bind_stale_file": ("EADDRINUSE", "ok"),
            "unix.bind_stale_file_reuseaddr": ("EADDRINUSE", "ok"),
        },
    ),
    "SO_REUSEADDR is for Unix sockets too": (
        bind("if (option(fd, SO_REUSEADDR) > 0) unlink(path);"),
        {"unix.bind_stale_file_reuseaddr": ("EADDRINUSE", "ok")},
    ),
    "connect() has other errors": (
        connect(
            """int done = real(fd, address, length), number = errno;
               if (done && number == ECONNREFUSED)
                   number = is_file(path, S_IFREG) ? ENOTSOCK : ENOENT;
               errno = number == EPROTOTYPE ? ECONNREFUSED : number;
               return done;"""
        ),
        {
            "unix.connect_plain_file": ("ECONNREFUSED", "ENOTSOCK"),
            "unix.connect_stale_file": ("ECONNREFUSED", "ENOENT"),
            "unix.connect_other_type": ("EPROTOTYPE", "ECONNREFUSED"),
        },
    ),
    "bind() follows symbolic links": (
        bind(
            """if (is_file(path, S_IFLNK)) {
                   ssize_t size = readlink(path, un.sun_path, sizeof un.sun_path - 1);
                   un.sun_path[size] = 0;
                   length = 2 + size + 1;
               }"""
        ),
        {"unix.bind_dangling_symlink": ("EADDRINUSE", "ok")},
    ),
    "a moved socket is a dead one": (
        CALLS
        + """
#include <stdio.h>
int rename(const char *old, const char *new) {
    REAL(rename);
    if (!is_file(old, S_IFSOCK)) return real(old, new);
    return unlink(old) || mknod(new, S_IFSOCK | 0700, 0);
}
""",
        {"unix.renamed_file_connects": ("yes", "no")},
    ),
    "a socket's file is open to all": (
        bind(after="if (!done) chmod(path, 0777);"),
        {
            "unix.file_mode_under_umask": ("750", "777"),
            "unix.fchmod_before_bind": ("sets it", "nothing"),
        },
    ),
    "a socket has no mode of its own": (
        CALLS
        + """
int fchmod(int fd, mode_t mode) {
    REAL(fchmod);
    if (is_unix(fd, 0)) FAIL(EINVAL);
    return real(fd, mode);
}
""",
        {
            "unix.fchmod_before_bind": ("sets it", "EINVAL"),
            "unix.fchmod_after_bind": ("nothing", "EINVAL"),
        },
    ),
    "a socket's mode is that of its file": (
        CALLS
        + """
int fchmod(int fd, mode_t mode) {
    REAL(fchmod);
    struct sockaddr_un un = {0};
    socklen_t length = sizeof un - 1;
    if (is_unix(fd, 0) && !getsockname(fd, (void *)&un, &length) && un.sun_path[0])
        return chmod(un.sun_path, mode);
    return real(fd, mode);
}
""",
        {"unix.fchmod_after_bind": ("nothing", "sets it")},
    ),
    "connect() reads the file": (
        connect("if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS)) FAIL(EACCES);"),
        {"unix.connect_needs_permission": ("write", "read and write")},
    ),
    "folders keep nobody out": (
        CALLS
        + """
int chmod(const char *path, mode_t mode) {
    REAL(chmod);
    return real(path, is_file(path, S_IFDIR) && mode == 0700 ? 0711 : mode);
}
""",
        {"unix.folder_mode_enforced": ("EACCES", "ok")},
    ),
    "datagrams are as on the BSDs": (
        send(
            "SOCK_DGRAM",
            """if (size > 2048) FAIL(EMSGSIZE);
               ssize_t done = real(fd, data, size, flags | MSG_DONTWAIT);
               if (done < 0)
                   errno = errno == EAGAIN ? ENOBUFS : errno == ECONNREFUSED ? ECONNRESET
                       : errno == ENOTCONN ? EDESTADDRREQ : errno;
               return done;""",
        ),
        {
            "unix.datagrams_full_nonblock": ("EAGAIN", "ENOBUFS"),
            "unix.datagrams_full_blocking": ("waits", "ENOBUFS"),
            "unix.datagram_of_64_kib": ("ok", "EMSGSIZE"),
            "unix.datagram_after_receiver_closed": ("ECONNREFUSED", "ECONNRESET"),
            "unix.datagram_after_receiver_restarted": ("ENOTCONN", "EDESTADDRREQ"),
        },
    ),
    "datagrams are dropped, not queued": (
        send("SOCK_DGRAM", "real(fd, data, size, flags | MSG_DONTWAIT); return size;"),
        {
            "unix.datagrams_full_nonblock": ("EAGAIN", "unsupported"),
            "unix.datagrams_full_blocking": ("waits", "unsupported"),
            "unix.datagram_after_receiver_closed": ("ECONNREFUSED", "ok"),
            "unix.datagram_after_receiver_restarted": ("ENOTCONN", "ok"),
        },
    ),
    "there is no SOCK_SEQPACKET, as on macOS": (
        CALLS
        + """
int socketpair(int family, int kind, int protocol, int pair[2]) {
    REAL(socketpair);
    if ((kind & 0xf) == SOCK_SEQPACKET) FAIL(EPROTONOSUPPORT);
    return real(family, kind, protocol, pair);
}
""",
        {
            "unix.seqpacket_exists": ("yes", "no"),
            "unix.seqpacket_keeps_messages_apart": ("yes", "unsupported"),
            "unix.seqpacket_cut_message": ("lost", "unsupported"),
        },
    ),
    "SOCK_SEQPACKET is a stream by another name": (
        CALLS
        + """
int socketpair(int family, int kind, int protocol, int pair[2]) {
    REAL(socketpair);
    if ((kind & 0xf) == SOCK_SEQPACKET) kind ^= SOCK_SEQPACKET ^ SOCK_STREAM;
    return real(family, kind, protocol, pair);
}
""",
        {
            "unix.seqpacket_keeps_messages_apart": ("yes", "no"),
            "unix.seqpacket_cut_message": ("lost", "next to be read"),
        },
    ),
    "an end is the end of both directions": (
        CALLS
        + """
int shutdown(int fd, int how) {
    REAL(shutdown);
    if (!is_unix(fd, 0)) return real(fd, how);
    return how == SHUT_RD ? 0 : real(fd, SHUT_RDWR);
}
""",
        {
            "unix.half_close": ("yes", "no"),
            "unix.write_after_peer_shut_rd": ("EPIPE", "ok"),
        },
    ),
    "Unix connections are never reset": (
        receive(
            """ssize_t done = real(fd, data, size, flags);
               return done < 0 && errno == ECONNRESET ? 0 : done;"""
        ),
        {
            "unix.read_end_of_peer_with_unread": ("ECONNRESET", "EOF"),
            "unix.read_after_listener_closed": ("ECONNRESET", "EOF"),
        },
    ),
    "a reset overtakes data": (
        receive(
            """int number = option(fd, SO_ERROR);
               if (number > 0) FAIL(number);
               return real(fd, data, size, flags);"""
        ),
        {"unix.read_data_of_peer_with_unread": ("data", "ECONNRESET")},
    ),
    "a broken connection was reset": (
        send(
            "SOCK_STREAM",
            """ssize_t done = real(fd, data, size, flags);
               if (done < 0 && errno == EPIPE) errno = ECONNRESET;
               return done;""",
        ),
        {
            "unix.write_after_peer_closed": ("EPIPE", "ECONNRESET"),
            "unix.write_after_peer_shut_rd": ("EPIPE", "ECONNRESET"),
        },
    ),
    "what arrives is another open file": (
        recvmsg(
            after="""
    for (int at = 0; at < got; at++) {
        char path[32] = "/proc/self/fd/";
        int left = received[at], length = 14;
        if (left >= 100) path[length++] = '0' + left / 100;
        if (left >= 10) path[length++] = '0' + left / 10 % 10;
        path[length++] = '0' + left % 10;
        int mode = fcntl(left, F_GETFL) & O_ACCMODE, flags = fcntl(left, F_GETFD);
        int again = open(path, mode | O_NONBLOCK);
        if (again < 0) continue;
        fcntl(again, F_SETFL, 0);
        dup2(again, left);
        fcntl(left, F_SETFD, flags);
        close(again);
    }"""
        ),
        {"unix.passed_arrives_once": ("yes", "no")},
    ),
    "what has no room stays open, untold": (
        CALLS + BIG_CONTROL,
        {
            "unix.passed_to_recv": ("closed", "left open"),
            "unix.passed_without_room": ("closed", "left open"),
            "unix.passed_with_room_for_one": ("closed", "left open"),
            "unix.passed_truncation_reported": ("yes", "no"),
        },
    ),
    "there is always room for more": (
        recvmsg("if (room == CMSG_LEN(sizeof(int))) message->msg_controllen += sizeof(int);"),
        {
            "unix.passed_with_room_for_one": ("closed", "arrives"),
            "unix.passed_truncation_reported": ("yes", "no"),
        },
    ),
    "CMSG_SPACE has no padding to spare, as on 32 bits": (
        recvmsg(
            "if (room == CMSG_SPACE(sizeof(int))) message->msg_controllen = CMSG_LEN(sizeof(int));"
        ),
        {"unix.cmsg_space_holds": ("2", "1")},
    ),
    "a lost descriptor is an error, as on FreeBSD": (
        recvmsg(
            after="""if (done >= 0 && room > CMSG_SPACE(sizeof(int)) && !header
                             && message->msg_flags & MSG_CTRUNC) FAIL(EMFILE);"""
        ),
        {"unix.passed_over_limit": ("message alone", "EMFILE")},
    ),
    "few descriptors fit a message": (
        sendmsg("if (count > 64) FAIL(EMSGSIZE);"),
        {
            "unix.passed_at_most": ("253", "64"),
            "unix.passed_too_many": ("EINVAL", "EMSGSIZE"),
        },
    ),
    "too many descriptors are dropped, as on NetBSD": (
        sendmsg("if (count > 253) return 1;"),
        {"unix.passed_too_many": ("EINVAL", "dropped")},
    ),
    "the C library has a small buffer, as musl": (
        sendmsg("if (count > 252) FAIL(ENOMEM);"),
        {
            "unix.passed_at_most": ("253", "252"),
            "unix.passed_too_many": ("EINVAL", "ENOMEM"),
        },
    ),
    "many descriptors are on their way": (
        sendmsg("if (count > 100) FAIL(ETOOMANYREFS);"),
        {
            "unix.passed_at_most": ("253", "blocked"),
            "unix.passed_too_many": ("EINVAL", "blocked"),
        },
    ),
    "a pipe arrives as another file": (
        sendmsg(
            """struct stat found;
               if (!fstat(*passed, &found) && S_ISFIFO(found.st_mode)) *passed = 0;"""
        ),
        {"unix.passed_then_closed": ("yes", "no")},
    ),
    "after data nothing is passed": (
        sendmsg(
            """int unread = 0;
               ioctl(fd, SIOCOUTQ, &unread);
               if (unread) other.msg_controllen = 0;
               return real(fd, &other, flags);"""
        ),
        {
            "unix.passed_after_data": ("yes", "no"),
            "unix.passed_read_with": ("ab", "unsupported"),
        },
    ),
    "a read goes on after a descriptor": (
        recvmsg(
            after="""
    char control[512] __attribute__((aligned(8)));
    struct iovec part = *message->msg_iov;
    struct msghdr next = {.msg_iov = &part, .msg_iovlen = 1,
                          .msg_control = control, .msg_controllen = sizeof control};
    if (got != 1 || room < CMSG_SPACE(8 * sizeof(int))) return done;
    part.iov_base = (char *)part.iov_base + done;
    part.iov_len -= done;
    ssize_t more = real(fd, &next, flags | MSG_DONTWAIT);
    if (more <= 0) return done;
    if (CMSG_FIRSTHDR(&next)) {
        received[1] = *(int *)CMSG_DATA(CMSG_FIRSTHDR(&next));
        header->cmsg_len += sizeof(int);
        message->msg_controllen = CMSG_SPACE(2 * sizeof(int));
    }
    done += more;"""
        ),
        {
            "unix.passed_per_read": ("1", "2"),
            "unix.passed_read_with": ("ab", "abc"),
        },
    ),
    "MSG_CMSG_CLOEXEC means the opposite": (
        recvmsg("flags ^= MSG_CMSG_CLOEXEC;"),
        {
            "unix.passed_keeps_cloexec": ("no", "yes"),
            "unix.msg_cmsg_cloexec": ("yes", "no"),
        },
    ),
    "descriptors need no data": (
        sendmsg(
            """struct iovec one = {"", 1};
               if (!message->msg_iov->iov_len) other.msg_iov = &one;
               return real(fd, &other, flags);"""
        ),
        {"unix.passed_without_data": ("dropped", "arrives")},
    ),
    "an empty message is an error": (
        sendmsg("if (!message->msg_iov->iov_len) FAIL(EINVAL);"),
        {"unix.passed_without_data": ("dropped", "EINVAL")},
    ),
    "everybody's credentials are one's own, as in gVisor": (
        CALLS
        + """
int getsockopt(int fd, int level, int option, void *value, socklen_t *size) {
    REAL(getsockopt);
    int done = real(fd, level, option, value, size);
    struct ucred own = {getpid(), geteuid(), getegid()};
    if (!done && level == SOL_SOCKET && option == SO_PEERCRED) memcpy(value, &own, sizeof own);
    return done;
}
""",
        {
            "unix.client_credentials_of": ("connect()", "the asking process"),
            "unix.server_credentials_of": ("listen()", "the asking process"),
            "unix.peer_pid": ("SO_PEERCRED", "wrong"),
        },
    ),
    "there is getpeereid(), as on the BSDs": (
        CALLS
        + """
int getpeereid(int fd, uid_t *uid, gid_t *gid) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size)) return -1;
    *uid = peer.uid;
    *gid = peer.gid;
    return 0;
}
""",
        {"processes.peer_credentials": ("SO_PEERCRED", "getpeereid")},
    ),
}


@needs_linux
def test_a_connect_that_waits_for_accept_is_seen(tmp_path: Path) -> None:
    # Only this fact, because other probes connect and accept in one process.
    only = "--only=unix.connect_waits_for_accept"
    waiting = shim(tmp_path, connect("if (!(fcntl(fd, F_GETFL) & O_NONBLOCK)) pause();"))
    there = measure(only, environment=waiting)
    assert flipped(measure(only), there) == {"unix.connect_waits_for_accept": ("no", "yes")}


@needs_linux
@needs_root
def test_credentials_of_now_are_seen(tmp_path: Path) -> None:
    """A kernel that looks its peer up when it is asked shows the last user id."""
    looking = """
int getsockopt(int fd, int level, int option, void *value, socklen_t *size) {
    REAL(getsockopt);
    int done = real(fd, level, option, value, size);
    if (!done && level == SOL_SOCKET && option == SO_PEERCRED) {
        struct ucred *peer = value;
        if (peer->uid == 60002) peer->uid = 60003;
    }
    return done;
}
"""
    only = "--only=unix.*_credentials_of"
    there = measure(only, environment=shim(tmp_path, CALLS + looking))
    assert flipped(measure(only), there) == {"unix.client_credentials_of": ("connect()", "now")}


# Each option as its system has it, from its own structure.
BSD_OPTIONS = (
    CALLS
    + """
struct xucred {
    unsigned version;
    uid_t uid;
    short count;
    gid_t groups[16];
    union { void *unused; pid_t pid; };
};
struct unpcbid { pid_t pid; uid_t uid; gid_t gid; };
struct sockpeercred { uid_t uid; gid_t gid; pid_t pid; };
int getsockopt(int fd, int level, int option, void *value, socklen_t *size) {
    REAL(getsockopt);
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (level && (level != SOL_SOCKET || option != 0x1022))
        return real(fd, level, option, value, size);
    if (real(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length)) return -1;
    struct xucred freebsd = {.pid = PID};
    struct unpcbid netbsd = {.pid = PID};
    struct sockpeercred openbsd = {.pid = PID};
    pid_t macos = PID;
    switch (option) {
        case 1: *size = sizeof freebsd; memcpy(value, &freebsd, sizeof freebsd); break;
        case 2: *size = sizeof macos; memcpy(value, &macos, sizeof macos); break;
        case 3: *size = sizeof netbsd; memcpy(value, &netbsd, sizeof netbsd); break;
        default: *size = sizeof openbsd; memcpy(value, &openbsd, sizeof openbsd);
    }
    return 0;
}
"""
)


@needs_linux
@pytest.mark.parametrize(
    ("pid", "answers"),
    [
        ("peer.pid", "LOCAL_PEERCRED LOCAL_PEEREID SO_PEERCRED LOCAL_PEERPID"),
        ("1", "wrong wrong wrong wrong"),
        ("0", "none none none none"),
    ],
)
def test_a_process_id_is_where_each_system_has_it(pid: str, answers: str, tmp_path: Path) -> None:
    ask = """
import os, sys
from probes import libc
from probes.catalogue import unix
from probes.probe import Unsupported
os.chdir(sys.argv[1])
for libc.SYSTEM in ("FreeBSD", "NetBSD", "OpenBSD", "macOS"):
    try:
        print(unix.peer_pid())
    except Unsupported:
        print("none")
"""
    asked = subprocess.run(
        [sys.executable, "-c", ask, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, **shim(tmp_path, BSD_OPTIONS.replace("PID", pid))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.split() == answers.split()


PASSED = {
    "cmsg_space_holds",
    "msg_cmsg_cloexec",
    "passed_after_data",
    "passed_arrives_once",
    "passed_at_most",
    "passed_keeps_cloexec",
    "passed_over_limit",
    "passed_per_read",
    "passed_read_with",
    "passed_then_closed",
    "passed_to_recv",
    "passed_too_many",
    "passed_truncation_reported",
    "passed_with_room_for_one",
    "passed_without_data",
    "passed_without_room",
}

ROOTS = {
    "unix.client_credentials_of",
    "unix.connect_needs_permission",
    "unix.folder_mode_enforced",
    "unix.server_credentials_of",
}


@needs_linux
@needs_root
def test_without_root_what_needs_it_is_blocked_and_nothing_else_changes(here: Report) -> None:
    there = measure("--only=unix", before=as_user())
    assert set(flipped(here, there)) == ROOTS
    assert {there[id].status for id in ROOTS} == {"blocked"}
    assert all("needs root" in there[id].reason for id in ROOTS)


@needs_linux
@needs_root
def test_a_root_without_other_users_is_blocked(here: Report) -> None:
    there = measure("--only=unix", before=["unshare", "--user", "--map-root-user"])
    assert set(flipped(here, there)) == ROOTS
    assert all("root may not become user" in there[id].reason for id in ROOTS)


@needs_linux
@pytest.mark.parametrize("call", ["accept4", "bind", "connect", "fchmod", "sendmsg", "symlink"])
def test_what_a_filter_refuses_is_blocked(here: Report, call: str) -> None:
    refusing = [sys.executable, str(ROOT / "tests" / "sandboxed.py"), "EACCES", call, "--"]
    there = measure("--only=unix", before=refusing)
    changed = flipped(here, there)
    assert changed
    assert {there[id].status for id in changed} == {"blocked"}


@needs_linux
def test_descriptors_of_others_on_their_way_are_a_limit(here: Report, tmp_path: Path) -> None:
    full = shim(tmp_path, sendmsg("FAIL(ETOOMANYREFS);"))
    there = measure("--only=unix", environment=full)
    changed = flipped(here, there)
    assert set(changed) == {f"unix.{name}" for name in PASSED}
    assert {there[id].status for id in changed} == {"blocked"}
    assert all("raise ulimit -n" in there[id].reason for id in changed)


@needs_linux
def test_a_kernel_without_peer_credentials_has_no_answer(here: Report, tmp_path: Path) -> None:
    without = """
int getsockopt(int fd, int level, int option, void *value, socklen_t *size) {
    REAL(getsockopt);
    if (level == SOL_SOCKET && option == SO_PEERCRED) FAIL(ENOPROTOOPT);
    return real(fd, level, option, value, size);
}
"""
    there = measure("--only=unix.peer_pid", environment=shim(tmp_path, CALLS + without))
    assert flipped(here, there) == {"unix.peer_pid": ("SO_PEERCRED", "unsupported")}
    assert there["unix.peer_pid"].reason == "SO_PEERCRED gives ENOPROTOOPT"


@needs_linux
def test_few_open_files_are_enough(here: Report) -> None:
    limited = ["sh", "-c", 'ulimit -n 64 && exec "$@"', "sh"]
    there = measure("--only=unix", "--jobs=1", before=limited)
    assert len(there) > 40
    assert flipped(here, there) == {}
