"""Change the world, and see the answers of the family credentials flip."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from probes import Report
from tests.worlds import ROOT, as_user, flipped, measure, needs_linux, needs_root, shim

pytestmark = [needs_linux, needs_root]

CALLS = r"""
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#define REAL(name) static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name)
#define FAIL(number) do { errno = (number); return -1; } while (0)
"""


def call(prototype: str, rule: str) -> str:
    """Return C that replaces a function: ``rule`` comes first and may use ``real``."""
    result, _, rest = prototype.partition(" ")
    name, _, parameters = rest.partition("(")
    names = [part.split()[-1].lstrip("*") for part in parameters.rstrip(")").split(",")]
    again = f"return real({', '.join(names)});"
    return f"{CALLS}\n{result} {name}({parameters} {{ REAL({name}); {rule} {again} }}\n"


def prctl(rule: str) -> str:
    """Return a prctl() that applies ``rule`` to its ``option`` and argument ``a`` first."""
    return (
        CALLS
        + r"""
int prctl(int option, ...) {
    int (*real)(int, ...) = dlsym(RTLD_NEXT, "prctl");
    va_list rest;
    va_start(rest, option);
    unsigned long a = va_arg(rest, unsigned long);
    va_end(rest);
    RULE
    return real(option, a, 0, 0, 0);
}
""".replace("RULE", rule)
    )


EGID_AMONG_GROUPS = (
    CALLS
    + r"""
int setgroups(size_t size, const gid_t *list) {
    REAL(setgroups);
    int done = real(size, list);
    return done || !size || *list != 65532 ? done : setegid(*list);
}
int getgroups(int size, gid_t *list) {
    REAL(getgroups);
    int count = real(size ? size - 1 : 0, size ? list + 1 : list);
    if (count >= 0 && size) *list = getegid();
    return count < 0 ? count : count + 1;
}
"""
)

SHIMS = {
    "seteuid() may always return to root": (
        call("int seteuid(uid_t uid)", "if (!uid && geteuid()) return real(uid) * 0;"),
        {
            "credentials.setuid_drops_all": ("yes", "no"),
            "credentials.setreuid_drops_for_good": ("yes", "no"),
        },
    ),
    "setuid() to the effective user drops all, as on FreeBSD": (
        call(
            "int setuid(uid_t uid)",
            """if (uid && uid == geteuid() && getuid() != uid) {
                   seteuid(0);
                   return setresuid(uid, uid, uid);
               }""",
        ),
        {"credentials.setuid_after_seteuid": ("EPERM", "root for good")},
    ),
    "setuid() to the effective user does nothing": (
        call("int setuid(uid_t uid)", "if (uid && uid == geteuid()) return 0;"),
        {"credentials.setuid_after_seteuid": ("EPERM", "nothing")},
    ),
    "setreuid() does not swap": (
        call("int setreuid(uid_t ruid, uid_t euid)", "if (geteuid()) FAIL(EPERM);"),
        {"credentials.setreuid_swaps": ("yes", "no")},
    ),
    "setreuid() keeps the saved user": (
        call("int setreuid(uid_t ruid, uid_t euid)", "return setresuid(ruid, euid, -1);"),
        {"credentials.setreuid_drops_for_good": ("yes", "no")},
    ),
    "seteuid() has no way back": (
        call("int seteuid(uid_t uid)", "if (uid == 65533) return setresuid(uid, uid, uid);"),
        {
            "credentials.seteuid_round_trip": ("yes", "no"),
            "credentials.setuid_after_seteuid": ("EPERM", "root for good"),
            "credentials.signal_to_seteuid": ("EPERM", "ok"),
            "credentials.signal_by_seteuid": ("ok", "EPERM"),
            "credentials.access_checks": ("real", "effective"),
        },
    ),
    "setgid() keeps the saved group": (
        call("int setgid(gid_t gid)", "if (gid == 65533) return setresgid(gid, gid, 0);"),
        {"credentials.setgid_drops_for_good": ("yes", "no")},
    ),
    "setregid() keeps the saved group": (
        call("int setregid(gid_t rgid, gid_t egid)", "return setresgid(rgid, egid, -1);"),
        {"credentials.setregid_drops_for_good": ("yes", "no")},
    ),
    "setresgid() keeps the saved group": (
        call("int setresgid(gid_t rgid, gid_t egid, gid_t sgid)", "return real(rgid, egid, -1);"),
        {"credentials.setresgid_drops_for_good": ("yes", "no")},
    ),
    "setegid() has no way back": (
        call("int setegid(gid_t gid)", "return setresgid(gid, gid, gid);"),
        {"credentials.setegid_round_trip": ("yes", "no")},
    ),
    "setuid() drops the groups": (
        call("int setuid(uid_t uid)", "if (!geteuid()) setgroups(0, 0);"),
        {"credentials.groups_survive_setuid": ("yes", "no")},
    ),
    "the order of calls does not matter": (
        CALLS
        + r"""
int setgroups(size_t size, const gid_t *list) {
    REAL(setgroups);
    int done = real(size, list);
    return size == 1 ? 0 : done;
}
int setgid(gid_t gid) {
    REAL(setgid);
    int done = real(gid);
    return gid == 65532 ? 0 : done;
}
""",
        {
            "credentials.setgroups_after_setuid": ("EPERM", "ok"),
            "credentials.setgid_after_setuid": ("EPERM", "ok"),
        },
    ),
    "the effective group is the first of the groups, as on FreeBSD before 15": (
        EGID_AMONG_GROUPS,
        {
            "credentials.setgroups_changes_egid": ("no", "yes"),
            "credentials.getgroups_lists_egid": ("no", "yes"),
            "credentials.initgroups_sets": ("the given one", "others too"),
        },
    ),
    "getgroups() counts wrongly": (
        call("int getgroups(int size, gid_t *list)", "if (!size) return real(size, list) + 1;"),
        {"credentials.getgroups_counts": ("yes", "no")},
    ),
    "there is room for fewer groups, as by musl": (
        CALLS
        + r"""
long sysconf(int name) {
    REAL(sysconf);
    return name == _SC_NGROUPS_MAX ? 32 : real(name);
}
""",
        {
            "credentials.groups_at_most": ("65536", "32"),
            "credentials.setgroups_too_many": ("EINVAL", "ok"),
        },
    ),
    "initgroups() forgets the group": (
        call("int initgroups(const char *user, gid_t group)", "return setgroups(0, 0);"),
        {"credentials.initgroups_sets": ("the given one", "none")},
    ),
    "initgroups() adds to what there is": (
        call(
            "int initgroups(const char *user, gid_t group)",
            "gid_t both[] = {65532, group}; return setgroups(2, both);",
        ),
        {"credentials.initgroups_sets": ("the given one", "others too")},
    ),
    "processes stay dumpable": (
        call(
            "int setuid(uid_t uid)",
            "int done = real(uid); if (!done) prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); return done;",
        ),
        {
            "credentials.dumpable_after_setuid": ("no", "yes"),
        },
    ),
    "prctl() promises and does nothing": (
        prctl("if (option == PR_SET_DUMPABLE || option == PR_SET_KEEPCAPS) return 0;"),
        {
            "credentials.dumpable_restored": ("yes", "no"),
            "credentials.keepcaps_keeps": ("yes", "no"),
            # The maps of a user namespace cannot be written.
            "credentials.user_namespace_setgroups": ("EPERM", "blocked"),
            "credentials.user_namespace_setuid": ("EINVAL", "blocked"),
            "credentials.user_namespace_chroot": ("ok", "blocked"),
        },
    ),
    "capabilities stay": (
        call("int setuid(uid_t uid)", "if (!geteuid()) prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);"),
        {"credentials.setuid_drops_capabilities": ("yes", "no")},
    ),
    "no_new_privs is promised and not kept": (
        prctl("if (option == PR_SET_NO_NEW_PRIVS) return 0;"),
        {
            "credentials.no_new_privs_stops_set_user_id": ("yes", "no"),
            "processes.no_new_privs": ("yes", "no"),
        },
    ),
    "files are as elsewhere": (
        CALLS
        + r"""
int chown(const char *path, uid_t owner, gid_t group) {
    REAL(chown);
    struct stat before;
    if (geteuid() && owner == 65532) return 0;
    int done = lstat(path, &before) || real(path, owner, group);
    if (!done && !geteuid() && S_ISREG(before.st_mode)) chmod(path, before.st_mode & 07777);
    return done ? -1 : 0;
}
int chmod(const char *path, mode_t mode) {
    REAL(chmod);
    if (geteuid() && mode & 02000) FAIL(EPERM);
    return real(path, mode);
}
""",
        {
            "credentials.chown_own_file_away": ("EPERM", "ok"),
            "credentials.chown_restricted_told": ("yes", "no"),
            "credentials.chown_by_root_of_set_user_id": ("cleared", "kept"),
            "credentials.chmod_set_group_id_of_foreign_group": ("cleared", "EPERM"),
        },
    ),
    "pathconf() says that all may give away": (
        CALLS
        + r"""
long pathconf(const char *path, int name) {
    REAL(pathconf);
    return name == _PC_CHOWN_RESTRICTED ? -1 : real(path, name);
}
""",
        {"credentials.chown_restricted_told": ("yes", "no")},
    ),
    "a written file stays set-user-ID": (
        CALLS
        + r"""
ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    struct stat before;
    int had = !fstat(fd, &before) && S_ISREG(before.st_mode) && before.st_mode & S_ISUID;
    ssize_t done = real(fd, data, size);
    if (had) fchmod(fd, before.st_mode & 07777);
    return done;
}
""",
        {"credentials.write_to_set_user_id": ("cleared", "kept")},
    ),
    "access() asks for the effective user": (
        call(
            "int access(const char *path, int mode)",
            'if (!strcmp(path, "file")) return faccessat(AT_FDCWD, path, mode, AT_EACCESS);',
        ),
        {"credentials.access_checks": ("real", "effective")},
    ),
    "threads have users of their own": (
        call("int setuid(uid_t uid)", "return syscall(SYS_setuid, uid);"),
        {"credentials.setuid_changes_all_threads": ("yes", "no")},
    ),
    "setuid() fails at the limit of processes, as before Linux 3.1": (
        call(
            "int setuid(uid_t uid)",
            """struct rlimit limit;
               if (!getrlimit(RLIMIT_NPROC, &limit) && !limit.rlim_cur) FAIL(EAGAIN);""",
        ),
        {
            "credentials.setuid_over_process_limit": ("ok", "EAGAIN"),
            "credentials.exec_over_process_limit": ("EAGAIN", "unsupported"),
        },
    ),
    "exec does not know the limit of processes": (
        CALLS
        + r"""
int execv(const char *path, char *const arguments[]) {
    REAL(execv);
    int done = real(path, arguments);
    if (done && errno == EAGAIN) errno = ENOENT;
    return done;
}
""",
        {"credentials.exec_over_process_limit": ("EAGAIN", "ok")},
    ),
    "users have no user namespaces": (
        call(
            "int unshare(int flags)",
            "if (geteuid() && flags & CLONE_NEWUSER) FAIL(ENOSPC);",
        ),
        {
            "credentials.user_namespace_by_user": ("ok", "ENOSPC"),
            "credentials.user_namespace_setgroups": ("EPERM", "blocked"),
            "credentials.user_namespace_setuid": ("EINVAL", "blocked"),
            "credentials.user_namespace_chroot": ("ok", "blocked"),
        },
    ),
    "a user namespace is worth nothing": (
        CALLS
        + r"""
int chroot(const char *path) { FAIL(EPERM); }
int setgroups(size_t size, const gid_t *list) {
    REAL(setgroups);
    return geteuid() && !size ? 0 : real(size, list);
}
int setuid(uid_t uid) {
    REAL(setuid);
    if (geteuid() && uid == 65532) FAIL(EPERM);
    return real(uid);
}
""",
        {
            "credentials.user_namespace_chroot": ("ok", "EPERM"),
            "credentials.user_namespace_setgroups": ("EPERM", "ok"),
            "credentials.user_namespace_setuid": ("EINVAL", "EPERM"),
        },
    ),
    "/dev/fd duplicates, as on FreeBSD": (
        CALLS
        + r"""
#include <stdlib.h>
int open(const char *path, int flags, ...) {
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    return strncmp(path, "/dev/fd/", 8) ? real(path, flags, mode) : dup(atoi(path + 8));
}
""",
        {"credentials.dev_fd_after_setuid": ("EACCES", "ok")},
    ),
    "a user may signal whoever has its id": (
        call("int kill(pid_t pid, int signal)", "if (!signal && geteuid() == 65533) return 0;"),
        {
            "credentials.signal_to_seteuid": ("EPERM", "ok"),
            "groups.signal_0_foreign": ("EPERM", "ok"),
        },
    ),
}

WITHOUT_ROOT = {
    "chown_own_file_away",
    "chown_restricted_told",
    "getgroups_counts",
    "groups_at_most",
    "user_namespace_by_user",
    "user_namespace_chroot",
    "user_namespace_setgroups",
    "user_namespace_setuid",
    "write_to_set_user_id",
}


def test_without_root_what_needs_it_is_blocked_and_nothing_else_changes(here: Report) -> None:
    there = measure("--only=credentials", before=as_user())
    changed = flipped(here, there)
    assert set(changed) == {
        fact.id for fact in there if fact.id.partition(".")[2] not in WITHOUT_ROOT
    }
    assert {there[id].reason for id in changed} == {
        "a second user id needs root: run the lab as root to measure it"
    }


def test_a_root_without_other_users_is_blocked(here: Report) -> None:
    there = measure("--only=credentials", before=["unshare", "--user", "--map-root-user"])
    changed = flipped(here, there)
    assert len(changed) > 30
    assert {there[id].status for id in changed} == {"blocked"}
    assert all("root" in there[id].reason for id in changed)


def test_a_root_without_capabilities_is_blocked(here: Report) -> None:
    """Nothing that such a root may not do is taken for the platform's answer."""
    powerless = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
    there = measure("--only=credentials", before=powerless)
    changed = flipped(here, there)
    assert len(changed) > 20
    assert {there[id].status for id in changed} == {"blocked"}


def test_nothing_of_a_scratch_folder_without_set_user_id(here: Report) -> None:
    nosuid = 'mount -t tmpfs -o nosuid,mode=1777 tmpfs /mnt && TMPDIR=/mnt exec "$@"'
    there = measure(
        "--only=credentials.*set_user_id*", before=["unshare", "-m", "sh", "-c", nosuid, "sh"]
    )
    assert set(flipped(here, there)) == {
        "credentials.no_new_privs_stops_set_user_id",
        "credentials.set_user_id_script",
    }
    assert there["credentials.set_user_id_script"].reason == (
        "no set-user-ID program works in the scratch folder: set TMPDIR to another"
    )


def test_a_folder_that_hands_its_group_on_is_seen(here: Report, tmp_path: Path) -> None:
    """The set-group-ID bit of a folder does on Linux what the BSDs always do."""
    inherits = """
int chmod(const char *path, mode_t mode) {
    REAL(chmod);
    return real(path, strcmp(path, "folder") ? mode : mode | 02000);
}
"""
    there = measure(
        "--only=credentials.new_file_group", environment=shim(tmp_path, CALLS + inherits)
    )
    assert flipped(here, there) == {"credentials.new_file_group": ("the process's", "the folder's")}


def test_a_script_that_runs_as_its_owner_is_seen(tmp_path: Path, here: Report) -> None:
    honouring = r"""
#include <spawn.h>
extern char **environ;
int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const arguments[],
                 char *const environment[]) {
    REAL(posix_spawnp);
    const char *run = strcmp(file, "./script") ? file : "./touch";
    return real(pid, run, actions, attributes, arguments, environment);
}
"""
    there = measure(
        "--only=credentials.set_user_id_script", environment=shim(tmp_path, CALLS + honouring)
    )
    assert flipped(here, there) == {"credentials.set_user_id_script": ("ignored", "honoured")}


def test_rights_that_stay_with_another_user_are_no_answer(here: Report) -> None:
    """With these securebits of capabilities(7), what is asked of a user is asked of root."""
    keeping = ["setpriv", "--securebits", "+no_setuid_fixup"]
    there = measure("--only=credentials", before=keeping)
    changed = flipped(here, there)
    assert len(changed) > 30
    assert {there[id].reason for id in changed} == {
        "the securebits let another user keep root's rights: run the lab without them"
    }


def test_rights_of_root_that_a_user_has_are_no_answer(here: Report) -> None:
    nobody = as_user(rights="+chown,+dac_read_search")
    only = "--only=credentials.chown_own*", "--only=credentials.write_to*"
    there = measure(*only, before=nobody)
    assert set(flipped(here, there)) == {
        "credentials.chown_own_file_away",
        "credentials.write_to_set_user_id",
    }
    assert {fact.reason for fact in there} == {
        "this user has CAP_CHOWN or CAP_FSETID: run the lab without them"
    }


@pytest.mark.parametrize("call", ["access", "fchownat", "setresuid", "unshare"])
def test_what_a_filter_refuses_is_blocked(here: Report, call: str) -> None:
    refusing = [sys.executable, str(ROOT / "tests" / "sandboxed.py"), "EPERM", call, "--"]
    there = measure("--only=credentials", before=refusing)
    changed = flipped(here, there)
    assert len(changed) > 2  # As no set-user-ID program works there.
    assert {there[id].status for id in changed} == {"blocked"}


FILES = {
    "no set-ID bits": (
        """
int chmod(const char *path, mode_t mode) { REAL(chmod); return real(path, mode & 01777); }
""",
        {
            "chmod_set_group_id_of_foreign_group",
            "chown_by_root_of_set_user_id",
            "no_new_privs_stops_set_user_id",
            "set_user_id_script",
            "write_to_set_user_id",
        },
    ),
    "a group of its own": (
        """
int chmod(const char *path, mode_t mode) {
    REAL(chmod);
    return real(path, mode) || (!strcmp(path, "folder/file") && chown(path, -1, 7));
}
""",
        {"new_file_group"},
    ),
    "programs that do nothing": (
        """
#include <spawn.h>
int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const arguments[],
                 char *const environment[]) {
    REAL(posix_spawnp);
    const char *run = strncmp(file, "./", 2) ? file : "/bin/true";
    return real(pid, run, actions, attributes, arguments, environment);
}
""",
        {"no_new_privs_stops_set_user_id", "set_user_id_script"},
    ),
}


@pytest.mark.parametrize("world", FILES)
def test_a_scratch_folder_with_rules_of_its_own_is_no_answer(
    here: Report, world: str, tmp_path: Path
) -> None:
    source, changing = FILES[world]
    there = measure("--only=credentials", environment=shim(tmp_path, CALLS + source))
    changed = flipped(here, there)
    assert set(changed) == {f"credentials.{name}" for name in changing}
    assert {there[id].status for id in changed} == {"blocked"}


def test_no_limit_of_groups_is_none_to_go_over(here: Report, tmp_path: Path) -> None:
    endless = """
long sysconf(int name) {
    REAL(sysconf);
    return name == _SC_NGROUPS_MAX ? -1 : real(name);
}
"""
    there = measure("--only=credentials.*groups_*", environment=shim(tmp_path, CALLS + endless))
    changed = flipped(here, there)
    assert changed["credentials.setgroups_too_many"] == ("EINVAL", "unsupported")
    assert set(changed) == {"credentials.groups_at_most", "credentials.setgroups_too_many"}


def test_few_open_files_are_enough(here: Report) -> None:
    limited = ["sh", "-c", 'ulimit -n 64 && exec "$@"', "sh"]
    there = measure("--only=credentials", "--jobs=1", before=limited)
    assert flipped(here, there) == {}
