"""The groups family can be wrong: change the world, see the answers flip."""

from __future__ import annotations

from pathlib import Path

from probes import Report
from tests.catalogue import test_terminals
from tests.worlds import measure, needs_linux, needs_root, shim

pytestmark = [needs_linux, needs_root]

# killpg() and kill(0) made of single signals, so that a shim can choose among the members.
MEMBERS = r"""
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int (*really_kill)(pid_t, int);
__attribute__((constructor)) static void find(void) { really_kill = dlsym(RTLD_NEXT, "kill"); }

struct member { pid_t pid; char state; };

static char state_of(pid_t pid, int *group)
{
    char path[64], line[512], state = 0, *end;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    if (fgets(line, sizeof line, file) && (end = strrchr(line, ')')))
        sscanf(end + 1, " %c %*d %d", &state, group);
    fclose(file);
    return state;
}

static int members(pid_t wanted, struct member *found)
{
    int n = 0, group;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; (entry = readdir(proc));) {
        pid_t pid = atoi(entry->d_name);
        char state = pid > 0 ? state_of(pid, &group) : 0;
        if (state && group == wanted) found[n++] = (struct member){pid, state};
    }
    closedir(proc);
    return n;
}
"""


def killpg(rule: str) -> str:
    """Return a killpg() that applies ``rule`` to the ``n`` members ``m`` of the group."""
    return MEMBERS + (
        "int killpg(pid_t group, int sig) {"
        " struct member m[999]; int i, n = members(group, m), sent = 0;"
        + rule
        + " for (i = 0; i < n; i++) sent += !really_kill(m[i].pid, sig);"
        " if (!sent) errno = n ? EPERM : ESRCH;"
        " return sent ? 0 : -1; }"
    )


def kill(rule: str) -> str:
    """Return a kill() that applies ``rule`` first."""
    return MEMBERS + (
        "int kill(pid_t pid, int sig) { struct member m[999]; int i, n, group;"
        " (void)m, (void)i, (void)n, (void)group;" + rule + " return really_kill(pid, sig); }"
    )


FORK_TWICE = r"""
#include <unistd.h>
int daemon(int nochdir, int noclose)
{
    if (fork()) _exit(0);
    setsid();
    if (fork()) _exit(0);
    return 0;
}
"""

# The runner's session is the first, the probe's the second, one that a probe makes the third.
SETSID = r"""
#include <unistd.h>
static int sessions;
static pid_t (*really)(void);
pid_t setsid(void)
{
    really = dlsym(RTLD_NEXT, "setsid");
    return sessions++ > 1 ? getpgrp() : really();
}
"""

FORK_LEADS = r"""
#include <unistd.h>
static int sessions;
static pid_t really(const char *name) { return ((pid_t (*)(void))dlsym(RTLD_NEXT, name))(); }
pid_t setsid(void) { sessions++; return really("setsid"); }
pid_t fork(void)
{
    pid_t pid = really("fork");
    if (!pid && sessions > 2) { sessions = 2; really("setsid"); }
    return pid;
}
"""

NOCTTY = r"""
#include <fcntl.h>
#include <stdarg.h>
int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    int (*really)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    return really(path, flags | O_NOCTTY, mode);
}
"""

SHIMS = {
    "killpg skips one member of a large group": (
        killpg("if (n > 40) n--;"),
        {"groups.killpg_reaches_all": ("yes", "no")},
    ),
    "killpg signals nobody where it may not signal all": (
        killpg("for (i = 0; i < n; i++) if (really_kill(m[i].pid, 0)) return errno = EPERM, -1;"),
        {"groups.killpg_some_permitted": ("ok", "EPERM")},
    ),
    "killpg passes zombies over": (
        killpg("for (i = 0; i < n;) if (m[i].state == 'Z') m[i] = m[--n]; else i++;"),
        {"groups.killpg_only_zombies": ("ok", "ESRCH")},
    ),
    "kill(0) spares its caller": (
        kill(
            "if (pid == 0) { n = members(getpgrp(), m);"
            " for (i = 0; i < n; i++) if (m[i].pid != getpid()) really_kill(m[i].pid, sig);"
            " return 0; }"
        ),
        {"groups.kill_0_reaches_self": ("yes", "no")},
    ),
    "kill(0) reaches its caller alone": (
        kill("if (pid == 0) pid = getpid();"),
        {
            "groups.kill_0_reaches_parent": ("yes", "no"),
            "groups.kill_0_reaches_siblings": ("yes", "no"),
        },
    ),
    "kill(-1) reaches its caller": (
        kill("if (pid == -1) really_kill(getpid(), sig);"),
        {"groups.kill_all_reaches_self": ("no", "yes")},
    ),
    "signal 0 finds nobody who is dead or another's": (
        kill(
            "if (pid > 0 && sig == 0 && (state_of(pid, &group) == 'Z' || really_kill(pid, 0)))"
            " return errno = ESRCH, -1;"
        ),
        {
            "groups.signal_0_foreign": ("EPERM", "ESRCH"),
            "groups.signal_0_zombie": ("ok", "ESRCH"),
            "credentials.signal_to_seteuid": ("EPERM", "ESRCH"),
        },
    ),
    "signal 0 finds everybody": (
        kill("if (sig == 0) return 0;"),
        {
            "groups.signal_0_foreign": ("EPERM", "ok"),
            "groups.signal_0_gone": ("ESRCH", "ok"),
            "credentials.signal_to_seteuid": ("EPERM", "ok"),
        },
    ),
    "setpgid does nothing": (
        "#include <unistd.h>\nint setpgid(pid_t pid, pid_t group) { return 0; }",
        {
            "groups.killpg_none_permitted": ("EPERM", "ok"),
            "groups.killpg_only_zombies": ("ok", "ESRCH"),
            "groups.killpg_reaches_setpgid": ("no", "yes"),
            "groups.orphan_stopped_gets": ("SIGHUP, SIGCONT", "none"),
            "groups.setpgid_after_exec": ("EACCES", "ok"),
            "groups.setsid_of_group_leader": ("EPERM", "ok"),
            "terminals.background_read": "EAGAIN",
            "terminals.background_read_ignoring": "EAGAIN",
            "terminals.background_tcsetattr": "ok",
            "terminals.background_tcsetpgrp": "ok",
            "terminals.background_write_tostop": "ok",
            "terminals.leader_exit_reaches": "none",
            "terminals.resize_reaches": "none",
        },
    ),
    "setsid does nothing in a probe": (
        SETSID,
        {
            "groups.killpg_reaches_setsid": ("no", "yes"),
            "groups.orphan_stopped_gets": ("SIGHUP, SIGCONT", "none"),
            "groups.session_leader_gains_terminal": ("yes", "no"),
            "groups.setsid_of_group_leader": ("EPERM", "ok"),
            **dict.fromkeys(test_terminals.OF_SESSION, "blocked"),
        },
    ),
    "a session leader's child leads a session of its own": (
        FORK_LEADS,
        {
            "groups.double_fork_is_group_leader": ("no", "yes"),
            "groups.double_fork_is_session_leader": ("no", "yes"),
            "groups.double_fork_regains_terminal": ("no", "yes"),
            **{
                id: "blocked"
                for id in test_terminals.OF_SESSION
                if id != "terminals.tiocsctty_by_child"
            },
        },
    ),
    "daemon() forks twice": (
        FORK_TWICE,
        {"groups.daemon3_is_session_leader": ("yes", "no")},
    ),
    "open never makes a terminal the controlling one": (
        NOCTTY,
        {"groups.session_leader_gains_terminal": ("yes", "no")},
    ),
    "another user's process may be signalled": (
        "#include <unistd.h>\n#include <grp.h>\n"
        "int setuid(uid_t uid) { return setresuid(0, uid, 0); }",
        {
            "groups.killpg_none_permitted": ("EPERM", "ok"),
            "groups.killpg_spares_foreign": ("yes", "no"),
            "groups.signal_0_foreign": ("EPERM", "ok"),
            "credentials.exec_over_process_limit": ("EAGAIN", "ok"),
            "credentials.setuid_after_seteuid": ("EPERM", "nothing"),
            "credentials.setuid_drops_all": ("yes", "no"),
            "credentials.setuid_drops_capabilities": ("yes", "no"),
            "credentials.signal_to_seteuid": ("EPERM", "ok"),
        },
    ),
}


def test_the_raw_count_tells_how_many_were_reached(here: Report, tmp_path: Path) -> None:
    assert here["groups.killpg_reaches_all"].raw == 50
    skipping = killpg("if (n > 40) n -= 3;")
    there = measure("--only=groups.killpg_reaches_all", environment=shim(tmp_path, skipping))
    assert there["groups.killpg_reaches_all"].raw == 47
