"""Change the world, and see the answers of the family processes flip."""

from __future__ import annotations

from pathlib import Path

from probes import Report
from tests.worlds import as_user, flipped, measure, needs_linux, needs_root, shim

pytestmark = [needs_linux, needs_root]

PRCTL = r"""
#include <errno.h>
#include <stdarg.h>
#include <sys/prctl.h>
static int really(int option, unsigned long a)
{
    return ((int (*)(int, ...))dlsym(RTLD_NEXT, "prctl"))(option, a, 0, 0, 0);
}
int prctl(int option, ...)
{
    va_list rest;
    va_start(rest, option);
    unsigned long a = va_arg(rest, unsigned long);
    va_end(rest);
    RULE
    return really(option, a);
}
"""


def prctl(rule: str) -> str:
    """Return a prctl() that applies ``rule`` to its ``option`` and argument ``a`` first."""
    return PRCTL.replace("RULE", rule)


# Only the request for SIGUSR1 is repeated: the lab itself asks for SIGKILL.
WISH_KEPT = (
    r"""
#include <signal.h>
#include <unistd.h>
static unsigned long wish;
"""
    + prctl("if (option == PR_SET_PDEATHSIG && a == SIGUSR1) wish = a;")
    + r"""
pid_t fork(void)
{
    pid_t pid = ((pid_t (*)(void))dlsym(RTLD_NEXT, "fork"))();
    if (!pid && wish) really(PR_SET_PDEATHSIG, wish);
    return pid;
}
int setuid(uid_t uid)
{
    int done = ((int (*)(uid_t))dlsym(RTLD_NEXT, "setuid"))(uid);
    if (wish) really(PR_SET_PDEATHSIG, wish);
    return done;
}
"""
)

# The lab's own descriptors are below 40.
NO_CLOSING = r"""
#include <errno.h>
int closefrom(int first) { return 0; }
int close_range(unsigned first, unsigned last, int flags)
{
    int (*really)(unsigned, unsigned, int) = dlsym(RTLD_NEXT, "close_range");
    return first < 40 ? really(first, last, flags) : 0;
}
"""

# Emulates FreeBSD's call by Linux's, which is then refused; the lab itself asks for SIGKILL.
PROCCTL = (
    "#include <signal.h>\n"
    + prctl(
        "if ((option == PR_SET_PDEATHSIG && a == SIGUSR1) || option == PR_SET_CHILD_SUBREAPER)"
        " return errno = EINVAL, -1;"
    )
    + r"""
int procctl(int type, long long id, int command, void *data)
{
    if (command == 11) return really(PR_SET_PDEATHSIG, *(int *)data);
    if (command == 2 && !data) return really(PR_SET_CHILD_SUBREAPER, 1);
    return errno = EINVAL, -1;
}
"""
)

UMASK_FORGOTTEN = r"""
#include <sys/stat.h>
#include <unistd.h>
int execv(const char *path, char *const arguments[])
{
    umask(022);
    return ((int (*)(const char *, char *const[]))dlsym(RTLD_NEXT, "execv"))(path, arguments);
}
"""

EFFECTIVE_ALONE = r"""
#include <unistd.h>
int setresuid(uid_t real, uid_t effective, uid_t saved) { return seteuid(effective); }
"""

CREDENTIALS_OF_NOBODY = r"""
#include <sys/socket.h>
int getsockopt(int fd, int level, int option, void *value, socklen_t *size)
{
    int (*really)(int, int, int, void *, socklen_t *) = dlsym(RTLD_NEXT, "getsockopt");
    int done = really(fd, level, option, value, size);
    if (!done && level == SOL_SOCKET && option == SO_PEERCRED) ((struct ucred *)value)->uid = 65534;
    return done;
}
"""

SOCKETS_OPEN_TO_ALL = r"""
#include <sys/stat.h>
int chmod(const char *path, mode_t mode)
{
    struct stat s;
    int (*really)(const char *, mode_t) = dlsym(RTLD_NEXT, "chmod");
    return really(path, !stat(path, &s) && S_ISSOCK(s.st_mode) ? 0666 : mode);
}
"""

# The end of a pipe that a child closes stays open, as if a descriptor leaked.
PIPES_LEAK = r"""
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
static int forked;
int close(int fd)
{
    struct stat s;
    int leaks = forked && !fstat(fd, &s) && S_ISFIFO(s.st_mode)
        && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY;
    return leaks ? 0 : ((int (*)(int))dlsym(RTLD_NEXT, "close"))(fd);
}
pid_t fork(void)
{
    pid_t pid = ((pid_t (*)(void))dlsym(RTLD_NEXT, "fork"))();
    if (!pid) forked = 1;
    return pid;
}
"""

SHIMS = {
    "a death signal is promised and never sent": (
        prctl("if (option == PR_SET_PDEATHSIG) return 0;"),
        {"processes.parent_death_signal": ("prctl", "never sent")},
    ),
    "the wish for a death signal outlives fork and setuid": (
        WISH_KEPT,
        {
            "processes.parent_death_signal_survives_fork": ("no", "yes"),
            "processes.parent_death_signal_survives_setuid": ("no", "yes"),
        },
    ),
    "orphans are promised and never come": (
        prctl("if (option == PR_SET_CHILD_SUBREAPER) return 0;"),
        {"processes.reaper": ("prctl", "never taken over")},
    ),
    "there is neither a reaper nor a way to give up privileges": (
        prctl(
            "if (option == PR_SET_CHILD_SUBREAPER || option == PR_SET_NO_NEW_PRIVS)"
            " return errno = EINVAL, -1;"
        ),
        {
            "processes.no_new_privs": ("yes", "unsupported"),
            "credentials.no_new_privs_stops_set_user_id": ("yes", "unsupported"),
            "processes.reaper": ("prctl", "unsupported"),
        },
    ),
    "privileges are given up in words alone": (
        prctl("if (option == PR_SET_NO_NEW_PRIVS) return 0;"),
        {
            "processes.no_new_privs": ("yes", "no"),
            "credentials.no_new_privs_stops_set_user_id": ("yes", "no"),
        },
    ),
    "it is procctl that works": (
        PROCCTL,
        {
            "processes.parent_death_signal": ("prctl", "procctl"),
            "processes.reaper": ("prctl", "procctl"),
        },
    ),
    "a sandbox does not know close_range": (
        NO_CLOSING.replace(": 0;", ": (errno = EPERM, -1);").replace("int closefrom", "int unused"),
        {"processes.close_range": ("yes", "blocked")},
    ),
    "descriptors stay open": (
        NO_CLOSING,
        {
            "processes.close_range": ("yes", "no"),
            "processes.closefrom": ("yes", "no"),
        },
    ),
    "exec forgets the umask": (
        UMASK_FORGOTTEN,
        {"processes.umask_survives_exec": ("yes", "no")},
    ),
    "setresuid keeps a way back": (
        EFFECTIVE_ALONE,
        {"processes.setresuid_drops_for_good": ("yes", "no")},
    ),
    "every peer is nobody": (
        CREDENTIALS_OF_NOBODY,
        {
            "processes.peer_credentials": ("SO_PEERCRED", "wrong"),
            "unix.client_credentials_of": "user 65534, which the peer never was",
            "unix.server_credentials_of": "user 65534, which the peer never was",
        },
    ),
    "a socket's mode is not its own": (
        SOCKETS_OPEN_TO_ALL,
        {
            "processes.unix_socket_mode_enforced": ("EACCES", "ok"),
            "unix.connect_needs_permission": ("write", "none"),
        },
    ),
}


def test_a_pipe_that_leaks_does_not_tell_of_the_parents_end(tmp_path: Path) -> None:
    # Only this fact, because other families would wait for the ends of leaking pipes for ever.
    only = "--only=processes.parent_death_*"
    leaking = measure(only, environment=shim(tmp_path, PIPES_LEAK))
    assert flipped(measure(only), leaking) == {"processes.parent_death_pipe": ("yes", "no")}


def test_a_refusal_names_the_call_and_its_error(tmp_path: Path) -> None:
    refusing = prctl(
        "if (option == PR_SET_PDEATHSIG || option == PR_SET_CHILD_SUBREAPER)"
        " return errno = EINVAL, -1;"
    )
    there = measure("--only=processes", environment=shim(tmp_path, refusing))
    refused = "prctl() fails with EINVAL; the C library has no procctl()"
    assert there["processes.reaper"].reason == f"no reaper but init: {refused}"
    for name in ("", "_survives_fork", "_survives_setuid"):
        reason = there[f"processes.parent_death_signal{name}"].reason
        assert reason == f"no signal for the death of a parent: {refused}"


def test_few_open_files_are_enough(here: Report) -> None:
    limited = ["sh", "-c", 'ulimit -n 64 && exec "$@"', "sh"]
    there = measure("--only=processes", "--only=files", "--jobs=1", before=limited)
    assert len(there) > 40
    assert flipped(here, there) == {}


def test_too_few_open_files_are_named(tmp_path: Path) -> None:
    limited = ["sh", "-c", 'ulimit -n 32 && exec "$@"', "sh"]
    there = measure("--only=processes.close*", "--jobs=1", before=limited)
    assert {fact.status for fact in there} == {"blocked"}
    assert all("ulimit -n" in fact.reason for fact in there)


ROOTS = {
    "groups.killpg_none_permitted",
    "groups.killpg_some_permitted",
    "groups.killpg_spares_foreign",
    "groups.signal_0_foreign",
    "processes.parent_death_signal_survives_setuid",
    "processes.setresuid_drops_for_good",
    "processes.unix_socket_mode_enforced",
}


def test_without_root_what_needs_it_is_blocked_and_nothing_else_changes(here: Report) -> None:
    there = measure(before=as_user())
    changed = flipped(here, there)
    # Users get a PID namespace only if the system lets them have user namespaces.
    changed.pop("groups.kill_all_reaches_self", None)
    families = {"groups", "locks", "processes"}
    assert {id for id in changed if id.partition(".")[0] in families} == ROOTS
    assert {new for _, new in changed.values()} == {"blocked"}
    assert all("root" in there[id].reason for id in ROOTS)
