"""Unix-domain sockets: their files, full queues, the end of a peer, and passed descriptors."""

from __future__ import annotations

import array
import contextlib
import errno
import os
import resource
import select
import socket
import stat
import struct
from collections.abc import Iterator
from ctypes import byref, c_uint32
from dataclasses import dataclass
from typing import Any, Callable

from .. import absent, libc, refusals
from ..fact import CONFIGURED
from ..harness import children, privileges
from ..probe import Blocked, Sample, Unsupported, probe

PATH = "socket"
"""Relative, so that it is short, and no folder above the scratch folder matters."""

STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM


def _make(kind: int = STREAM) -> socket.socket:
    return socket.socket(socket.AF_UNIX, kind)


@contextlib.contextmanager
def _bind(kind: int = STREAM, path: str = PATH) -> Iterator[socket.socket]:
    """Yield a socket that is bound to ``path``; close it and remove the file at the end."""
    with _make(kind) as bound:
        bound.bind(path)
        try:
            yield bound
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


@contextlib.contextmanager
def _listen(backlog: int = 8) -> Iterator[socket.socket]:
    with _bind() as listening:
        listening.listen(backlog)
        yield listening


@contextlib.contextmanager
def _make_pair(kind: int = STREAM) -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair(socket.AF_UNIX, kind)
    with one, other:
        yield one, other


def _try(call: str, function: Callable[..., Any], *arguments: Any) -> str:
    """Return ``ok`` or the name of the error of ``call``, which ``function`` makes."""
    try:
        function(*arguments)
    except OSError as error:
        return libc.name_error(error, call)
    return "ok"


def _try_connect(kind: int = STREAM, path: str = PATH) -> str:
    with _make(kind) as client:
        return _name_connected(client.connect_ex(path))


def _name_connected(error: int) -> str:
    """Return ``ok`` or the name of an error of connect() to a file of this user's own."""
    refused = refusals.explain(OSError(error, os.strerror(error)))
    if refused:
        raise refused
    return libc.name_errno(error) if error else "ok"


def _read(connected: socket.socket) -> str:
    """Return ``EOF``, the data as text, or the name of the error."""
    try:
        return connected.recv(16).decode() or "EOF"
    except OSError as error:
        return libc.name_error(error, "recv")


def _watch(call: Callable[[], str]) -> str:
    """Return what ``call`` returns in a child, or ``waits`` if the child is seen asleep in it."""

    def subject(parent: children.Channel) -> str:
        parent.send("about to call")
        return call()

    with children.fork(subject) as child:
        child.receive()
        return "waits" if children.wait_until_asleep(child) else str(child.receive())


BACKLOG = 2
MANY = 16


@contextlib.contextmanager
def _fill_backlog() -> Iterator[tuple[int, str]]:
    """Fill a listener's backlog; yield how many fit, and what the next client gets."""
    with contextlib.ExitStack() as open_sockets:
        open_sockets.enter_context(_listen(BACKLOG))
        for completed in range(MANY):
            client = open_sockets.enter_context(_make())
            client.setblocking(False)
            connected = _name_connected(client.connect_ex(PATH))
            if connected != "ok":
                yield completed, connected
                return
        raise Unsupported(f"listen(2) limits nothing: {MANY} connections completed unaccepted")


@probe(
    matters="A client in an event loop takes EAGAIN for 'wait until writable', and waits for ever: "
    "the socket is not connecting.",
    advice="Take EAGAIN and ECONNREFUSED of a Unix connect() for a full backlog: retry later.",
    symptoms=[
        "nginx: connect() to unix socket failed, 11: Resource temporarily unavailable, under load",
        "502 Bad Gateway in bursts: listen queue of php-fpm, gunicorn or uwsgi is full",
    ],
    reference="connect(2) Linux: EAGAIN; uipc_usrreq.c FreeBSD: unp_connectat; POSIX XSH connect",
    documented={"linux": "EAGAIN"},
    light=True,
)
def backlog_full_nonblock() -> str:
    """What does a non-blocking connect() return when a Unix listener's backlog is full?"""
    with _fill_backlog() as (_, error):
        return error


@probe(
    matters="Clients of a daemon that is stuck hang with it on one system, fail at once on others.",
    advice="Connect with a time-out, and retry on ECONNREFUSED while the daemon may be busy.",
    symptoms=[
        "clients hang in connect() to the unix socket of a stuck daemon; Connection refused on BSD",
    ],
    reference="listen(2), connect(2); net/unix/af_unix.c Linux: unix_wait_for_peer",
    light=True,
)
def backlog_full_blocking() -> str:
    """What does a blocking connect() do when a Unix listener's backlog is full?"""
    with _fill_backlog():
        return _watch(_try_connect)


@probe(
    matters="A short backlog turns a burst of local clients away, sooner here than there.",
    advice="Give listen() a backlog for the whole burst you expect, and accept in a loop.",
    symptoms=[
        "listen queue of a unix socket overflows: unix socket fails at many connections, TCP does "
        "not",
    ],
    reference="listen(2) Linux: somaxconn; uipc_socket.c FreeBSD: sonewconn",
    scope=CONFIGURED,
    hangs_on="net.core.somaxconn",
    light=True,
)
def backlog_completes() -> int:
    """How many Unix connections complete after listen(2), without accept()?"""
    with _fill_backlog() as (completed, _):
        return completed


@probe(
    matters="A program that connects to its own listener, or a test in one process, hangs.",
    advice="Accept in another process or thread, or connect without blocking.",
    symptoms=[
        "deadlock: test connects to its own unix socket listener in one thread, before accept()",
    ],
    reference="unix(4) FreeBSD: LOCAL_CONNWAIT; connect(2)",
    # It waits only if the option asks for it.
    documented={"freebsd": False},
    light=True,
)
def connect_waits_for_accept() -> bool:
    """Does connect() to a Unix listener wait for accept()?"""
    with _listen():
        answer = _watch(_try_connect)
    if answer not in ("ok", "waits"):
        raise Unsupported(f"connect() to a Unix listener returns {answer}")
    return answer == "waits"


@probe(
    matters="A program that looks for its sockets by stat() takes a live one for a stale file.",
    advice="Find sockets by connecting to them, not by their file's type.",
    symptoms=[
        "test -S or S_ISSOCK says that it is not a socket: daemon is taken for not running",
    ],
    reference="unix(7) Linux; unix(4) BSD; POSIX XBD <sys/stat.h>: S_ISSOCK",
    documented={"posix": True},
    light=True,
)
def bound_socket_is_file() -> bool:
    """Does stat() show the path of a bound Unix socket as a socket?"""
    with _bind():
        return os.path.exists(PATH) and stat.S_ISSOCK(os.stat(PATH).st_mode)


@probe(
    matters="A daemon that is restarted finds its own old socket file in the way.",
    advice="Take a lock, then unlink the path before bind(): never bind() alone.",
    symptoms=[
        "socket file is left behind in /run or /tmp after the daemon was stopped",
    ],
    reference="unix(4) FreeBSD, NetBSD, OpenBSD; unix(7) Linux: NOTES",
    documented=dict.fromkeys(("linux", "freebsd", "netbsd", "openbsd"), True),
    light=True,
)
def file_stays_after_close() -> bool:
    """Does the file of a Unix socket stay when the socket is closed?"""
    with _bind() as bound:
        bound.close()
        return os.path.lexists(PATH)


@contextlib.contextmanager
def _leave_stale_file() -> Iterator[None]:
    with _listen() as listening:
        listening.close()
        if not os.path.lexists(PATH):
            raise Unsupported("the file of a Unix socket goes when the socket is closed")
        yield


@probe(
    each={
        "bind_stale_file": "bind()",
        "bind_stale_file_reuseaddr": "bind() with SO_REUSEADDR",
    },
    matters="After a crash the daemon does not start again: SO_REUSEADDR is for ports only.",
    advice="Connect to the path first; unlink it only if nothing answers, under a lock file.",
    symptoms=[
        "bind: Address already in use, EADDRINUSE, for a .sock file after a crash or kill -9",
        "cannot open the control socket: address in use, but no other instance runs",
        "stale unix socket: must delete the socket file by hand before the daemon starts again",
    ],
    reference="unix(7) Linux: EADDRINUSE; POSIX XSH bind: EADDRINUSE",
    documented={"posix": "EADDRINUSE"},
    light=True,
)
def bind_stale_file(how: str) -> str:
    """What does {row} to the path of a stale socket file return?"""
    with _leave_stale_file(), _make() as fresh:
        if "SO_REUSEADDR" in how:
            fresh.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return _try("bind", fresh.bind, PATH)


@probe(
    matters="A client cannot tell a daemon that is gone from one that never ran.",
    advice="Take ECONNREFUSED as 'not running, file is stale', ENOENT as 'never started'.",
    symptoms=[
        "Connection refused for a .sock file that exists: is the daemon running?",
    ],
    reference="connect(2); POSIX XSH connect: ECONNREFUSED",
    documented={"posix": "ECONNREFUSED"},
    light=True,
)
def connect_stale_file() -> str:
    """What does connect() to the path of a stale socket file return?"""
    with _leave_stale_file():
        return _try_connect()


@probe(
    matters="Code that unlinks the path on ECONNREFUSED deletes a file that is no socket.",
    advice="Check S_ISSOCK by lstat() before you unlink a path that refuses connections.",
    symptoms=[
        "daemon unlinks a regular file that it takes for a stale socket",
        "Socket operation on non-socket, ENOTSOCK, or Connection refused for a path of a plain "
        "file",
    ],
    reference="unix(7) Linux: ECONNREFUSED; uipc_usrreq.c FreeBSD: unp_connectat; POSIX: ENOTSOCK",
    documented={"linux": "ECONNREFUSED"},
    light=True,
)
def connect_plain_file() -> str:
    """What does connect() to a regular file return?"""
    with open("file", "xb"):
        pass
    try:
        return _try_connect(path="file")
    finally:
        os.unlink("file")


@probe(
    matters="A log client that tries datagrams and then streams gives up at the wrong error.",
    advice="Take EPROTOTYPE from connect() as 'try the other type'.",
    symptoms=[
        "Protocol wrong type for socket, EPROTOTYPE, connecting to /dev/log or a statsd socket",
    ],
    reference="connect(2) Linux: EPROTOTYPE; POSIX XSH connect: EPROTOTYPE",
    documented={"linux": "EPROTOTYPE", "posix": "EPROTOTYPE"},
    light=True,
)
def connect_other_type() -> str:
    """What does connecting a datagram socket to a Unix stream listener return?"""
    with _listen():
        return _try_connect(DATAGRAM)


@probe(
    matters="Where bind() follows it, a link planted in /tmp makes root create a file elsewhere.",
    advice="Bind in a folder that only the daemon may write to.",
    symptoms=[
        "bind of a unix socket in /tmp creates the file at the target of a symlink",
    ],
    reference="bind(2); POSIX XSH bind: EADDRINUSE if the path is a symbolic link",
    documented={"posix": "EADDRINUSE"},
    light=True,
)
def bind_dangling_symlink() -> str:
    """What does bind() to a dangling symbolic link return?"""
    with _bind():
        pass  # What a sandbox refuses, it refuses here too.
    os.symlink("elsewhere", "link")
    try:
        with _make() as fresh:
            return _try("bind", fresh.bind, "link")
    finally:
        for name in ("link", "elsewhere"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)


@probe(
    matters="A daemon that moves a new socket over the old one to restart without a gap loses all.",
    advice="If not, let the old daemon pass its listener to the new one.",
    symptoms=[
        "socket file is moved into place by mv or rename(): clients get Connection refused",
    ],
    reference="rename(2), unix(7) Linux",
    light=True,
)
def renamed_file_connects() -> bool:
    """Does a Unix socket's file still lead to its listener after rename()?"""
    with _listen():
        done = _try("rename", os.rename, PATH, "renamed")
        if done != "ok":
            raise Unsupported(f"rename() of a socket's file gives {done}")
        try:
            return _try_connect(path="renamed") == "ok"
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink("renamed")


@probe(
    matters="With the umask of a login shell every user may connect to the daemon, or none may.",
    advice="Set the umask around bind(), or bind in a folder that only the right users may enter.",
    symptoms=[
        "connect() to a unix socket: 13: Permission denied; the .sock file has mode srwxr-xr-x",
        "socket file is world writable, or closed to its group: the umask decides",
    ],
    reference="unix(7) Linux; bind(2); umask(2)",
    documented={"linux": "750"},
    light=True,
)
def file_mode_under_umask() -> str:
    """Which mode has the file of a Unix socket that is bound under umask 027?"""
    before = os.umask(0o027)
    try:
        with _bind():
            return f"{stat.S_IMODE(os.stat(PATH).st_mode):o}"
    finally:
        os.umask(before)


@probe(
    each={"fchmod_before_bind": "before bind()", "fchmod_after_bind": "after bind()"},
    matters="A daemon that trusts fchmod() leaves its socket open to all, without an error.",
    advice="Set the umask before bind(), or chmod() the path in a folder that is closed to others.",
    symptoms=[
        "fchmod() of a unix socket: Invalid argument on FreeBSD and macOS",
        "mode that was set by fchmod() is not that of the .sock file",
    ],
    reference="fchmod(2); unix(7) Linux; POSIX XSH fchmod: EINVAL",
    light=True,
)
def fchmod_of_socket(when: str) -> str:
    """What does fchmod() of a Unix socket {row} do to the mode of its file?"""
    with contextlib.ExitStack() as both:
        bound = both.enter_context(_make() if when.startswith("before") else _bind())
        file = _open_file()
        os.fchmod(file, 0o600)  # What a sandbox refuses, it refuses here too.
        os.close(file)
        done = _try("fchmod", os.fchmod, bound.fileno(), 0o600)
        if done != "ok":
            return done
        if when.startswith("before"):
            bound.bind(PATH)
            both.callback(os.unlink, PATH)
        return "sets it" if stat.S_IMODE(os.stat(PATH).st_mode) == 0o600 else "nothing"


def _connect_as(uid: int, path: str = PATH) -> str:
    def connect() -> str:
        privileges.become_user(uid)
        with _make() as client:
            return _try("connect", client.connect, path)

    return str(children.run_in_child(connect))


_CLOSED = "another user may not even connect to a 0666 socket: set TMPDIR to another"


@probe(
    matters="A socket that is mode 0660 for its group is closed, or open, to users who may read.",
    advice="Put the socket in a folder with the rights you mean; give it mode 0666 in there.",
    symptoms=[
        "Permission denied connecting to a .sock file that others may read, as docker.sock",
    ],
    reference="unix(7) Linux; unix(4) FreeBSD, NetBSD, OpenBSD: must be writable",
    documented=dict.fromkeys(("linux", "freebsd", "netbsd", "openbsd"), "write"),
)
def connect_needs_permission() -> str:
    """Which permission on a Unix socket's file does connect() need?"""
    uid = privileges.require_second_uid()
    os.chmod(".", 0o711)
    modes = {0: "none", 0o222: "write", 0o444: "read", 0o666: "read and write"}
    with _listen():
        for mode, name in modes.items():
            os.chmod(PATH, mode)
            if _connect_as(uid) == "ok":
                return name
    raise Blocked(_CLOSED)


@probe(
    matters="If folders do not protect sockets, no portable way is left to keep users out.",
    advice="Put the socket in a folder that only its users may enter; check the peer's user id.",
    symptoms=[
        "permissions of socket files are ignored: is the mode of the directory enough?",
    ],
    reference="unix(7) Linux; connect(2): EACCES; POSIX XSH connect: EACCES",
    documented={"linux": "EACCES", "posix": "EACCES"},
)
def folder_mode_enforced() -> str:
    """What does connect() to a 0666 socket in another user's closed folder return?"""
    uid = privileges.require_second_uid()
    os.chmod(".", 0o711)
    os.mkdir("folder")
    with _bind(path="folder/socket") as listening:
        listening.listen(2)
        os.chmod("folder/socket", 0o666)
        os.chmod("folder", 0o711)
        if _connect_as(uid, "folder/socket") != "ok":
            raise Blocked(_CLOSED)
        os.chmod("folder", 0o700)
        return _connect_as(uid, "folder/socket")


@contextlib.contextmanager
def _fill_datagrams() -> Iterator[tuple[socket.socket, str]]:
    """Send to a receiver that does not read, as to a log daemon; yield the sender and its error."""
    with _bind(DATAGRAM), _make(DATAGRAM) as sender:
        sender.connect(PATH)
        sender.setblocking(False)
        for _ in range(1 << 14):
            error = _try("send", sender.send, bytes(512))
            if error != "ok":
                yield sender, error
                return
        raise Unsupported("a receiver that does not read is never full")


@probe(
    matters="A program that retries only on EAGAIN, or only on ENOBUFS, loses its log lines.",
    advice="Treat EAGAIN and ENOBUFS of a Unix datagram alike: wait and retry, or drop and count.",
    symptoms=[
        "syslog(): No buffer space available, ENOBUFS, on macOS and FreeBSD; EAGAIN on Linux",
        "log lines are dropped: the unix datagram socket of the log daemon is full",
    ],
    reference="send(2) Linux: EAGAIN; send(2) FreeBSD: ENOBUFS; POSIX XSH send: EAGAIN",
    documented={"linux": "EAGAIN", "posix": "EAGAIN"},
    light=True,
)
def datagrams_full_nonblock() -> str:
    """What does a non-blocking send() return when a Unix datagram receiver's queue is full?"""
    with _fill_datagrams() as (_, error):
        return error


@probe(
    matters="A log daemon that hangs takes every program that logs with it, or loses its lines.",
    advice="Log through a non-blocking socket, with a limit on how long a line may wait.",
    symptoms=[
        "programs hang in syslog() or sendmsg() to /dev/log while the log daemon is stopped",
    ],
    reference="send(2); net/unix/af_unix.c Linux: unix_wait_for_peer; uipc_usrreq.c FreeBSD",
    light=True,
)
def datagrams_full_blocking() -> str:
    """What does a blocking send() do when a Unix datagram receiver's queue is full?"""
    with _fill_datagrams() as (sender, _):
        sender.setblocking(True)
        return _watch(lambda: _try("send", sender.send, bytes(512)))


@probe(
    matters="Messages that fit here fail with EMSGSIZE where a datagram holds 2048 bytes.",
    advice="Keep Unix datagrams below 2048 bytes, or set SO_SNDBUF, or use a stream.",
    symptoms=[
        "write unixgram: Message too long, EMSGSIZE, on macOS and FreeBSD: 2048 bytes at most",
    ],
    reference="unix(7) Linux: SO_SNDBUF; send(2): EMSGSIZE; net.local.dgram.maxdgram on BSD",
    scope=CONFIGURED,
    light=True,
)
def datagram_of_64_kib() -> str:
    """What does sending a Unix datagram of 64 KiB return?"""
    with _make_pair(DATAGRAM) as (sender, _):
        sender.setblocking(False)
        return _try("send", sender.send, bytes(1 << 16))


def _send_after_receiver_closed() -> tuple[str, str]:
    """Return what the first send returns, and the next one, when a new receiver has the path."""
    with _make(DATAGRAM) as sender:
        with _bind(DATAGRAM):
            sender.connect(PATH)
        first = _try("send", sender.send, b"x")
        with _bind(DATAGRAM):
            return first, _try("send", sender.send, b"x")


@probe(
    matters="A program that is connected to a log daemon gets an error when that is restarted.",
    advice="On any error of a Unix datagram's send(), connect again and repeat it once.",
    symptoms=[
        "logging stops after the syslog daemon is restarted: Connection refused on /dev/log",
    ],
    reference="send(2); net/unix/af_unix.c Linux: unix_dgram_sendmsg",
    light=True,
)
def datagram_after_receiver_closed() -> str:
    """What does send() return after a Unix datagram receiver was closed?"""
    return _send_after_receiver_closed()[0]


@probe(
    matters="After the log daemon's restart its clients are silent until they are restarted too.",
    advice="On any error of a Unix datagram's send(), connect again and repeat it once.",
    symptoms=[
        "Transport endpoint is not connected, ENOTCONN, on /dev/log after a restart of the log "
        "daemon",
        "clients of a log daemon stay silent until they are restarted too",
    ],
    reference="send(2); POSIX XSH send: EDESTADDRREQ, ENOTCONN",
    light=True,
)
def datagram_after_receiver_restarted() -> str:
    """What does the next send() return when a new Unix datagram receiver has bound the path?"""
    return _send_after_receiver_closed()[1]


@probe(
    matters="A protocol that counts on whole messages cannot be offered on macOS.",
    advice="Use a stream with lengths, or datagrams: every system has both.",
    symptoms=[
        "socketpair: Protocol not supported, EPROTONOSUPPORT, for SOCK_SEQPACKET on macOS",
    ],
    reference="unix(7) Linux; unix(4) OpenBSD; POSIX XSH socketpair",
    documented={"linux": True, "openbsd": True},
    light=True,
)
def seqpacket_exists() -> Any:
    """Can Unix sockets be of type SOCK_SEQPACKET?"""
    try:
        with _require_packets():
            return True
    except _NoPackets as why:
        return Sample(False, str(why))


class _NoPackets(Unsupported):
    """The name of the error that asking for such sockets gives."""


@contextlib.contextmanager
def _require_packets() -> Iterator[tuple[socket.socket, socket.socket]]:
    kind = absent.get_constant(socket, "SOCK_SEQPACKET")
    with contextlib.ExitStack() as pair:
        try:
            ends = pair.enter_context(_make_pair(kind))
        except OSError as error:
            why = libc.name_error(error, "socketpair")
            raise _NoPackets(f"a pair of Unix SOCK_SEQPACKET sockets gives {why}") from None
        yield ends


@probe(
    matters="A daemon takes two requests for one, and answers neither.",
    advice="Put a length before each message, on SOCK_SEQPACKET too.",
    symptoms=[
        "two SOCK_SEQPACKET messages arrive as one",
    ],
    reference="unix(7) Linux; socket(2): SOCK_SEQPACKET; POSIX XSH 2.10.6",
    documented={"linux": True},
    light=True,
)
def seqpacket_keeps_messages_apart() -> bool:
    """Does a read of a SOCK_SEQPACKET socket return one message, though two have arrived?"""
    with _require_packets() as (sender, receiver):
        for message in (b"one", b"two"):
            sender.send(message)
        return receiver.recv(16) == b"one"


@probe(
    matters="The rest of a message that a short buffer cut is taken for the next request.",
    advice="Read with a buffer for the largest message, and refuse one with MSG_TRUNC.",
    symptoms=[
        "message of a SOCK_SEQPACKET socket is truncated, its rest is lost or read as the next one",
    ],
    reference="recv(2) Linux; POSIX XSH recvmsg: MSG_TRUNC",
    documented={"posix": "lost"},
    light=True,
)
def seqpacket_cut_message() -> str:
    """What happens to the rest of a SOCK_SEQPACKET message that a short read cut?"""
    with _require_packets() as (sender, receiver):
        for message in (b"long", b"next"):
            sender.send(message)
        receiver.recv(2)
        return "lost" if receiver.recv(16) == b"next" else "next to be read"


@probe(
    matters="A client that says 'no more input' by shutdown() never gets its answer.",
    advice="If it ends both directions, mark the end of input in the protocol.",
    symptoms=[
        "no answer comes after shutdown(SHUT_WR) on a unix socket: nc -U or socat ends too early",
    ],
    reference="shutdown(2); POSIX XSH shutdown",
    documented={"posix": True},
    light=True,
)
def half_close() -> Any:
    """Can a Unix socket still receive after shutdown(SHUT_WR)?"""
    with _make_pair() as (client, server):
        client.shutdown(socket.SHUT_WR)
        end, sent = _read(server), _try("send", server.send, b"x")
        if (end, sent) != ("EOF", "ok"):
            return Sample(False, [end, sent])
        return _read(client) == "x"


@probe(
    matters="A daemon that stops reading kills its client by SIGPIPE, or fills the client's queue.",
    advice="Ignore SIGPIPE, and take EPIPE as 'the peer reads no more', not as its end.",
    symptoms=[
        "Broken pipe or SIGPIPE on a unix socket after the peer called shutdown(SHUT_RD)",
    ],
    reference="shutdown(2); POSIX XSH send: EPIPE; net/unix/af_unix.c Linux: unix_shutdown",
    light=True,
)
def write_after_peer_shut_rd() -> str:
    """What does a write return after a Unix peer called shutdown(SHUT_RD)?"""
    with _make_pair() as (client, server):
        server.shutdown(socket.SHUT_RD)
        return _try("send", client.send, b"x")


@contextlib.contextmanager
def _close_unread() -> Iterator[socket.socket]:
    """Yield a socket whose peer sent ``bye``, and closed with unread data."""
    with _make_pair() as (ours, peer):
        ours.send(b"x")
        peer.send(b"bye")
        peer.close()
        yield ours


@probe(
    matters="A client that sent more than was read loses the answer, or takes it for incomplete.",
    advice="Let the server read to the end before it closes, and the client read before it fails.",
    symptoms=[
        "answer is lost: server sends an error and closes a unix socket before it read the request",
    ],
    reference="net/unix/af_unix.c Linux: unix_release_sock; unix(7) Linux: ECONNRESET",
    light=True,
)
def read_data_of_peer_with_unread() -> str:
    """What does the first read return after a Unix peer sent data and closed with data unread?"""
    with _close_unread() as ours:
        return {"bye": "data"}.get(read := _read(ours), read)


@probe(
    matters="The end of a session is logged as an error on one system, and never on another.",
    advice="Take ECONNRESET after a complete answer for the end of the connection.",
    symptoms=[
        "Connection reset by peer, ECONNRESET, on a unix socket on Linux; EOF on macOS and the "
        "BSDs",
    ],
    reference="net/unix/af_unix.c Linux: unix_release_sock; unix(7) Linux: ECONNRESET",
    light=True,
)
def read_end_of_peer_with_unread() -> str:
    """What does a read return at the end, after a Unix peer closed with data unread?"""
    with _close_unread() as ours:
        answer = _read(ours)
        return _read(ours) if answer == "bye" else answer


@probe(
    matters="A client that connected while the daemon was stopping takes EOF for an empty answer.",
    advice="Take ECONNRESET, ECONNABORTED and an early EOF alike: connect again.",
    symptoms=[
        "unix socket client gets Connection reset by peer, or an empty answer, as the server stops",
    ],
    reference="net/unix/af_unix.c Linux: unix_release_sock, embrion; accept(2)",
    light=True,
)
def read_after_listener_closed() -> str:
    """What does a read return after a Unix listener closed without accepting the client?"""
    with _make() as client:
        with _listen():
            client.setblocking(False)
            connected = _name_connected(client.connect_ex(PATH))
            if connected != "ok":
                raise Unsupported(f"no connection completes before accept(): {connected}")
        client.setblocking(True)
        return _read(client)


@probe(
    matters="Unlike TCP, the first write may fail, so SIGPIPE comes at once.",
    advice="Ignore SIGPIPE, and take EPIPE and ECONNRESET from a write as the end.",
    symptoms=[
        "Broken pipe at the first write to a unix socket; with TCP it is the second",
    ],
    reference="POSIX XSH send: EPIPE; write(2): EPIPE",
    documented={"posix": "EPIPE"},
    light=True,
)
def write_after_peer_closed() -> str:
    """What does the first write return after a Unix peer closed?"""
    with _make_pair() as (ours, peer):
        peer.close()
        return _try("send", ours.send, b"x")


INT = array.array("i").itemsize
_ROOM_FOR_ONE, _ROOM_FOR_EIGHT = socket.CMSG_LEN(INT), socket.CMSG_SPACE(8 * INT)


def _pass(sender: socket.socket, *descriptors: int, data: bytes = b"x") -> None:
    """Send data and, in one control message with it, descriptors (cmsg(3))."""
    rights = array.array("i", descriptors)
    try:
        sender.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    except OSError as error:
        if error.errno != errno.ETOOMANYREFS:
            raise
        why = "too many descriptors of this user are on their way: raise ulimit -n"
        raise Blocked(why) from None


def _take(
    receiver: socket.socket, room: int = _ROOM_FOR_EIGHT, size: int = 16, flags: int = 0
) -> tuple[bytes, list[int], int]:
    """Return the data, the descriptors and the flags that one recvmsg() with that room returns."""
    data, control, told, _ = receiver.recvmsg(size, room, flags)
    descriptors = array.array("i")
    for level, kind, content in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) // INT * INT])
    return data, list(descriptors), told


def _open_file() -> int:
    """Return a descriptor of a file that has 8 bytes and no name."""
    descriptor = os.open("passed", os.O_RDWR | os.O_CREAT | os.O_EXCL)
    os.unlink("passed")
    os.write(descriptor, bytes(range(8)))
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


@probe(
    matters="A worker that is handed a connection gets none, two, or another one.",
    advice="Check what recvmsg() returned: its flags, its level and type, and how many there are.",
    symptoms=[
        "SCM_RIGHTS: descriptor arrives several times, or not at all, as on WSL 1",
    ],
    reference="unix(7) Linux: SCM_RIGHTS; unix(4) FreeBSD, NetBSD, OpenBSD; cmsg(3)",
    documented=dict.fromkeys(("linux", "freebsd", "netbsd", "openbsd"), True),
)
def passed_arrives_once() -> Any:
    """Does a passed descriptor arrive once, as the same open file?"""
    with _make_pair() as (sender, receiver):
        file = _open_file()
        os.read(file, 3)
        _pass(sender, file)
        sender.send(b"y")
        sender.shutdown(socket.SHUT_WR)
        data, received, more = b"", [], b"the first"
        while more:
            more, descriptors, _ = _take(receiver)
            data += more
            received += descriptors
        if (data, len(received)) != (b"xy", 1):
            return Sample(False, f"{len(received)} descriptors with {data!r}")
        # The offset belongs to the open file, not to the descriptor.
        return os.read(received[0], 1) == b"\3" and os.read(file, 1) == b"\4"


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class _Loss:
    """A read of a message with more descriptors than it has room for."""

    name: str
    passed: int
    take: Callable[[socket.socket], list[int]]
    """Reads one byte, and returns the descriptors that came with it."""

    def __str__(self) -> str:
        return self.name


@probe(
    each={
        "passed_to_recv": _Loss("if it is read by plain recv()", 1, lambda s: list(s.recv(1)[1:])),
        "passed_without_room": _Loss("if recvmsg() has no room", 1, lambda s: _take(s, 0, 1)[1]),
        "passed_with_room_for_one": _Loss(
            "if recvmsg() has room for another only", 2, lambda s: _take(s, _ROOM_FOR_ONE, 1)[1]
        ),
    },
    matters="Any client can fill the daemon's table of descriptors if the kernel leaves them open.",
    advice="Give recvmsg() room for the most descriptors that can come, and close what you refuse.",
    symptoms=[
        "SCM_RIGHTS leaks file descriptors in the receiver on macOS: control buffer is too small",
        "Too many open files: any client can send descriptors that nobody closes",
    ],
    reference="unix(7) Linux: SCM_RIGHTS; unix(4) FreeBSD, NetBSD, OpenBSD; recvmsg(2)",
    documented={"linux": "closed"},
)
def passed_and_lost(loss: _Loss) -> str:
    """What becomes of a passed descriptor {row}?"""
    with _make_pair() as (sender, receiver):
        pipes = [os.pipe() for _ in range(loss.passed)]
        _pass(sender, *(writing for _, writing in pipes))
        sender.send(b"y")
        for _, writing in pipes:
            os.close(writing)
        # A new descriptor gets the lowest free number, such as that of a closed writing end.
        numbers = range(max(max(pipe) for pipe in pipes) + 1)
        before = {number for number in numbers if _is_open(number)}
        try:
            received = loss.take(receiver)
        except OSError as error:
            return libc.name_error(error, "recvmsg")
        if len(received) == loss.passed:
            return "arrives"
        if {number for number in numbers if _is_open(number)} - before - {*received}:
            return "left open"
        if _take(receiver)[1]:
            return "next to be read"
    for descriptor in received:
        os.close(descriptor)
    # This returns only when the writing ends are closed everywhere.
    for reading, _ in pipes:
        os.read(reading, 1)
    return "closed"


@probe(
    matters="A receiver that is not told counts on descriptors that it never got.",
    advice="Check MSG_CTRUNC after every recvmsg(), and count the descriptors as well.",
    symptoms=[
        "MSG_CTRUNC is not set though control data was truncated: descriptors are missing",
    ],
    reference="unix(7) Linux; POSIX XSH recvmsg: MSG_CTRUNC",
    documented={"linux": True, "freebsd": True, "posix": True},
)
def passed_truncation_reported() -> bool:
    """Does MSG_CTRUNC report that there was no room for a passed descriptor?"""
    with _make_pair() as (sender, receiver):
        _pass(sender, 0, 1)
        return bool(_take(receiver, _ROOM_FOR_ONE)[2] & socket.MSG_CTRUNC)


@probe(
    matters="On 64 bits a buffer of CMSG_SPACE(sizeof(int)) takes a second descriptor that leaks.",
    advice="Set msg_controllen to CMSG_LEN for the number you expect, and close any others.",
    symptoms=[
        "CMSG_SPACE or CMSG_LEN for msg_controllen: a second descriptor is received and leaks on "
        "64 bit",
    ],
    reference="cmsg(3): CMSG_SPACE includes padding; net/core/scm.c Linux: scm_detach_fds",
)
def cmsg_space_holds() -> int:
    """How many of two passed descriptors arrive in a buffer of CMSG_SPACE for one?"""
    with _make_pair() as (sender, receiver):
        _pass(sender, 0, 1)
        return len(_take(receiver, socket.CMSG_SPACE(INT))[1])


@probe(
    matters="At the limit the descriptor is lost: the request comes without it, or an error does.",
    advice="Keep spare descriptors, and treat a message that lacks its descriptor as an error.",
    symptoms=[
        "recvmsg() succeeds without the descriptor at RLIMIT_NOFILE: Bad file descriptor later",
        "recvmsg: Too many open files, EMFILE, and the message is lost",
    ],
    reference="unix(7) Linux: RLIMIT_NOFILE; recvmsg(2) FreeBSD: EMFILE, before 14 EMSGSIZE",
    documented={"linux": "message alone"},
)
def passed_over_limit() -> str:
    """What does recvmsg() return if RLIMIT_NOFILE allows no more descriptors?"""
    with _make_pair() as (sender, receiver):
        _pass(sender, 0)
        free = os.dup(0)
        os.close(free)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            received = _take(receiver)[1]
        except OSError as error:
            # Here this limit is the question.
            full = error.errno == errno.EMFILE
            return "EMFILE" if full else libc.name_error(error, "recvmsg")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return "descriptor too" if received else "message alone"


FAR_TOO_MANY = 1024


def _try_to_pass(count: int) -> str:
    with _make_pair() as (sender, receiver):
        try:
            _pass(sender, *[0] * count)
        except OSError as error:
            if error.errno == errno.ENOMEM:  # As musl says if its buffer is too small.
                return "ENOMEM"
            return libc.name_error(error, "sendmsg")
        return "ok" if select.select([receiver], [], [], 0)[0] else "dropped"


@probe(
    matters="A daemon that hands over all its connections at restart loses those beyond the limit.",
    advice="Pass a few descriptors per message, at most 64.",
    symptoms=[
        "SCM_MAX_FD: passing more than 253 file descriptors in a message fails, or 252 with musl",
        "seamless restart fails: too many listening sockets to transfer to the new process",
    ],
    reference="unix(7) Linux: SCM_MAX_FD; sys/kern/uipc_usrreq.c BSD: unp_internalize",
    documented={"linux": 253},
)
def passed_at_most() -> int:
    """How many descriptors can one message pass, up to 1024?"""
    most, too_many = 0, FAR_TOO_MANY + 1
    while most + 1 < too_many:
        middle = (most + too_many) // 2
        most, too_many = (middle, too_many) if _try_to_pass(middle) == "ok" else (most, middle)
    return most


@probe(
    matters="Where the message is dropped without an error, the descriptors are lost unseen.",
    advice="Pass a few descriptors per message, and let the receiver say how many came.",
    symptoms=[
        "sendmsg() with SCM_RIGHTS: Invalid argument, EINVAL, or Argument list too long, for many "
        "fds",
    ],
    reference="unix(7) Linux: EINVAL; sendmsg(2); NetBSD PR kern/60832",
    documented={"linux": "EINVAL"},
)
def passed_too_many() -> str:
    """What does sendmsg() of 1024 descriptors return?"""
    return _try_to_pass(FAR_TOO_MANY)


@probe(
    matters="A sender that must wait for the receiver before it closes is blocked by a slow one.",
    advice="If not, wait for an answer from the receiver before you close the descriptor.",
    symptoms=[
        "passed file descriptor is dead on macOS if the sender closes it before it is received",
        "IPC is flaky: sender closes the fd after sendmsg(), receiver gets EOF or EBADF",
    ],
    reference="sendmsg(2) FreeBSD: BUGS; unix(7) Linux; postfix sys_defs.h",
)
def passed_then_closed() -> Any:
    """Does a descriptor arrive if the sender closes it and its socket right after passing it?"""
    with _make_pair() as (sender, receiver):
        reading, writing = os.pipe()
        _pass(sender, writing)
        os.close(writing)
        sender.close()
        data, received, _ = _take(receiver)
        if (data, len(received)) != (b"x", 1):
            return Sample(False, f"{len(received)} descriptors with {data!r}")
        os.write(received[0], b"z")
        return os.read(reading, 1) == b"z"


@probe(
    matters="A protocol that announces a descriptor by a line before it breaks.",
    advice="If not, pass the descriptor with the first byte of the message.",
    symptoms=[
        "recvmsg() returns the data without the file descriptor: it was read by plain read() "
        "before",
    ],
    reference="unix(7) Linux: Ancillary messages; postfix sys_defs.h",
    documented={"linux": True},
)
def passed_after_data() -> Any:
    """Does a descriptor arrive if plain data was written, and read, before it?"""
    with _make_pair() as (sender, receiver):
        sender.send(b"data")
        _pass(sender, 0)
        sender.shutdown(socket.SHUT_WR)
        data = receiver.recv(4)
        more, received, _ = _take(receiver)
        return len(received) == 1 or Sample(False, f"{data!r}, {more!r}")


@probe(
    matters="A large read takes the request before the descriptor, or the one after it, with it.",
    advice="Read exactly one message, by a length, when it may carry a descriptor.",
    symptoms=[
        "file descriptor is matched with the wrong message: stream reads run together",
    ],
    reference="unix(7) Linux: Ancillary messages; sys/kern/uipc_usrreq.c FreeBSD",
    # "The first call will receive five bytes of data, along with the ancillary data"
    documented={"linux": "ab"},
)
def passed_read_with() -> str:
    """Of a, b with a descriptor, and c, which does the large read that gets it return?"""
    with _make_pair() as (sender, receiver):
        sender.send(b"a")
        _pass(sender, 0, data=b"b")
        sender.send(b"c")
        sender.shutdown(socket.SHUT_WR)
        data = b"the first"
        while data:
            data, received, _ = _take(receiver)
            if received:
                return data.decode()
    raise Unsupported("no descriptor arrives after data")


@probe(
    matters="A receiver that expects one descriptor per read leaks those of the next message.",
    advice="Give recvmsg() room for several, and match descriptors with messages by a count.",
    symptoms=[
        "one recvmsg() returns the file descriptors of several messages, the others leak",
    ],
    reference="unix(7) Linux: Ancillary messages; recvmsg(2)",
)
def passed_per_read() -> int:
    """How many descriptors does one large read return, of two messages with one each?"""
    with _make_pair() as (sender, receiver):
        _pass(sender, 0)
        _pass(sender, 0)
        return len(_take(receiver)[1])


def _gets_cloexec(inheritable: bool, flags: int = 0) -> bool:
    """Return whether a descriptor that is ``inheritable`` arrives with FD_CLOEXEC."""
    with _make_pair() as (sender, receiver):
        passed = os.dup(0)
        os.set_inheritable(passed, inheritable)
        _pass(sender, passed)
        for received in _take(receiver, flags=flags)[1]:
            return not os.get_inheritable(received)
    raise Unsupported("no descriptor arrives")


@probe(
    matters="A descriptor that its sender marked close-on-exec leaks into the receiver's children.",
    advice="Receive with MSG_CMSG_CLOEXEC, or set FD_CLOEXEC on what arrives.",
    symptoms=[
        "received file descriptors leak into child processes, though the sender set FD_CLOEXEC",
    ],
    reference="unix(7) Linux; unix(4) FreeBSD, NetBSD, OpenBSD: flags are not passed",
    documented=dict.fromkeys(("freebsd", "netbsd", "openbsd"), False),
)
def passed_keeps_cloexec() -> bool:
    """Does a passed descriptor arrive with its sender's FD_CLOEXEC?"""
    return _gets_cloexec(inheritable=False)


@probe(
    matters="Another thread that forks and executes in between takes the descriptor with it.",
    advice="Receive with MSG_CMSG_CLOEXEC where it exists; otherwise fork under the same lock.",
    symptoms=[
        "MSG_CMSG_CLOEXEC undeclared: macOS does not build",
        "race: fork in another thread inherits fds of recvmsg(), before fcntl() sets close-on-exec",
    ],
    reference="recvmsg(2) Linux, FreeBSD; POSIX.1-2024 XSH recvmsg: MSG_CMSG_CLOEXEC",
    documented={"linux": True, "freebsd": True, "posix": True},
)
def msg_cmsg_cloexec() -> bool:
    """Does MSG_CMSG_CLOEXEC make a passed descriptor close-on-exec?"""
    flag = absent.get_constant(socket, "MSG_CMSG_CLOEXEC")
    return _gets_cloexec(inheritable=True, flags=flag)


@probe(
    matters="A descriptor that is passed with an empty message vanishes without an error.",
    advice="Send at least one byte with every descriptor.",
    symptoms=[
        "sendmsg() of only a file descriptor, with an empty iovec: receiver waits, nothing arrives",
    ],
    reference="unix(7) Linux: at least one byte of real data; sendmsg(2)",
    documented={"linux": "dropped"},
)
def passed_without_data() -> str:
    """What becomes of a descriptor that is passed on a Unix stream with no data?"""
    with _make_pair() as (sender, receiver):
        error = _try("sendmsg", lambda: _pass(sender, 0, data=b""))
        if error != "ok":
            return error
        sender.send(b"x")
        while True:
            data, received, _ = _take(receiver)
            if data or received:
                return "arrives" if received else "dropped"


def _get_peer_uid(end: socket.socket) -> int:
    if libc.has("getpeereid"):
        uid, gid = c_uint32(), c_uint32()
        libc.call("getpeereid", end.fileno(), byref(uid), byref(gid))
        return uid.value
    if not libc.LINUX:
        raise Unsupported("this system has neither getpeereid() nor a socket option the lab knows")
    # struct ucred of unix(7): pid_t, uid_t, gid_t.
    option = absent.get_constant(socket, "SO_PEERCRED")
    return int(struct.unpack("iII", end.getsockopt(socket.SOL_SOCKET, option, 12))[1])


_FIRST_UID = 60001


def _name_moments(*moments: str) -> dict[int, str]:
    """Return what each user id of a peer means: the asking process is root."""
    return {0: "the asking process", **dict(enumerate(moments, _FIRST_UID))}


def _change_user(moments: dict[int, str], moment: str) -> None:
    """Take the effective user id of this moment."""
    uid = next(uid for uid, name in moments.items() if name == moment)
    try:
        os.seteuid(0)
        os.seteuid(uid)
    except OSError as error:
        raise Blocked(f"root may not become user {uid} here ({error.strerror})") from None


def _open_to_all() -> None:
    """Let every user bind in this folder, and connect to what is bound from now on."""
    privileges.require_second_uid()
    os.chmod(".", 0o777)
    os.umask(0)


def _read_moment(moments: dict[int, str], end: socket.socket) -> str:
    uid = _get_peer_uid(end)
    return moments.get(uid, f"user {uid}, which the peer never was")


@probe(
    matters="A set-user-ID client that drops its rights after connect() is still taken for root.",
    advice="Decide by the peer's credentials at connect(); drop rights before you connect.",
    symptoms=[
        "SO_PEERCRED shows root, or the old user, after the client dropped its privileges",
    ],
    reference="unix(7) Linux: SO_PEERCRED; unix(4) FreeBSD: LOCAL_PEERCRED; getpeereid(3)",
    documented={"linux": "connect()", "freebsd": "connect()"},
)
def client_credentials_of() -> str:
    """From which moment are the credentials that a Unix server sees of its client?"""
    _open_to_all()
    moments = _name_moments("socket()", "connect()", "now")

    def connect(parent: children.Channel) -> None:
        _change_user(moments, "socket()")
        with _make() as client:
            _change_user(moments, "connect()")
            client.connect(PATH)
            _change_user(moments, "now")
            parent.send("connected")
            parent.receive()

    with _listen() as listening, children.fork(connect) as child:
        child.receive()
        server, _ = listening.accept()
        with server:
            return _read_moment(moments, server)


@probe(
    matters="A daemon that binds as root and then drops rights is seen as root, or as its user.",
    advice="Compare the server's user id with that at listen(): listen after you drop rights.",
    symptoms=[
        "client refuses the server: SO_PEERCRED of the listener says root, or the parent that "
        "listens",
    ],
    reference="unix(4) FreeBSD: LOCAL_PEERCRED; net/unix/af_unix.c Linux: unix_listen",
    documented={"freebsd": "listen()"},
)
def server_credentials_of() -> str:
    """From which moment are the credentials that a Unix client sees of its server?"""
    _open_to_all()
    moments = _name_moments("socket()", "bind()", "listen()", "accept()", "now")

    def serve(parent: children.Channel) -> None:
        _change_user(moments, "socket()")
        with _make() as listening:
            _change_user(moments, "bind()")
            listening.bind(PATH)
            _change_user(moments, "listen()")
            listening.listen(1)
            _change_user(moments, "accept()")
            parent.send("listening")
            server, _ = listening.accept()
            _change_user(moments, "now")
            with server:
                parent.send("accepted")
                parent.receive()

    with children.fork(serve) as child, _make() as client:
        child.receive()
        # If this is refused the child has ended, and the next message says why.
        _name_connected(client.connect_ex(PATH))
        child.receive()
        return _read_moment(moments, client)


# The option, its level and number, and where in its structure the process id is: sys/socket.h and
# sys/un.h of each; struct xucred of FreeBSD ends with a union of a pointer and the id.
_POINTER = struct.calcsize("P")
_PEER_PIDS = {
    "Linux": ("SO_PEERCRED", socket.SOL_SOCKET, None, 0),  # It has several numbers there.
    "FreeBSD": ("LOCAL_PEERCRED", 0, 1, (76 + _POINTER - 1) // _POINTER * _POINTER),
    "NetBSD": ("LOCAL_PEEREID", 0, 3, 0),
    "OpenBSD": ("SO_PEERCRED", socket.SOL_SOCKET, 0x1022, 8),
    "macOS": ("LOCAL_PEERPID", 0, 2, 0),
}


@probe(
    matters="An agent that asks who its client is by process id has no portable call for it.",
    advice="Decide by user id; a process id may be another process's by the time you look.",
    symptoms=[
        "SO_PEERCRED, LOCAL_PEERCRED, LOCAL_PEERPID: pid of the peer is missing on FreeBSD or "
        "macOS",
    ],
    reference="unix(7) Linux; sys/ucred.h FreeBSD; sys/un.h NetBSD, macOS; getsockopt(2) OpenBSD",
    documented={"linux": "SO_PEERCRED"},
    light=True,
)
def peer_pid() -> str:
    """Which socket option tells the process id of a Unix socket's peer?"""
    if libc.SYSTEM not in _PEER_PIDS:
        raise Unsupported(f"{libc.SYSTEM} has no such option that the lab knows")
    name, level, number, at = _PEER_PIDS[libc.SYSTEM]
    option = absent.get_constant(socket, name) if number is None else number

    def connect(parent: children.Channel) -> None:
        with _make() as client:
            client.connect(PATH)
            parent.send("connected")
            parent.receive()

    with _listen() as listening, children.fork(connect) as child:
        child.receive()
        server, _ = listening.accept()
        with server:
            try:
                raw = server.getsockopt(level, option, 256)[at : at + INT]
            except OSError as error:
                refused = libc.name_error(error, "getsockopt")
                raise Unsupported(f"{name} gives {refused}") from None
    pid = int(struct.unpack("i", raw)[0]) if len(raw) == INT else 0
    if not pid:
        raise Unsupported(f"{name} tells no process id")
    return name if pid == child.pid else "wrong"
