"""The files family can be wrong: change the world, see the answers flip."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes import Report
from probes.fact import BLOCKED
from tests.catalogue import test_terminals
from tests.worlds import flipped, measure, needs_linux, needs_root, shim

pytestmark = needs_linux

HEADERS = r"""
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL(why) return errno = why, -1
static int is(int fd, mode_t kind)
{
    struct stat s;
    return fstat(fd, &s) == 0 && (s.st_mode & S_IFMT) == kind;
}
/* Another open file description in place of fd's. */
static void reopen(int fd)
{
    char path[40];
    sprintf(path, "/proc/self/fd/%d", fd);
    int fresh = REAL(open)(path, fcntl(fd, F_GETFL) & ~(O_CREAT | O_TRUNC | O_EXCL));
    dup2(fresh, fd);
    close(fresh);
}
"""


def write_open(rule: str) -> str:
    """Return an open() that applies ``rule`` first; ``s`` is the result of stat() for the path."""
    body = (
        "(const char *path, int flags, ...) { va_list rest; va_start(rest, flags);"
        " mode_t mode = va_arg(rest, mode_t); va_end(rest); struct stat s = {0}; stat(path, &s);"
        + rule
        + " return REAL(open)(path, flags, mode); }\n"
    )
    return "int open" + body + "int open64" + body


def write_write(rule: str) -> str:
    """Return a write() that applies ``rule`` first."""
    head = "ssize_t write(int fd, const void *data, size_t n)"
    return f"{head} {{ {rule} return REAL(write)(fd, data, n); }}"


# Only sendfile64(), because that is the call which the lab uses on Linux.
SENDFILE = r"""
#define OFFSET long long
ssize_t sendfile64(int out, int in, off_t *at, size_t n) { FAIL(ENOSYS); }
static ssize_t send_part(int out, int in, OFFSET at, size_t n)
{
    char part[4096];
    return is(out, S_IFSOCK) ? write(out, part, pread(in, part, n, at)) : 0;
}
"""
NO_SENDFILE = {
    f"files.sendfile_{what}": "unsupported"
    for what in ("to_socket", "keeps_offset", "to_file", "at_end")
}

WORLDS = {
    "a write that is torn where a process may be preempted": (
        write_write(
            r"""
            if (n >= 1024 && fcntl(fd, F_GETFL) & O_APPEND) {
                ssize_t half = REAL(write)(fd, data, n / 2);
                sched_yield();
                return half + REAL(write)(fd, (const char *)data + half, n - half);
            }
            """
        ),
        {"files.append_whole_kib": "0"},
    ),
    "O_APPEND is ignored": (
        write_open("flags &= ~O_APPEND;"),
        {
            "files.append_whole_kib": "0",
            "files.pwrite_ignores_offset_with_append": "no",
        },
    ),
    "pwrite does as POSIX says": (
        r"""
        ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
        {
            int flags = fcntl(fd, F_GETFL);
            fcntl(fd, F_SETFL, flags & ~O_APPEND);
            ssize_t written = REAL(pwrite)(fd, data, n, at);
            fcntl(fd, F_SETFL, flags);
            return written;
        }
        """,
        {"files.pwrite_ignores_offset_with_append": "no"},
    ),
    "rename copies over the target": (
        r"""
        int rename(const char *from, const char *to)
        {
            char data[4096];
            int source = open(from, O_RDONLY), target = open(to, O_WRONLY | O_TRUNC);
            ssize_t n = read(source, data, sizeof data);
            n = write(target, data, n);
            close(source);
            close(target);
            return unlink(from);
        }
        """,
        {"files.rename_over_open": "no", "unix.renamed_file_connects": "no"},
    ),
    "no sendfile in the kernel": (
        r"""
        ssize_t sendfile(int out, int in, off_t *at, size_t n) { FAIL(ENOSYS); }
        ssize_t sendfile64(int out, int in, off_t *at, size_t n) { FAIL(ENOSYS); }
        """,
        {
            f"files.sendfile_{what}": "unsupported"
            for what in ("to_socket", "order", "keeps_offset", "to_file", "at_end")
        },
    ),
    "sendfile to sockets alone, that moves the offset and knows no end": (
        r"""
        ssize_t sendfile64(int out, int in, off_t *at, size_t n)
        {
            struct stat s;
            if (!is(out, S_IFSOCK)) FAIL(ENOTSOCK);
            if (fstat(in, &s) || *at >= s.st_size) FAIL(EINVAL);
            lseek(in, *at, SEEK_SET);
            return ((ssize_t (*)(int, int, off_t *, size_t))dlsym(RTLD_NEXT, "sendfile"))(
                out, in, NULL, n);
        }
        """,
        {
            "files.sendfile_keeps_offset": "no",
            "files.sendfile_to_file": "ENOTSOCK",
            "files.sendfile_at_end": "no",
        },
    ),
    "sendfile that sends nothing and says it did": (
        "ssize_t sendfile64(int out, int in, off_t *at, size_t n) { return n; }",
        {
            "files.sendfile_to_socket": "no",
            "files.sendfile_order": "unsupported",
            "files.sendfile_keeps_offset": "unsupported",
            "files.sendfile_to_file": "nothing sent",
            "files.sendfile_at_end": "no",
        },
    ),
    "a disk that takes all of a write or nothing": (
        write_write(
            r"""
            struct statvfs v;
            if (n > 1 << 19 && is(fd, S_IFREG) && !fstatvfs(fd, &v) && v.f_bavail * v.f_bsize < n)
                FAIL(ENOSPC);
            """
        ),
        {
            "files.full_disk_first_write": "ENOSPC",
            "files.full_disk_leaves": "nothing",
        },
    ),
    "a quota in place of a full disk": (
        r"""
        ssize_t write(int fd, const void *data, size_t n)
        {
            ssize_t written = REAL(write)(fd, data, n);
            if (written < 0 && errno == ENOSPC) errno = EDQUOT;
            return written;
        }
        """,
        {"files.full_disk_next_write": "EDQUOT"},
    ),
    "no limit on the size of a file": (
        r"""
        int setrlimit(__rlimit_resource_t which, const struct rlimit *limit)
        {
            return which == RLIMIT_FSIZE ? 0 : REAL(setrlimit)(which, limit);
        }
        int setrlimit64(__rlimit_resource_t which, const struct rlimit64 *limit)
        {
            return which == RLIMIT_FSIZE ? 0 : REAL(setrlimit64)(which, limit);
        }
        """,
        {"files.fsize_limit_write": "whole, then whole", "files.fsize_limit_kills": "no"},
    ),
    "FIFOs and sockets open otherwise": (
        write_open(
            r"""
            if (S_ISSOCK(s.st_mode)) FAIL(EOPNOTSUPP);
            if (S_ISFIFO(s.st_mode) && (flags & O_ACCMODE) == O_RDWR) FAIL(EINVAL);
            if (S_ISFIFO(s.st_mode) && flags & O_WRONLY && flags & O_NONBLOCK) FAIL(EAGAIN);
            """
        ),
        {
            "files.open_socket_file": "EOPNOTSUPP",
            "files.fifo_open_read_write": "EINVAL",
            "files.fifo_nonblock_write_without_reader": "EAGAIN",
        },
    ),
    "small pipes": (
        r"""
        int pipe2(int ends[2], int flags)
        {
            int made = REAL(pipe2)(ends, flags);
            if (made == 0) fcntl(ends[0], F_SETPIPE_SZ, 4096);
            return made;
        }
        long fpathconf(int fd, int name)
        {
            return name == _PC_PIPE_BUF ? 512 : REAL(fpathconf)(fd, name);
        }
        """,
        {"files.pipe_capacity": "4096", "files.pipe_buf": "512"},
    ),
    "pipes that tear what is longer than 128 bytes, whatever fpathconf says": (
        write_write(
            r"""
            if (n > 128 && is(fd, S_IFIFO) && fcntl(fd, F_GETFL) & O_NONBLOCK) {
                size_t taken = 0;
                while (taken < n) {
                    size_t some = n - taken < 128 ? n - taken : 128;
                    ssize_t now = REAL(write)(fd, (const char *)data + taken, some);
                    if (now <= 0) return taken ? (ssize_t)taken : -1;
                    taken += now;
                }
                return n;
            }
            """
        ),
        {"files.pipe_buf": "128"},
    ),
    "a sendfile in FreeBSD's order": (
        SENDFILE + "long sendfile(int in, int out, OFFSET at, size_t n, void *head, OFFSET *sent)"
        " { n = send_part(out, in, at, n); if (sent) *sent = n; return 0; }",
        {
            **NO_SENDFILE,
            "files.sendfile_order": "in, out, offset, count, headers, sent",
        },
    ),
    "a sendfile in macOS's order": (
        SENDFILE + "long sendfile(int in, int out, OFFSET at, OFFSET *n, void *head, int flags)"
        " { if ((size_t)n < 4096) FAIL(EFAULT); *n = send_part(out, in, at, *n); return 0; }",
        {
            **NO_SENDFILE,
            "files.sendfile_order": "in, out, offset, length, headers",
        },
    ),
    "a sendfile that ends who calls it in an order not its own": (
        SENDFILE + "long sendfile(int in, int out, OFFSET at, OFFSET *n, void *head, int flags)"
        " { *n = send_part(out, in, at, *n); return 0; }",
        {
            **NO_SENDFILE,
            "files.sendfile_order": "in, out, offset, length, headers",
        },
    ),
    "poll says input at the end, and knows no devices": (
        r"""
        int poll(struct pollfd *fds, nfds_t n, int timeout)
        {
            int ready = REAL(poll)(fds, n, timeout);
            for (nfds_t i = 0; i < n; i++) {
                if (fds[i].revents & POLLHUP && is(fds[i].fd, S_IFIFO)) fds[i].revents |= POLLIN;
                if (is(fds[i].fd, S_IFCHR)) fds[i].revents = POLLNVAL;
            }
            return ready;
        }
        """,
        {
            "files.poll_pipe_writer_closed": "IN|HUP",
            "files.poll_dev_null": "NVAL",
            "pollers.poll_terminal": "NVAL",
            **{f"terminals.{name}": "NVAL" for name in test_terminals.OF_POLL},
        },
    ),
    "select leaves its timeout alone": (
        r"""
        int select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *timeout)
        {
            struct timeval copy = timeout ? *timeout : (struct timeval){0};
            return REAL(select)(n, r, w, e, timeout ? &copy : NULL);
        }
        """,
        {"files.select_modifies_timeout": "no"},
    ),
    "users set no sticky bit on a file": (
        r"""
        int fchmod(int fd, mode_t mode)
        {
            if (geteuid() && mode & S_ISVTX && is(fd, S_IFREG)) FAIL(EPERM);
            return REAL(fchmod)(fd, mode);
        }
        """,
        {"files.sticky_file_by_user": "EPERM"},
    ),
    "dup makes an open file description of its own": (
        r"""
        int dup(int fd)
        {
            int copy = REAL(dup)(fd);
            if (is(fd, S_IFREG)) reopen(copy);
            return copy;
        }
        """,
        {"files.offset_shared_by_dup": "no", "locks.flock_dup_unlock_drops": "no"},
    ),
    "fork makes open file descriptions of its own": (
        r"""
        int fork(void)
        {
            int child = REAL(fork)();
            for (int fd = 3; child == 0 && fd < 32; fd++)
                if (is(fd, S_IFREG)) reopen(fd);
            return child;
        }
        """,
        {
            "files.offset_shared_after_fork": "no",
            "locks.flock_child_unlock_drops": "no",
            "locks.flock_shared_by_fork": "no",
            "locks.ofd_shared_by_fork": "no",
        },
    ),
    "open duplicates what is open already": (
        write_open(
            r"""
            for (int fd = 3; S_ISREG(s.st_mode) && fd < 32; fd++) {
                struct stat other;
                if (fstat(fd, &other) == 0 && other.st_ino == s.st_ino && other.st_dev == s.st_dev)
                    return dup(fd);
            }
            """
        ),
        {
            "files.offset_shared_by_new_open": "yes",
            "locks.flock_close_one_duplicate_keeps": "no",
            "locks.flock_failed_upgrade_keeps": "upgraded",
            "locks.flock_second_open_conflicts": "no",
            "locks.ofd_dropped_by_other_close": "yes",
            "locks.ofd_second_open_conflicts": "no",
        },
    ),
    "nothing is close-on-exec from its first moment": (
        r"""
        int accept4(int fd, struct sockaddr *from, socklen_t *n, int flags)
        {
            return REAL(accept4)(fd, from, n, flags & ~SOCK_CLOEXEC);
        }
        int pipe2(int ends[2], int flags) { return REAL(pipe2)(ends, flags & ~O_CLOEXEC); }
        int dup3(int fd, int to, int flags) { return REAL(dup3)(fd, to, flags & ~O_CLOEXEC); }
        int fcntl(int fd, int command, ...)
        {
            va_list rest;
            va_start(rest, command);
            long given = va_arg(rest, long);
            va_end(rest);
            return REAL(fcntl)(fd, command == F_DUPFD_CLOEXEC ? F_DUPFD : command, given);
        }
        """
        + write_open("flags &= ~O_CLOEXEC;"),
        {
            "accepting.python_inherits_cloexec": "never",
            "files.has_accept4": "no",
            "files.has_pipe2": "no",
            "files.has_dup3": "no",
            "files.has_f_dupfd_cloexec": "no",
            "files.has_o_cloexec": "no",
        },
    ),
}


SHIMS = {world: (HEADERS + source, expected) for world, (source, expected) in WORLDS.items()}


def test_both_numbers_of_a_pipe_are_told_where_they_differ(tmp_path: Path, here: Report) -> None:
    assert here["files.pipe_buf"].raw is None
    lying = r"""
        long fpathconf(int fd, int name)
        {
            return name == _PC_PIPE_BUF ? PROMISED : REAL(fpathconf)(fd, name);
        }
    """
    for promised in (512, 5000):
        source = HEADERS + lying.replace("PROMISED", str(promised))
        there = measure("--only=files.pipe_buf", environment=shim(tmp_path, source))
        fact = there["files.pipe_buf"]
        assert fact.value == min(promised, 4096)
        assert fact.raw == {"PC_PIPE_BUF": promised, "kept": 4096}


@needs_root
@pytest.mark.parametrize("kilobytes_left", [0, 16, 512])
def test_a_full_scratch_folder_blocks_and_lies_about_nothing(
    kilobytes_left: int, tmp_path: Path, here: Report
) -> None:
    script = (
        f'mount -t tmpfs -o size=512k none "{tmp_path}" &&'
        f' head -c {512 - kilobytes_left}k /dev/zero >"{tmp_path}/ballast" && exec "$@"'
    )
    crammed = measure(
        environment={"TMPDIR": str(tmp_path)}, before=["unshare", "-m", "sh", "-c", script, "sh"]
    )
    changed = {id: crammed[id] for id in flipped(here, crammed)}
    assert {fact.status for fact in changed.values()} <= {BLOCKED}
    assert all("scratch file system" in fact.reason for fact in changed.values())
    assert crammed["files.append_whole_kib"].status == BLOCKED
