"""The signals family can be wrong: change the world, see the answers flip."""

from __future__ import annotations

import sys
from pathlib import Path

from probes import Report
from tests.worlds import flipped, measure, needs_linux, shim

CALLS = """
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#define REAL(name) static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name)
#define FAIL(number) do { errno = (number); return -1; } while (0)
#define IS_HANDLER(action) ((action).sa_handler != SIG_DFL && (action).sa_handler != SIG_IGN)

static inline struct sigaction disposition(int signum) {
    struct sigaction now;
    sigaction(signum, 0, &now);
    return now;
}

static inline int is_pending(int signum) {
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, signum);
}
"""

INSTALL_WITH = (
    CALLS
    + """
static __attribute__((unused)) sighandler_t install(int signum, sighandler_t handler, int flags) {
    struct sigaction new = {.sa_handler = handler, .sa_flags = flags}, old;
    return sigaction(signum, &new, &old) ? SIG_ERR : old.sa_handler;
}
"""
)


def before_sigaction(change: str) -> str:
    """Return a C sigaction() that applies ``change`` to ``to``, which it then installs."""
    return (
        CALLS
        + """
int sigaction(int signum, const struct sigaction *new, struct sigaction *old) {
    REAL(sigaction);
    struct sigaction to;
    if (!new) return real(signum, 0, old);
    to = *new;
"""
        + change
        + "return real(signum, &to, old); }"
    )


# Python 3.9 sets none.
PYTHON = ["SA_ONSTACK"] if sys.version_info >= (3, 10) else []


def python_flags(*more: str) -> tuple[str, str]:
    """Return the flags of Python's handlers, and those flags with more added."""
    return "|".join(PYTHON) or "none", "|".join(sorted([*PYTHON, *more]))


SHIMS = {
    "signal() is one-shot, as in System V": (
        INSTALL_WITH
        + """
sighandler_t signal(int signum, sighandler_t handler) {
    return install(signum, handler, SA_RESETHAND | SA_NODEFER);
}
""",
        {
            "signals.libc_signal_flags": ("SA_RESTART", "SA_NODEFER|SA_RESETHAND"),
            "signals.libc_signal_restarts": ("yes", "no"),
            "signals.libc_signal_stays": ("yes", "no"),
            "signals.libc_signal_blocks_itself": ("yes", "no"),
            # Asked by a C program.
            "compilers.signal_flags": ("SA_RESTART", "SA_NODEFER|SA_RESETHAND"),
        },
    ),
    "sysv_signal() and bsd_signal() change places": (
        INSTALL_WITH
        + """
sighandler_t sysv_signal(int signum, sighandler_t handler) {
    return install(signum, handler, SA_RESTART);
}
sighandler_t bsd_signal(int signum, sighandler_t handler) {
    return install(signum, handler, SA_RESETHAND | SA_NODEFER);
}
""",
        {
            "signals.sysv_signal_flags": ("SA_NODEFER|SA_RESETHAND", "SA_RESTART"),
            "signals.sysv_signal_restarts": ("no", "yes"),
            "signals.sysv_signal_stays": ("no", "yes"),
            "signals.sysv_signal_blocks_itself": ("no", "yes"),
            "signals.bsd_signal_flags": ("SA_RESTART", "SA_NODEFER|SA_RESETHAND"),
            "signals.bsd_signal_restarts": ("yes", "no"),
            "signals.bsd_signal_stays": ("yes", "no"),
            "signals.bsd_signal_blocks_itself": ("yes", "no"),
        },
    ),
    "sigaction() adds SA_RESETHAND and SA_NODEFER": (
        before_sigaction(
            """if (signum == SIGUSR1 && IS_HANDLER(to))
                   to.sa_flags |= SA_RESETHAND | SA_NODEFER;"""
        ),
        {
            "signals.siginterrupt_flags": ("none", "SA_NODEFER|SA_RESETHAND"),
            "signals.sigaction_flags_0_flags": ("none", "SA_NODEFER|SA_RESETHAND"),
            "signals.sigaction_flags_0_stays": ("yes", "no"),
            "signals.sigaction_flags_0_blocks_itself": ("yes", "no"),
            "signals.python_signal_flags": python_flags("SA_NODEFER", "SA_RESETHAND"),
            "signals.python_signal_stays": ("yes", "no"),
        },
    ),
    "sigaction() refuses flags that do not exist": (
        before_sigaction("if (to.sa_flags & 0x00300000) FAIL(EINVAL);"),
        {
            "signals.unknown_sa_flags_accepted": ("yes", "no"),
            "signals.unknown_sa_flags_kept": ("no", "unsupported"),
        },
    ),
    "sigaction() gives every flag back, as Linux before 5.11": (
        CALLS
        + """
int sigaction(int signum, const struct sigaction *new, struct sigaction *old) {
    REAL(sigaction);
    static int unknown[65];
    int before = unknown[signum];
    int status = real(signum, new, old);
    if (!status && new) unknown[signum] = new->sa_flags & 0x00300000;
    if (!status && old) old->sa_flags |= before;
    return status;
}
""",
        {"signals.unknown_sa_flags_kept": ("no", "yes")},
    ),
    "siginterrupt() does nothing": (
        CALLS + "int siginterrupt(int signum, int flag) { return 0; }",
        {
            "signals.siginterrupt_flags": ("none", "SA_RESTART"),
            "signals.siginterrupt_interrupts": ("yes", "no"),
            "signals.siginterrupt_outlives_signal": ("yes", "no"),
        },
    ),
    "siginterrupt() changes the handler there is, as POSIX has it": (
        CALLS
        + """
int siginterrupt(int signum, int flag) {
    struct sigaction now = disposition(signum);
    now.sa_flags = flag ? now.sa_flags & ~SA_RESTART : now.sa_flags | SA_RESTART;
    return sigaction(signum, &now, 0);
}
""",
        {"signals.siginterrupt_outlives_signal": ("yes", "no")},
    ),
    "SIGUSR1 and SIGCHLD cannot be blocked": (
        CALLS
        + """
int pthread_sigmask(int how, const sigset_t *set, sigset_t *old) {
    REAL(pthread_sigmask);
    sigset_t fewer;
    if (!set || how != SIG_BLOCK) return real(how, set, old);
    fewer = *set;
    // But where they would end the process.
    if (IS_HANDLER(disposition(SIGUSR1))) sigdelset(&fewer, SIGUSR1);
    if (IS_HANDLER(disposition(SIGCHLD))) sigdelset(&fewer, SIGCHLD);
    return real(how, &fewer, old);
}
""",
        {
            "signals.pending_coalesce": ("1", "5"),
            "signals.sigchld_coalesces": ("1", "3"),
            "signals.sigwait_takes_earlier": ("yes", "no"),
        },
    ),
    "sigqueue() queues one of each": (
        CALLS
        + """
int sigqueue(pid_t pid, int signum, union sigval value) {
    REAL(sigqueue);
    return is_pending(signum) ? 0 : real(pid, signum, value);
}
""",
        {
            "signals.realtime_queued": ("5", "1"),
            "signals.realtime_fifo": ("yes", "no"),
        },
    ),
    "the last value queued is the first": (
        CALLS
        + """
int sigqueue(pid_t pid, int signum, union sigval value) {
    REAL(sigqueue);
    union sigval earlier[64];
    struct timespec at_once = {0};
    siginfo_t told;
    sigset_t one;
    int count = 0;
    sigemptyset(&one);
    sigaddset(&one, signum);
    while (sigtimedwait(&one, &told, &at_once) == signum) earlier[count++] = told.si_value;
    real(pid, signum, value);
    for (int i = 0; i < count; i++) real(pid, signum, earlier[i]);
    return 0;
}
""",
        {"signals.realtime_fifo": ("yes", "no")},
    ),
    "sigwait() takes the highest first": (
        CALLS
        + """
int sigwait(const sigset_t *set, int *taken) {
    REAL(sigwait);
    for (int signum = SIGRTMAX; signum >= SIGRTMIN; signum--)
        if (sigismember(set, signum) && is_pending(signum)) {
            sigset_t one;
            sigemptyset(&one);
            sigaddset(&one, signum);
            return real(&one, taken);
        }
    return real(set, taken);
}
""",
        {"signals.realtime_order": ("lowest first", "highest first")},
    ),
    "the C library keeps more real-time signals to itself": (
        "int __libc_current_sigrtmin(void) { return 35; }"
        "int __libc_current_sigrtmax(void) { return 63; }",
        {"signals.sigrtmin": ("34", "35"), "signals.sigrtmax": ("64", "63")},
    ),
    "SIGCHLD cannot be ignored": (
        before_sigaction(
            "if (signum == SIGCHLD && to.sa_handler == SIG_IGN) to.sa_handler = SIG_DFL;"
        ),
        {"signals.sigchld_ignored_reaps": ("yes", "no")},
    ),
    "the default of SIGCHLD leaves no zombies": (
        # Only where the default is set already: the lab itself needs to reap its children.
        before_sigaction(
            """if (signum == SIGCHLD && to.sa_handler == SIG_DFL
                       && disposition(SIGCHLD).sa_handler == SIG_DFL)
                   to.sa_flags |= SA_NOCLDWAIT;"""
        ),
        {"signals.sigchld_default_leaves_zombies": ("yes", "no")},
    ),
    "SA_NOCLDWAIT ends all word of children, as on FreeBSD": (
        before_sigaction(
            "if (signum == SIGCHLD && to.sa_flags & SA_NOCLDWAIT) to.sa_handler = SIG_IGN;"
        ),
        {"signals.sigchld_nocldwait_sent": ("yes", "no")},
    ),
    "SA_NOCLDWAIT does nothing": (
        before_sigaction("to.sa_flags &= ~SA_NOCLDWAIT;"),
        {"signals.sigchld_nocldwait_sent": ("yes", "unsupported")},
    ),
    "stopped children are not told of": (
        before_sigaction("if (signum == SIGCHLD) to.sa_flags |= SA_NOCLDSTOP;"),
        {
            "signals.sigchld_on_stop": ("yes", "no"),
            "signals.sigchld_on_continue": ("yes", "no"),
        },
    ),
    "sigtimedwait() sees nothing that came before": (
        CALLS
        + """
int sigtimedwait(const sigset_t *set, siginfo_t *told, const struct timespec *at_most) {
    FAIL(EAGAIN);
}
""",
        {"signals.sigtimedwait_takes_pending": ("yes", "no")},
    ),
    "an ignored signal is thrown away though it is blocked, as on the BSDs": (
        CALLS
        + """
int kill(pid_t pid, int signum) {
    REAL(kill);
    return pid == getpid() && disposition(signum).sa_handler == SIG_IGN ? 0 : real(pid, signum);
}
""",
        {"signals.waited_while_ignored": ("yes", "no")},
    ),
    "there is no signalfd": (
        CALLS + "int signalfd(int fd, const sigset_t *set, int flags) { FAIL(ENOSYS); }",
        {"signals.signal_descriptor": ("signalfd", "unsupported")},
    ),
    "exec ignores what was handled and forgets the rest": (
        CALLS
        + """
int execv(const char *path, char *const *arguments) {
    REAL(execv);
    struct sigaction now = disposition(SIGUSR1);
    sigset_t nothing;
    sigemptyset(&nothing);
    signal(SIGUSR1, IS_HANDLER(now) ? SIG_IGN : SIG_DFL);
    pthread_sigmask(SIG_SETMASK, &nothing, 0);
    return real(path, arguments);
}
""",
        {
            "signals.ignored_survives_exec": ("yes", "no"),
            "signals.handler_reset_on_exec": ("yes", "no"),
            "signals.mask_survives_exec": ("yes", "no"),
        },
    ),
    "SIGPIPE is ignored whatever is asked": (
        before_sigaction("if (signum == SIGPIPE) to.sa_handler = SIG_IGN;"),
        {
            "signals.sigpipe_kills": ("yes", "no"),
            "accepting.sigpipe_from_socket": ("yes", "no"),
        },
    ),
    "SIGPIPE cannot be ignored": (
        before_sigaction("if (signum == SIGPIPE && to.sa_handler == SIG_IGN) return 0;"),
        {
            "signals.python_sigpipe_ignored": ("yes", "no"),
            "signals.sigpipe_ignored_gives": ("EPIPE", "SIGPIPE"),
            # The signal that it wants to ignore kills it.
            "accepting.write_after_peer_closed_second": ("EPIPE", "broken"),
            "unix.write_after_peer_closed": ("EPIPE", "broken"),
            "unix.write_after_peer_shut_rd": ("EPIPE", "broken"),
        },
    ),
}


WITHOUT = """
#include <string.h>
static const char *const hidden[] = {"sigqueue", "sigtimedwait", "sigwaitinfo", "signalfd",
                                     "siginterrupt", "sysv_signal", "bsd_signal", 0};
void *dlsym(void *library, const char *name) {
    static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.17", "GLIBC_2.2.5", "GLIBC_2.0"};
    static void *(*real)(void *, const char *);
    for (int i = 0; !real && i < 4; i++) real = dlvsym(RTLD_NEXT, "dlsym", versions[i]);
    for (int i = 0; hidden[i]; i++)
        if (!strcmp(name, hidden[i])) name = "a name that no library has";
    return real(library, name);
}
"""


@needs_linux
def test_what_a_c_library_lacks_is_said_to_be_missing(here: Report, tmp_path: Path) -> None:
    """Most is as on macOS and OpenBSD."""
    poor = measure(environment=shim(tmp_path, WITHOUT))
    missing = [
        "signals.realtime_queued",
        "signals.realtime_fifo",
        "signals.sigtimedwait_takes_pending",
        "signals.signal_descriptor",
        "signals.siginterrupt_flags",
        "signals.siginterrupt_interrupts",
        "signals.siginterrupt_outlives_signal",
        "restarts.sigwaitinfo",
        "restarts.sigwaitinfo_flags_0",
        *(
            f"signals.{installer}_{aspect}"
            for installer in ("sysv_signal", "bsd_signal")
            for aspect in ("flags", "restarts", "stays", "blocks_itself")
        ),
    ]
    assert flipped(here, poor) == {
        **{id: (here[id].answer, "unsupported") for id in missing},
        "signals.has_sigqueue": ("yes", "no"),
        "signals.has_sigtimedwait": ("yes", "no"),
        "signals.has_sigwaitinfo": ("yes", "no"),
    }
    assert poor["signals.sysv_signal_stays"].reason == "the C library has no sysv_signal()"


@needs_linux
def test_another_python_flips_what_speaks_of_python(here: Report, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        """
import signal
del signal.sigtimedwait
wakeup = signal.set_wakeup_fd
# The lab itself says what to do when the pipe is full; other programs do not.
signal.set_wakeup_fd = lambda fd, **how: wakeup(fd, **how) if how or fd < 0 else -1
siginterrupt, install = signal.siginterrupt, signal.signal
def restarting(signum, handler):
    old = install(signum, handler)
    if signum == signal.SIGUSR1:
        siginterrupt(signum, False)
    return old
signal.signal = restarting
"""
    )
    changed = measure(environment={"PYTHONPATH": str(tmp_path)})
    assert flipped(here, changed) == {
        "signals.python_has_sigtimedwait": ("yes", "no"),
        "signals.python_wakeup_fd": ("yes", "no"),
        "signals.python_signal_flags": python_flags("SA_RESTART"),
        "signals.python_signal_restarts": ("no", "yes"),
    }
