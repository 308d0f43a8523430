"""Users and groups: giving up root for good, what is left of it, and what it takes with it."""

from __future__ import annotations

import _thread
import array
import contextlib
import ctypes
import errno
import os
import resource
import signal
import stat
from ctypes import c_int, c_uint32, c_ulong
from dataclasses import dataclass
from typing import Any, Callable

from .. import absent, libc, refusals, run_program
from ..fact import CONFIGURED
from ..harness import children, privileges
from ..probe import Blocked, Sample, Unsupported, probe
from .signals import block_signals, queue_signal

OTHER = 65532
"""A user and group id beside `privileges.require_second_uid`'s."""


def _ask_root(question: Callable[[int], Any]) -> Any:
    """Return what ``question`` returns in a child that is root; it gets another user's id."""
    uid = privileges.require_second_uid()
    return children.run_in_child(lambda: question(uid))


def _change(name: str, *ids: Any) -> None:
    """Change ids by a call that root may make; raise Blocked if it may not here."""
    try:
        libc.call(name, *ids)
    except OSError as error:
        raise Blocked(f"root's {name}() fails here: {error.strerror}") from None


def _regain(*attempts: tuple[Any, ...]) -> bool:
    """Return whether one of the calls succeeds."""
    return any(libc.has(name) and libc.try_call(name, *ids) == "ok" for name, *ids in attempts)


def _regain_root() -> bool:
    return _regain(("seteuid", 0), ("setuid", 0), ("setreuid", 0, 0), ("setresuid", 0, 0, 0))


def _get_groups() -> list[int]:
    room = (c_uint32 * libc.call("getgroups", 0, None))()
    count = libc.call("getgroups", len(room), room)
    return list(room)[:count]


def _make_groups(*gids: int) -> tuple[int, Any]:
    """Return the arguments of setgroups()."""
    # Not from the numbers at once, which takes long if they are many.
    return len(gids), (c_uint32 * len(gids)).from_buffer(array.array("I", gids))


def _give(path: str, uid: int, gid: int = -1) -> None:
    """Change the owner and the group of a file as root may; raise Blocked if it may not here."""
    try:
        os.chown(path, uid, gid)
    except OSError as error:
        raise Blocked(f"root may not give a file away here ({error.strerror})") from None


@probe(
    matters="A daemon that keeps a saved id of root is root again after one injected call.",
    advice="Drop by setresuid(), or by setuid() as root; try to return, and stop if that works.",
    symptoms=[
        "setuid() leaves a saved user id: seteuid(0) gives root back",
    ],
    reference="setuid(2) Linux, FreeBSD, NetBSD, OpenBSD; POSIX XSH setuid",
    documented=dict.fromkeys(("linux", "freebsd", "netbsd", "openbsd", "posix"), True),
    light=True,
)
def setuid_drops_all() -> bool:
    """Does setuid() by root give up the real, the effective and the saved user id?"""

    def drop(uid: int) -> bool:
        _change("setuid", uid)
        return (os.getuid(), os.geteuid()) == (uid, uid) and not _regain_root()

    return bool(_ask_root(drop))


@probe(
    matters="A program that swaps its two user ids is stuck with one of them.",
    advice="Use seteuid() to give up a user id for a while.",
    symptoms=[
        "setreuid() to swap uid and euid fails on macOS: Operation not permitted",
    ],
    reference="setreuid(2) Linux; POSIX XSH setreuid",
    documented={"linux": True},
    light=True,
)
def setreuid_swaps() -> Any:
    """Can setreuid() swap the real and the effective user id, without root?"""

    def swap(uid: int) -> Any:
        _change("setreuid", uid, OTHER)
        for real, effective in ((OTHER, uid), (uid, OTHER)):
            done = libc.try_call("setreuid", real, effective)
            if (os.getuid(), os.geteuid()) != (real, effective):
                return done
        return "ok"

    done = _ask_root(swap)
    return done == "ok" or Sample(False, done)


@probe(
    matters="A daemon that drops root by setreuid() can be made to take it back.",
    advice="Drop by setresuid(), which names all three ids; try to return, and stop if that works.",
    symptoms=[
        "process becomes root again after it dropped privileges by setreuid()",
    ],
    reference="setreuid(2) Linux; POSIX XSH setreuid",
    documented={"linux": True},
    light=True,
)
def setreuid_drops_for_good() -> bool:
    """Does setreuid() by root to one other user give up root for good?"""

    def drop(uid: int) -> bool:
        _change("setreuid", uid, uid)
        return not _regain_root()

    return bool(_ask_root(drop))


@probe(
    matters="A daemon that gives up root for a while cannot reopen its log or its port.",
    advice="If not, keep a parent process that is root, or open everything before.",
    symptoms=[
        "seteuid(0): Operation not permitted, cannot get root privileges back",
    ],
    reference="seteuid(2) Linux; setuid(2) FreeBSD, NetBSD, OpenBSD; POSIX XSH seteuid",
    documented=dict.fromkeys(("linux", "freebsd", "netbsd", "openbsd", "posix"), True),
    light=True,
)
def seteuid_round_trip() -> bool:
    """Can a process take back root after it gave it up by seteuid()?"""

    def travel(uid: int) -> bool:
        _change("seteuid", uid)
        return os.geteuid() == uid and libc.try_call("seteuid", 0) == "ok" and not os.geteuid()

    return bool(_ask_root(travel))


@probe(
    matters="A program that drops by seteuid() and then setuid() keeps the way back to root: the "
    "second call fails.",
    advice="Call seteuid(0) before the final setuid(), or setresuid() with all three ids.",
    symptoms=[
        "setuid() after seteuid() fails with EPERM, Operation not permitted; works on FreeBSD",
        "daemon is still root by its saved uid, after seteuid() and an unchecked setuid()",
    ],
    reference="setuid(2) Linux, FreeBSD, NetBSD, OpenBSD: which ids are permitted",
    documented={
        **dict.fromkeys(("linux", "netbsd", "posix"), "EPERM"),
        **dict.fromkeys(("freebsd", "openbsd"), "root for good"),
    },
    light=True,
)
def setuid_after_seteuid() -> str:
    """After seteuid(), what does setuid() to the same user give up?"""

    def drop(uid: int) -> str:
        _change("seteuid", uid)
        done = libc.try_call("setuid", uid)
        return done if done != "ok" else "nothing" if _regain_root() else "root for good"

    return str(_ask_root(drop))


_IDS = {"setgid": 1, "setregid": 2, "setresgid": 3}


@probe(
    each={f"{name}_drops_for_good": name for name in _IDS},
    matters="A daemon that dropped its group can be made to take it back, and read its files.",
    advice="Drop groups by setgroups() and setresgid() before the user; try to return.",
    symptoms=[
        "gid 0 or wheel comes back after {row}(): group privileges are not dropped",
    ],
    reference="setgid(2), setregid(2), setresgid(2)",
    documented=lambda name: dict.fromkeys(("linux", "freebsd"), True) if name == "setgid" else {},
    light=True,
)
def group_drops_for_good(name: str) -> bool:
    """Does {row}() by root give up the group for good, once root is given up too?"""

    def drop(uid: int) -> bool:
        _change("setgid", 0)
        _change(name, *[uid] * _IDS[name])
        _change("setuid", uid)
        back = ("setegid", 0), ("setgid", 0), ("setregid", 0, 0), ("setresgid", 0, 0, 0)
        return (os.getgid(), os.getegid()) == (uid, uid) and not _regain(*back)

    return bool(_ask_root(drop))


@probe(
    matters="A program that gives up its group for a while cannot get it back.",
    advice="Change groups while root, and the user last.",
    symptoms=[
        "setegid() back to the old group fails: Operation not permitted",
    ],
    reference="seteuid(2) Linux; setuid(2) FreeBSD, NetBSD, OpenBSD; POSIX XSH setegid",
    documented=dict.fromkeys(("linux", "freebsd", "netbsd", "openbsd", "posix"), True),
    light=True,
)
def setegid_round_trip() -> bool:
    """Can a process take back a group that it gave up by setegid(), without root?"""

    def travel(uid: int) -> bool:
        _change("setgid", 0)
        _change("setegid", uid)
        _change("seteuid", uid)
        return os.getegid() == uid and libc.try_call("setegid", 0) == "ok" and not os.getegid()

    return bool(_ask_root(travel))


@probe(
    matters="A daemon that dropped to its user still reads what root's groups may read.",
    advice="Call setgroups() or initgroups() before setgid() and setuid().",
    symptoms=[
        "rpmlint: missing-call-to-setgroups-before-setuid",
        "daemon still has root's supplementary groups, as wheel or docker, after it dropped "
        "privileges",
    ],
    reference="setuid(2) OpenBSD, NetBSD: supplementary groups remain; credentials(7) Linux",
    documented={"netbsd": True, "openbsd": True},
    light=True,
)
def groups_survive_setuid() -> bool:
    """Does a process keep its supplementary groups after setgid() and setuid()?"""

    def drop(uid: int) -> bool:
        _change("setgroups", *_make_groups(OTHER))
        _change("setgid", uid)
        _change("setuid", uid)
        return OTHER in _get_groups()

    return bool(_ask_root(drop))


@probe(
    each={"setgroups_after_setuid": "setgroups", "setgid_after_setuid": "setgid"},
    matters="In the wrong order the daemon keeps root's groups, if it does not check the result.",
    advice="In this order: setgroups(), setgid(), setuid(). Stop if one of them fails.",
    symptoms=[
        "{row}: Operation not permitted, when dropping privileges as setuid() came first",
        "child with another uid and gid cannot be spawned: EPERM",
    ],
    reference="setgroups(2), setgid(2) Linux, FreeBSD: EPERM; POSIX XSH setgid: EPERM",
    documented=dict.fromkeys(("linux", "freebsd"), "EPERM"),
    light=True,
)
def group_after_setuid(name: str) -> str:
    """What does {row}() return after setuid() gave up root?"""

    def drop(uid: int) -> str:
        asked = _make_groups(OTHER) if name == "setgroups" else (OTHER,)
        # What a sandbox refuses, it refuses root too.
        _change(name, *asked)
        _change("setgid", uid)
        _change("setuid", uid)
        return libc.try_call(name, *asked)

    return str(_ask_root(drop))


@probe(
    matters="A daemon that sets its group first and then its list runs with another group.",
    advice="Call setgroups() before setgid(), and put the main group first in the list.",
    symptoms=[
        "wrong effective group after setgroups() on FreeBSD: the first group of the list replaces "
        "egid",
    ],
    reference="setgroups(2) Linux, FreeBSD: gidset[0] before release 15",
    light=True,
)
def setgroups_changes_egid() -> bool:
    """Does setgroups() change the effective group id?"""

    def change(uid: int) -> bool:
        _change("setgid", uid)
        _change("setgroups", *_make_groups(OTHER))
        return os.getegid() != uid

    return bool(_ask_root(change))


@probe(
    matters="A program that copies the list to setgroups() gains or loses its main group.",
    advice="Call getegid() as well, and add or remove it yourself.",
    symptoms=[
        "getgroups() lacks the primary group, or lists it twice: id and groups differ on FreeBSD "
        "15",
    ],
    reference="getgroups(2) Linux, FreeBSD: before release 15; POSIX XSH getgroups",
    light=True,
)
def getgroups_lists_egid() -> bool:
    """Does getgroups() list the effective group, if setgroups() did not?"""

    def ask(uid: int) -> bool:
        _change("setgroups", *_make_groups(OTHER))
        _change("setegid", uid)
        return uid in _get_groups()

    return bool(_ask_root(ask))


@probe(
    matters="A program that makes room for the count it was told loses groups, or writes past it.",
    advice="Ask again with more room if getgroups() fails with EINVAL.",
    symptoms=[
        "getgroups: Invalid argument, EINVAL: number of groups is wrong on macOS",
    ],
    reference="getgroups(2) Linux, FreeBSD, OpenBSD; POSIX XSH getgroups",
    documented=dict.fromkeys(("linux", "freebsd", "openbsd", "posix"), True),
    light=True,
)
def getgroups_counts() -> bool:
    """Does getgroups(0, NULL) return the number of groups?"""
    counted = libc.call("getgroups", 0, None)
    room = (c_uint32 * (max(counted, 0) + 64))()
    return counted == libc.call("getgroups", len(room), room)


@probe(
    matters="Users of many groups lose those beyond the limit, and with them their rights.",
    advice="Do not put a daemon's user in more than 16 groups: some systems take no more.",
    symptoms=[
        "user in more than 16 groups loses the rest on macOS; NGROUPS_MAX is 32 on musl, Alpine",
    ],
    reference="getgroups(2) Linux: NGROUPS_MAX; sysconf(3)",
    documented={"linux-glibc": 65536},
    light=True,
)
def groups_at_most() -> int:
    """How many supplementary groups does sysconf(_SC_NGROUPS_MAX) allow?"""
    return os.sysconf("SC_NGROUPS_MAX")


@probe(
    matters="Where the rest is cut off instead, a user gets other rights than the list says.",
    advice="Check what setgroups() and initgroups() return, and stop if they fail.",
    symptoms=[
        "setgroups: Invalid argument, EINVAL, for a user in too many groups",
    ],
    reference="setgroups(2) Linux, FreeBSD: EINVAL",
    documented={"linux": "EINVAL", "freebsd": "EINVAL"},
    light=True,
)
def setgroups_too_many() -> str:
    """What does setgroups() of more groups than sysconf() allows return?"""

    def ask(_: int) -> str:
        most = groups_at_most()
        _change("setgroups", *_make_groups(OTHER))
        if most < 0:
            raise Unsupported("sysconf() knows no limit")
        # FreeBSD takes one more than it tells.
        return libc.try_call("setgroups", *_make_groups(*range(most + 2)))

    return str(_ask_root(ask))


@probe(
    matters="A daemon whose user is in no group keeps root's, or runs without its own.",
    advice="Call initgroups() with the user's main group, and setgid() after it.",
    symptoms=[
        "daemon misses its primary group, or keeps root's groups, after initgroups()",
    ],
    reference="initgroups(3) Linux",
    documented={"linux": "the given one"},
    light=True,
)
def initgroups_sets() -> str:
    """Which groups does initgroups() set for a user who is in none?"""

    def ask(uid: int) -> str:
        _change("setgroups", *_make_groups(OTHER))
        _change("initgroups", b"probes-no-such-user", uid)
        groups = set(_get_groups())
        return "the given one" if groups == {uid} else "others too" if groups else "none"

    return str(_ask_root(ask))


_GET_DUMPABLE, _SET_DUMPABLE, _SET_KEEPCAPS = 3, 4, 8  # Linux, include/uapi/linux/prctl.h


def _prctl(option: int, value: int = 0) -> int:
    return libc.call("prctl", option, *map(c_ulong, (value, 0, 0, 0)))


@probe(
    matters="A daemon that crashed after it dropped root leaves no core file, and no debugger may "
    "attach.",
    advice="Set PR_SET_DUMPABLE to 1 after the user id is changed, if cores may show its secrets.",
    symptoms=[
        "no core dump of a daemon that was started as root: fs.suid_dumpable, PR_SET_DUMPABLE",
        "gdb, strace or /proc/self: Permission denied after the daemon dropped root privileges",
    ],
    reference="prctl(2), setuid(2), core(5) Linux: fs.suid_dumpable",
    documented={"linux": False},
    scope=CONFIGURED,
    light=True,
)
def dumpable_after_setuid() -> Sample:
    """Is a process that gave up root by setuid() dumpable?"""

    def drop(uid: int) -> int:
        if _prctl(_GET_DUMPABLE) != 1:
            raise Blocked("even root is not dumpable here")
        _change("setuid", uid)
        return _prctl(_GET_DUMPABLE)

    dumpable = _ask_root(drop)
    return Sample(dumpable == 1, dumpable)


@probe(
    matters="No call would bring back core files and /proc/self to a daemon that dropped root.",
    advice="Call prctl(PR_SET_DUMPABLE, 1) after the user id is changed, not before.",
    symptoms=[
        "prctl(PR_SET_DUMPABLE) has no effect, still no core file, as it was called before "
        "setuid()",
    ],
    reference="prctl(2) Linux: PR_SET_DUMPABLE",
    documented={"linux": True},
    light=True,
)
def dumpable_restored() -> bool:
    """Does PR_SET_DUMPABLE make a process dumpable again after setuid()?"""

    def drop(uid: int) -> bool:
        _change("setuid", uid)
        _prctl(_SET_DUMPABLE, 1)
        return _prctl(_GET_DUMPABLE) == 1

    return bool(_ask_root(drop))


def _get_permitted() -> int:
    """Return the permitted capabilities, each a bit, by capget(2) in its version 3."""
    header, sets = (c_uint32 * 2)(0x20080522, 0), (c_uint32 * 6)()
    libc.call("capget", header, sets)
    return sets[1] | sets[4] << 32


def _drop_with_capabilities(uid: int, keep: bool) -> bool:
    """Return whether any capability is left after setuid()."""
    if not _get_permitted():
        raise Blocked("root has no capabilities here: run the lab outside the sandbox")
    if keep:
        _prctl(_SET_KEEPCAPS, 1)
    _change("setuid", uid)
    return bool(_get_permitted())


@probe(
    matters="A daemon that dropped root could still bind low ports, or override file modes.",
    advice="Check that the permitted set is empty after setuid(), if it must be.",
    symptoms=[
        "capability CAP_NET_BIND_SERVICE or CAP_NET_RAW is lost after setuid(): Operation not "
        "permitted",
    ],
    reference="capabilities(7) Linux: Effect of user ID changes on capabilities",
    documented={"linux": True},
    light=True,
)
def setuid_drops_capabilities() -> bool:
    """Does a process lose its capabilities when it gives up root by setuid()?"""
    return not _ask_root(lambda uid: _drop_with_capabilities(uid, keep=False))


@probe(
    matters="A server that keeps one right, as to use a transparent proxy, cannot drop root.",
    advice="Set PR_SET_KEEPCAPS before setuid(), then drop all capabilities but those you need.",
    symptoms=[
        "capabilities are gone after the change of user: PR_SET_KEEPCAPS, SECBIT_KEEP_CAPS",
    ],
    reference="prctl(2), capabilities(7) Linux: SECBIT_KEEP_CAPS",
    documented={"linux": True},
    light=True,
)
def keepcaps_keeps() -> bool:
    """Does PR_SET_KEEPCAPS keep capabilities through setuid()?"""
    return bool(_ask_root(lambda uid: _drop_with_capabilities(uid, keep=True)))


def _give_up_new_privileges() -> None:
    """Ask that exec gives this process no privileges from now on."""
    if not (libc.LINUX or libc.FREEBSD):
        raise Unsupported(f"{libc.SYSTEM} has no such control that the lab knows")
    on = ctypes.byref(c_int(libc.PROC_NO_NEW_PRIVS_ENABLE))
    try:
        if libc.LINUX:
            _prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
        else:
            libc.call("procctl", libc.P_PID_FREEBSD, os.getpid(), libc.PROC_NO_NEW_PRIVS_CTL, on)
    except OSError as error:
        raise Unsupported(f"the kernel has no such control ({error.strerror})") from None


def _find_touch() -> str:
    for folder in os.defpath.split(os.pathsep):
        path = os.path.join(folder, "touch")
        if os.access(path, os.X_OK):
            return path
    raise Blocked("needs touch, which is not here: install coreutils")


def _prepare_set_user_id(uid: int) -> None:
    """Copy touch(1) to this folder as a set-user-ID program, which must become its owner."""
    os.chmod(".", 0o777)
    with open(_find_touch(), "rb") as original:
        _make_set_user_id("touch", uid, original.read())
    if not _becomes_owner("touch", uid):
        raise Blocked("no set-user-ID program works in the scratch folder: set TMPDIR to another")


def _make_set_user_id(name: str, uid: int, content: bytes) -> None:
    with open(name, "xb") as file:
        file.write(content)
    _give(name, uid)
    os.chmod(name, 0o4755)


def _becomes_owner(program: str, uid: int) -> bool:
    """Return whether a program, which creates the file it is given, runs as user ``uid``."""
    run_program.run([f"./{program}", "new"])
    try:
        owner = os.stat("new").st_uid
        os.unlink("new")
    except FileNotFoundError:
        raise Blocked(f"a copy of {_find_touch()} or a script for it does not run here") from None
    return owner == uid


@probe(
    matters="A worker that is broken into may still run a set-user-ID program and become root.",
    advice="Set it before the first client is served, if the platform has it.",
    symptoms=[
        "sudo: effective uid is not 0; the no new privileges flag is set, in a container or under "
        "bwrap",
        "ping, su or sudo fail as setuid binaries under systemd with NoNewPrivileges=yes",
    ],
    reference="prctl(2) Linux PR_SET_NO_NEW_PRIVS; procctl(2) FreeBSD PROC_NO_NEW_PRIVS_CTL",
    documented={"linux": True, "freebsd": True},
)
def no_new_privs_stops_set_user_id() -> bool:
    """Does no_new_privs keep a set-user-ID program from changing the user?"""
    uid = privileges.require_second_uid()
    _prepare_set_user_id(uid)
    _give_up_new_privileges()
    return not _becomes_owner("touch", uid)


@probe(
    matters="Where the bit counts, a link that is changed in time runs any script as its owner.",
    advice="Never set the bit on a script: write a small program, or use sudo.",
    symptoms=[
        "setuid bit on a shell or Perl script has no effect: script does not run as root",
    ],
    reference="execve(2) Linux: ignored for scripts; execve(2) FreeBSD",
    documented={"linux": "ignored"},
)
def set_user_id_script() -> str:
    """Is the set-user-ID bit of a script ignored or honoured?"""
    uid = privileges.require_second_uid()
    _prepare_set_user_id(uid)
    # Its interpreter is not a shell: some give up a user id that is not the caller's.
    _make_set_user_id("script", uid, os.fsencode(f"#!{_find_touch()}\n"))
    return "honoured" if _becomes_owner("script", uid) else "ignored"


_CAP_CHOWN, _CAP_FSETID = 1 << 0, 1 << 4  # Linux, include/uapi/linux/capability.h


def _become_user() -> None:
    """Be no root for the rest of the probe, in a folder of one's own."""
    os.mkdir("own")
    if os.geteuid():
        if libc.LINUX and _get_permitted() & (_CAP_CHOWN | _CAP_FSETID):
            raise Blocked("this user has CAP_CHOWN or CAP_FSETID: run the lab without them")
        os.chdir("own")
        return
    uid = privileges.require_second_uid()
    os.chmod(".", 0o711)
    _give("own", uid, uid)
    os.chdir("own")
    privileges.become_user(uid)


def _create(name: str, mode: int = 0o600) -> None:
    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    os.chmod(name, mode)
    if stat.S_IMODE(os.stat(name).st_mode) != mode:
        raise Blocked("the scratch file system keeps no such modes: set TMPDIR to another")


def _tell_bit(name: str, bit: int) -> str:
    return "kept" if os.stat(name).st_mode & bit else "cleared"


@probe(
    matters="Where it stays, all who may write to a set-user-ID program may become its owner.",
    advice="Let only the owner write to such a program; check its mode after every change.",
    symptoms=[
        "setuid bit disappears when the program is rebuilt or written to",
    ],
    reference="chmod(2) Linux; POSIX XSH write: may be cleared",
    scope=CONFIGURED,
)
def write_to_set_user_id() -> str:
    """What happens to the set-user-ID bit when a user without privileges writes to the file?"""
    _become_user()
    _create("file", 0o4755)
    writing = os.open("file", os.O_WRONLY)  # Truncating it would count as a change too.
    os.write(writing, b"x")
    os.close(writing)
    return _tell_bit("file", stat.S_ISUID)


@probe(
    matters="An installer that sets the mode before the owner loses the bit, or leaves it on.",
    advice="Call chown() first and chmod() after it, each time.",
    symptoms=[
        "chown removes the setuid bit: install -m 4755 or tar leaves mode 755",
        "Docker COPY loses the setuid bit of sudo: lchown() after chmod()",
    ],
    reference="chown(2) Linux: root is treated like other users; chown(2) FreeBSD",
    documented={"linux": "cleared", "freebsd": "kept"},
    scope=CONFIGURED,
)
def chown_by_root_of_set_user_id() -> str:
    """What happens to the set-user-ID bit when root changes the owner?"""
    uid = privileges.require_second_uid()
    _create("file", 0o4755)
    _give("file", uid)
    return _tell_bit("file", stat.S_ISUID)


def _give_away() -> str:
    _create("file")
    os.chown("file", os.geteuid(), -1)  # What a sandbox refuses, it refuses here too.
    try:
        os.chown("file", OTHER, -1)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise Blocked(f"there is no user {OTHER} in this user namespace") from None
        return libc.name_errno(error.errno)
    return "ok"


@probe(
    matters="Where it works, users escape their quota, and a file's owner proves nothing.",
    advice="Do not take the owner of a file as its author; check the folder as well.",
    symptoms=[
        "chown: Operation not permitted for my own file",
    ],
    reference="chown(2) Linux, FreeBSD; POSIX XSH chown: _POSIX_CHOWN_RESTRICTED",
    documented={"linux": "EPERM", "freebsd": "EPERM"},
    scope=CONFIGURED,
)
def chown_own_file_away() -> str:
    """What does chown() of one's own file to another user return?"""
    _become_user()
    return _give_away()


@probe(
    matters="A mail program that trusts the owner of a file decides by pathconf() whether it may.",
    advice="Try chown() on a file of your own instead of asking pathconf().",
    symptoms=[
        "_PC_CHOWN_RESTRICTED, _POSIX_CHOWN_RESTRICTED is wrong",
    ],
    reference="pathconf(3); POSIX XSH chown: _POSIX_CHOWN_RESTRICTED",
    documented={"posix": True},
    scope=CONFIGURED,
)
def chown_restricted_told() -> bool:
    """Does pathconf(_PC_CHOWN_RESTRICTED) tell whether chown() is restricted?"""
    _become_user()
    return (os.pathconf(".", "PC_CHOWN_RESTRICTED") != -1) == (_give_away() != "ok")


@probe(
    matters="A script that sets the bit for a group it is not in is told of no error, or stops.",
    advice="Set the group and the set-group-ID bit as root, and check the mode that results.",
    symptoms=[
        "chmod g+s: Operation not permitted in /tmp on macOS or BSD, group is wheel",
        "setgid bit is missing after chmod 2755, without an error",
    ],
    reference="chmod(2) Linux: S_ISGID; POSIX XSH chmod",
    documented={"linux": "cleared", "posix": "cleared"},
    scope=CONFIGURED,
)
def chmod_set_group_id_of_foreign_group() -> str:
    """What does chmod(02755) of one's own file do, if the caller is not in its group?"""
    uid = privileges.require_second_uid()
    os.chmod(".", 0o711)
    _create("file", 0o2755)
    _give("file", uid, OTHER)
    privileges.become_user(uid)
    os.chmod("file", 0o755)  # What a sandbox refuses, it refuses here too.
    try:
        os.chmod("file", 0o2755)
    except OSError as error:
        return libc.name_errno(error.errno)
    return _tell_bit("file", stat.S_ISGID)


@probe(
    matters="Files that two users share in a folder belong to its group here, to each one's there.",
    advice="Set the set-group-ID bit on the folder: then its group counts everywhere.",
    symptoms=[
        "new files belong to group wheel on macOS and FreeBSD: test of gid fails in /tmp",
    ],
    reference="open(2) Linux: O_CREAT; open(2) FreeBSD; POSIX XSH open",
    documented={"linux": "the process's"},
    scope=CONFIGURED,
)
def new_file_group() -> str:
    """Which group does a new file get, the process's or the folder's?"""
    privileges.require_second_uid()
    os.mkdir("folder", 0o755)
    _give("folder", -1, OTHER)
    os.chmod("folder", 0o755)
    _create("folder/file")
    group = os.stat("folder/file").st_gid
    if group not in (OTHER, os.getegid()):
        raise Blocked(f"the scratch file system gives new files group {group}: set TMPDIR")
    return "the folder's" if group == OTHER else "the process's"


@probe(
    matters="A set-user-ID program that asks access() before open() checks the wrong user.",
    advice="Open with the effective ids you mean, and take open()'s error; never ask before.",
    symptoms=[
        "setuid program: access() says Permission denied, yet open() works",
    ],
    reference="access(2) Linux; POSIX XSH access",
    documented={"linux": "real", "posix": "real"},
)
def access_checks() -> str:
    """Which user id does access() check?"""
    uid = privileges.require_second_uid()
    os.chmod(".", 0o711)
    _create("file")
    if not os.access("file", os.R_OK):
        raise Blocked("access() says that root may not read its own file: leave the sandbox")
    _change("seteuid", uid)
    with contextlib.suppress(PermissionError):
        os.close(os.open("file", os.O_RDONLY))
        raise Blocked("another user may read a file of mode 0600 here")
    return "real" if os.access("file", os.R_OK) else "effective"


@probe(
    matters="A daemon that dropped root cannot reopen /dev/stderr or /dev/stdout to log.",
    advice="Write to the descriptors that are open; do not open /dev/stderr by its name.",
    symptoms=[
        "cannot open /dev/stderr or /dev/stdout: Permission denied in Docker, after su or setuid",
        "/proc/self/fd/2 cannot be opened as error log by an unprivileged worker",
    ],
    reference="proc(5) Linux: /proc/pid/fd; fd(4) FreeBSD",
    light=True,
)
def dev_fd_after_setuid() -> str:
    """What does opening /dev/fd/N of one's own pipe return after setuid()?"""

    def drop(uid: int) -> str:
        _, writing = os.pipe()
        path = f"/dev/fd/{writing}".encode()
        if libc.try_call("open", path, os.O_WRONLY) != "ok":
            raise Blocked("/dev/fd does not show open files: mount /proc, or fdescfs on FreeBSD")
        _change("setuid", uid)
        return libc.try_call("open", path, os.O_WRONLY)

    return str(_ask_root(drop))


@probe(
    matters="A user whose id a daemon takes for a moment could stop it by a signal.",
    advice="Use seteuid() for a moment's change; setuid() and setreuid() let that user signal.",
    symptoms=[
        "unprivileged user can kill a daemon while it runs with that user's euid",
    ],
    reference="kill(2) Linux: the real or saved id of the target; POSIX XSH kill",
    documented={"linux": "EPERM", "posix": "EPERM"},
    light=True,
)
def signal_to_seteuid() -> str:
    """What does kill() return to a user whose id the target took by seteuid()?"""

    def ask(uid: int) -> str:
        def target(parent: children.Channel) -> None:
            _change("seteuid", uid)
            parent.send("ready")
            parent.receive()

        with children.fork(target) as child:
            child.receive()
            _change("kill", child.pid, 0)  # What a sandbox refuses, it refuses root too.
            privileges.become_user(uid)
            answer = libc.try_call("kill", child.pid, 0)
            child.send("end")
            child.wait()
        return answer

    return str(_ask_root(ask))


@probe(
    matters="A daemon that took a user's id for a moment cannot signal its own workers, or may.",
    advice="Signal while you have your own user id.",
    symptoms=[
        "kill: Operation not permitted for its own children, after seteuid()",
    ],
    reference="kill(2) Linux: the real or effective id of the sender; POSIX XSH kill",
    documented={"linux": "ok", "posix": "ok"},
    light=True,
)
def signal_by_seteuid() -> str:
    """After seteuid() to another user, what does kill() of a process of the old user return?"""

    def ask(uid: int) -> str:
        parent = os.getppid()
        _change("kill", parent, 0)  # What a sandbox refuses, it refuses root too.
        _change("seteuid", uid)
        return libc.try_call("kill", parent, 0)

    return str(_ask_root(ask))


@probe(
    matters="A thread that drops root would leave the others root, in the same memory.",
    advice="Drop before the first thread, by the C library's calls and never by syscall().",
    symptoms=[
        "setuid() only changes the current thread, others stay root: Go, raw syscall, setxid",
    ],
    reference="setuid(2) Linux: C library/kernel differences; POSIX XSH 2.9; nptl(7)",
    documented={"linux-glibc": True, "posix": True},
    light=True,
)
def setuid_changes_all_threads() -> bool:
    """Does setuid() in one thread change the user of the others?"""

    def drop(uid: int) -> bool:
        dropped, tell = os.pipe()
        told, answer = os.pipe()

        def other() -> None:
            os.read(dropped, 1)
            os.write(answer, b"yes" if os.geteuid() == uid else b"no")

        # Linux C libraries reach the other threads by a signal that needs a place in a queue.
        needs_queue = libc.has("sigqueue") and hasattr(signal, "SIGRTMIN")
        if needs_queue:
            block_signals(signal.SIGRTMIN)
        try:
            _thread.start_new_thread(other, ())
        except RuntimeError:
            raise Blocked(refusals.PROCESSES) from None
        _change("setuid", uid)
        os.write(tell, b"x")
        changed = os.read(told, 3) == b"yes"
        if not changed and needs_queue:
            queue_signal(signal.SIGRTMIN)
        return changed

    return bool(_ask_root(drop))


def _exceed_processes(uid: int) -> tuple[str, str]:
    """Return the results of setuid() to a user with too many processes, and of exec after it."""
    limit = absent.get_constant(resource, "RLIMIT_NPROC")

    def exist(parent: children.Channel) -> None:
        privileges.become_user(uid)
        parent.send("here")
        parent.receive()

    with children.fork(exist) as child:
        child.receive()
        _, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (0, hard))
        changed = libc.try_call("setuid", uid)
        executed = ""
        if changed == "ok":
            try:
                os.execv("/missing", ["missing"])
            except OSError as error:
                # The limit comes first: Linux checks it before the file and its folder.
                late = error.errno in (errno.ENOENT, errno.EACCES)
                executed = "ok" if late else libc.name_error(error, "execve")
        child.send("end")
        child.wait()
    return changed, executed


@probe(
    matters="A daemon that does not check setuid() stays root where it fails at the user's limit.",
    advice="Check setuid() and stop if it fails; expect the limit at exec too.",
    symptoms=[
        "setuid: Resource temporarily unavailable, EAGAIN, RLIMIT_NPROC; daemon stays root",
    ],
    reference="setuid(2), execve(2) Linux: EAGAIN",
    documented={"linux": "ok"},
    light=True,
)
def setuid_over_process_limit() -> str:
    """What does setuid() to a user over RLIMIT_NPROC return?"""
    return str(_ask_root(_exceed_processes)[0])


@probe(
    matters="A daemon starts no helper for a user who is at the limit, and has an odd error.",
    advice="Take EAGAIN of exec for too many processes of the user: raise RLIMIT_NPROC.",
    symptoms=[
        "exec: Resource temporarily unavailable, though fork worked: nproc limit of the user",
    ],
    reference="execve(2) Linux: EAGAIN",
    documented={"linux": "EAGAIN"},
    light=True,
)
def exec_over_process_limit() -> str:
    """What does exec return after setuid() to a user over RLIMIT_NPROC?"""
    changed, executed = _ask_root(_exceed_processes)
    if changed != "ok":
        raise Unsupported(f"setuid() itself fails with {changed}")
    return str(executed)


def _refuse_by_filter(error: OSError) -> None:
    """Raise Blocked if a seccomp filter may be what refused the call."""
    if error.errno in (errno.EPERM, errno.EACCES) and refusals.has_seccomp_filter():
        raise refusals.explain(error) or error


def _ask_in_namespace(name: str, *arguments: Any) -> str:
    """Return what a call returns to a user without privileges in a user namespace of its own."""
    if not libc.LINUX:
        raise Unsupported(f"{libc.SYSTEM} has no user namespaces")
    uid = privileges.require_second_uid() if not os.geteuid() else None

    def ask() -> str:
        if uid is not None:
            privileges.become_user(uid)
        if name != "unshare":
            # Otherwise /proc/self is root's, and the maps cannot be written.
            _prctl(_SET_DUMPABLE, 1)
            try:
                privileges.unshare(libc.CLONE_NEWUSER)
            except OSError as error:
                why = f"this user may have no user namespace here ({error.strerror})"
                raise Blocked(why) from None
        try:
            libc.call(name, *arguments)
        except OSError as error:
            _refuse_by_filter(error)
            return libc.name_errno(error.errno)
        return "ok"

    return str(children.run_in_child(ask))


@probe(
    matters="Browsers, containers and sandboxes without root fail where users may not have one.",
    advice="Take EPERM and ENOSPC as 'switched off here', and fall back on what root set up.",
    symptoms=[
        "No permissions to create a new namespace: bwrap, Chrome or Flatpak sandbox does not start",
        "unshare: Operation not permitted, or No space left on device: "
        "kernel.unprivileged_userns_clone, apparmor_restrict_unprivileged_userns",
    ],
    reference="user_namespaces(7), unshare(2), namespaces(7) Linux: user.max_user_namespaces",
    scope=CONFIGURED,
    light=True,
)
def user_namespace_by_user() -> str:
    """What does unshare(CLONE_NEWUSER) return to a user without privileges?"""
    return _ask_in_namespace("unshare", libc.CLONE_NEWUSER)


@dataclass(frozen=True)
class _Call:
    text: str
    name: str
    arguments: tuple[Any, ...]
    documented: str = ""

    def __str__(self) -> str:
        return self.text


@probe(
    each={
        "user_namespace_setgroups": _Call("setgroups()", "setgroups", (0, None), "EPERM"),
        "user_namespace_setuid": _Call("setuid() to another user", "setuid", (OTHER,), "EINVAL"),
        "user_namespace_chroot": _Call("chroot()", "chroot", (b"/",)),
    },
    matters="A daemon that is root of a container without privileges fails as it drops its rights.",
    advice="Map the ids you need by newuidmap and newgidmap, or do not drop what was never there.",
    symptoms=[
        "rootless container, podman: {row} fails, Operation not permitted or Invalid argument",
        "uid is not mapped, newuidmap, fakeroot: apt or su cannot drop privileges",
    ],
    reference="user_namespaces(7), setuid(2): EINVAL, setgroups(2): EPERM Linux",
    documented=lambda call: {"linux": call.documented} if call.documented else {},
    scope=CONFIGURED,
    light=True,
)
def user_namespace_allows(call: _Call) -> str:
    """What does {row} return in a user namespace that a user without privileges made?"""
    return _ask_in_namespace(call.name, *call.arguments)
