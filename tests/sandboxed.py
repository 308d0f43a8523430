"""Run a program under a seccomp filter that refuses some system calls, as a container's does.

    python3 tests/sandboxed.py EPERM close_range,prctl -- python3 -m probes report

The names of the calls are in the table below, for x86-64 only.  ``unknown`` in place of a name
refuses every call above the last of Linux 5.4, as Docker did before 20.10.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

# arch/x86/entry/syscalls/syscall_64.tbl of Linux.
NUMBERS = {
    "accept4": 288,
    "access": 21,
    "bind": 49,
    "capget": 125,
    "chmod": 90,
    "chown": 92,
    "chroot": 161,
    "clone3": 435,
    "close_range": 436,
    "connect": 42,
    "epoll_create1": 291,
    "faccessat": 269,
    "fchmod": 91,
    "fchmodat": 268,
    "fchownat": 260,
    "getsockopt": 55,
    "kill": 62,
    "listen": 50,
    "msgget": 68,
    "pipe2": 293,
    "prctl": 157,
    "recvfrom": 45,
    "recvmsg": 47,
    "rename": 82,
    "sendfile": 40,
    "sendmsg": 46,
    "sendto": 44,
    "setgid": 106,
    "setgroups": 116,
    "setregid": 114,
    "setresgid": 119,
    "setresuid": 117,
    "setreuid": 113,
    "setuid": 105,
    "shutdown": 48,
    "signalfd4": 289,
    "socketpair": 53,
    "symlink": 88,
    "timerfd_create": 283,
    "unshare": 272,
}
SOCKET = 41
AFTER_5_4 = 436

# include/uapi/linux/filter.h, seccomp.h, audit.h, prctl.h.
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, FILTER = 22, 38, 2


def make_filter(refusal: int, names: list[str]) -> bytes:
    """Return the program of struct sock_filter that answers the named calls with ``refusal``."""
    program = [(LOAD, 0, 0, 0)]  # The number of the call.
    for name in names:
        if name == "unknown":
            program += [(AT_LEAST, 0, 1, AFTER_5_4), (RETURN, 0, 0, ERRNO | refusal)]
        elif name == "inet6":
            # socket(AF_INET6, …), which systemd's RestrictAddressFamilies= refuses.
            program += [
                (EQUAL, 0, 4, SOCKET),
                (LOAD, 0, 0, 16),  # Its first argument.
                (EQUAL, 0, 1, 10),
                (RETURN, 0, 0, ERRNO | refusal),
                (LOAD, 0, 0, 0),
            ]
        else:
            program += [(EQUAL, 0, 1, NUMBERS[name]), (RETURN, 0, 0, ERRNO | refusal)]
    program.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("HBBI", *line) for line in program)


def main() -> None:
    """Install the filter and become the program."""
    refusal, names, separator, *command = sys.argv[1:]
    assert separator == "--"
    program = make_filter(getattr(errno, refusal), names.split(","))
    room = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(room))
    library = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, FILTER, ctypes.c_char_p(header), 0, 0),
    ):
        if library.prctl(*(ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments)):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
