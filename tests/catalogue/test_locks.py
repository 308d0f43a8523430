"""How the answers of the locks family change with the world: a table for `test_shims`."""

from __future__ import annotations

HEADERS = r"""
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <unistd.h>
"""

NO_FLOCK = HEADERS + "int flock(int fd, int operation) { return 0; }"

# As NFS and some C libraries do.
FLOCK_OF_FCNTL = (
    HEADERS
    + r"""
int flock(int fd, int operation)
{
    struct flock lock = {.l_whence = SEEK_SET};
    lock.l_type = operation & LOCK_UN ? F_UNLCK : operation & LOCK_SH ? F_RDLCK : F_WRLCK;
    return fcntl(fd, operation & LOCK_NB ? F_SETLK : F_SETLKW, &lock);
}
"""
)

UNLOCK_IGNORED = (
    HEADERS
    + r"""
int flock(int fd, int operation)
{
    int (*really)(int, int) = dlsym(RTLD_NEXT, "flock");
    return operation & LOCK_UN ? 0 : really(fd, operation);
}
"""
)

# A failed upgrade takes the lost lock again, unless another process may have taken it.
UPGRADE_KEEPS = (
    HEADERS
    + r"""
int flock(int fd, int operation)
{
    int (*really)(int, int) = dlsym(RTLD_NEXT, "flock");
    int done = really(fd, operation), why = errno;
    if (done && operation == (LOCK_EX | LOCK_NB)) really(fd, LOCK_SH | LOCK_NB);
    errno = why;
    return done;
}
"""
)


def fcntl(rule: str) -> str:
    """Return a fcntl() that applies ``rule`` to its command first."""
    body = (
        "(int fd, int command, ...) { va_list rest; va_start(rest, command);"
        " struct flock *lock = va_arg(rest, struct flock *); va_end(rest); (void)lock;"
        + rule
        + ' return ((int (*)(int, int, ...))dlsym(RTLD_NEXT, "fcntl64"))(fd, command, lock); }\n'
    )
    return HEADERS + "int fcntl" + body + "int fcntl64" + body


SHIMS = {
    "flock does nothing": (
        NO_FLOCK,
        {
            "locks.flock_blocks": ("yes", "no"),
            "locks.flock_close_one_duplicate_keeps": ("yes", "no"),
            "locks.flock_failed_upgrade_keeps": ("lost", "upgraded"),
            "locks.flock_second_open_conflicts": ("yes", "no"),
            "locks.flock_survives_exec": ("yes", "no"),
            "restarts.flock": ("restarts", "unsupported"),
            "restarts.flock_flags_0": ("EINTR", "unsupported"),
        },
    ),
    "flock is made of fcntl locks": (
        FLOCK_OF_FCNTL,
        {
            "locks.fcntl_conflicts_with_flock": ("no", "yes"),
            "locks.flock_child_unlock_drops": ("yes", "no"),
            "locks.flock_close_one_duplicate_keeps": ("yes", "no"),
            "locks.flock_conflicts_with_fcntl": ("no", "yes"),
            "locks.flock_failed_upgrade_keeps": ("lost", "upgraded"),
            "locks.flock_needs_write_access": ("no", "yes"),
            "locks.flock_second_open_conflicts": ("yes", "no"),
            "locks.flock_shared_by_fork": ("yes", "no"),
        },
    ),
    "unlocking by flock does nothing": (
        UNLOCK_IGNORED,
        {
            "locks.flock_child_unlock_drops": ("yes", "no"),
            "locks.flock_dup_unlock_drops": ("yes", "no"),
        },
    ),
    "a failed upgrade keeps the lock": (
        UPGRADE_KEEPS,
        {"locks.flock_failed_upgrade_keeps": ("lost", "kept")},
    ),
    "fcntl grants every lock": (
        fcntl("if (command == F_SETLK || command == F_SETLKW) return 0;"),
        {
            "locks.fcntl_detects_deadlock": ("yes", "no"),
            "locks.fcntl_inherited_by_fork": ("no", "yes"),
            "locks.fcntl_survives_exec": ("yes", "no"),
            "locks.lockf_is": ("fcntl", "its own"),
            "restarts.fcntl_setlkw": ("restarts", "unsupported"),
            "restarts.fcntl_setlkw_flags_0": ("EINTR", "unsupported"),
        },
    ),
    "fcntl locks belong to open file descriptions": (
        fcntl(
            "if (command == F_SETLK || command == F_SETLKW)"
            " lock->l_pid = 0, command += F_OFD_SETLK - F_SETLK;"
        ),
        {
            "locks.fcntl_detects_deadlock": ("yes", "no"),
            "locks.fcntl_dropped_by_any_close": ("yes", "no"),
            "locks.fcntl_inherited_by_fork": ("no", "yes"),
            "locks.fcntl_second_open_conflicts": ("no", "yes"),
        },
    ),
    "description locks belong to processes": (
        fcntl("if (command == F_OFD_SETLK) command = F_SETLK;"),
        {
            "locks.ofd_dropped_by_other_close": ("no", "yes"),
            "locks.ofd_second_open_conflicts": ("yes", "no"),
            "locks.ofd_shared_by_fork": ("yes", "no"),
        },
    ),
    "there are no description locks": (
        fcntl("if (command == F_OFD_SETLK) return errno = EINVAL, -1;"),
        {
            "locks.ofd_dropped_by_other_close": ("no", "unsupported"),
            "locks.ofd_exists": ("yes", "no"),
            "locks.ofd_second_open_conflicts": ("yes", "unsupported"),
            "locks.ofd_shared_by_fork": ("yes", "unsupported"),
        },
    ),
    "lockf is flock": (
        HEADERS
        + "int lockf(int fd, int command, off_t length) { return flock(fd, LOCK_EX | LOCK_NB); }",
        {"locks.lockf_is": ("fcntl", "flock")},
    ),
}
