"""Choose every setting that depends on the platform from measured facts, and give the reason.

    settings = choose_settings(measure_facts(NEEDED))
    settings["lock"]            # 'flock'
    settings.choices["lock"]    # the value with its facts and its reason

A setting is an entry of `SETTINGS`: its options, best first, each with the facts that it
depends on.  A fact with another answer rules an option out.  An option that depends on an
unmeasured fact comes after the options whose facts are all measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from probes.errors import CommandError

from . import facts
from .server.event_log import log_to_standard_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from probes import Report


@dataclass(frozen=True)
class Option:
    """A value of a setting, its reason, and the answers that it depends on, by fact id."""

    value: str
    because: str
    depends_on: Mapping[str, facts.Answer]


@dataclass(frozen=True)
class Setting:
    """A choice that differs between platforms: its options, best first."""

    name: str
    question: str
    options: tuple[Option, ...]
    explained_by: tuple[str, ...] = ()
    """Facts that show why papaya sets it explicitly; they rule out no option."""

    @property
    def facts(self) -> set[str]:
        """Return the ids of all facts that the setting depends on."""
        return {*self.explained_by, *(id for option in self.options for id in option.depends_on)}


SETTINGS = (
    Setting(
        "listen",
        "How does one port serve IPv4 and IPv6?",
        (
            Option(
                "a socket a family",
                "0.0.0.0 and [::] can both be bound with IPV6_V6ONLY=1, "
                "and no address is IPv4-mapped",
                {"sockets.bind_v4_first_v6only": "ok"},
            ),
            Option(
                "one dual-stack socket",
                "[::] with IPV6_V6ONLY=0 serves IPv4 clients too",
                {"sockets.v4mapped_dual": True},
            ),
            Option(
                "IPv4 alone",
                "this machine has no IPv6",
                {"sockets.ipv6_loopback": False},
            ),
        ),
        explained_by=("sockets.v6only_default", "sockets.v4mapped_default"),
    ),
    Setting(
        "v6only",
        "Is IPV6_V6ONLY set before bind()?",
        (
            Option(
                "always set",
                "its default differs between platforms, and some refuse to change it after bind()",
                {},
            ),
        ),
        explained_by=("sockets.v6only_default", "sockets.v6only_after_bind"),
    ),
    Setting(
        "accepted",
        "Does an accepted socket inherit its options?",
        (
            Option(
                "set on each",
                "on some platforms an accepted socket inherits blocking mode, close-on-exec, "
                "TCP_NODELAY and SO_KEEPALIVE from the listener, on others not",
                {},
            ),
        ),
        explained_by=(
            "accepting.inherits_nonblock",
            "accepting.inherits_cloexec",
            "accepting.inherits_nodelay",
            "accepting.inherits_keepalive",
        ),
    ),
    Setting(
        "handler",
        "How is a signal handler installed?",
        (
            Option(
                "signal.signal",
                "Python calls sigaction() with explicit flags: the handler stays installed, and "
                "Python restarts an interrupted read, whatever the C library's signal() does",
                {"signals.python_signal_stays": True},
            ),
        ),
        explained_by=("signals.libc_signal_flags", "signals.python_signal_flags"),
    ),
    Setting(
        "wait",
        "How does a process wait for the multicast?",
        (
            Option(
                "sigwait",
                "the signal stays blocked, and sigwait() returns one that arrived before the wait, "
                "so none is lost",
                {"signals.sigwait_takes_earlier": True},
            ),
            Option(
                "sigtimedwait",
                "the signal stays blocked, and sigtimedwait() returns one that arrived before the "
                "wait",
                {
                    "signals.python_has_sigtimedwait": True,
                    "signals.sigtimedwait_takes_pending": True,
                },
            ),
            Option(
                "wakeup descriptor",
                "a handler writes a byte to a pipe, which the process polls",
                {"signals.python_wakeup_fd": True},
            ),
        ),
        explained_by=("signals.pending_coalesce",),
    ),
    Setting(
        "multicast",
        "How are all senders told of a new line?",
        (
            Option(
                "killpg",
                "one call reaches every member of the senders' group and no other process",
                {"groups.killpg_reaches_all": True, "groups.killpg_spares_foreign": True},
            ),
            Option("one by one", "kill() to each sender reaches it", {}),
        ),
    ),
    Setting(
        "lock",
        "Which lock excludes a second writer of the log?",
        (
            Option(
                "flock",
                "two opens of the log exclude each other by flock(), and the second waits",
                {"locks.flock_second_open_conflicts": True, "locks.flock_blocks": True},
            ),
            Option(
                "ofd",
                "two opens of the log exclude each other by F_OFD_SETLKW",
                {"locks.ofd_exists": True, "locks.ofd_second_open_conflicts": True},
            ),
            Option(
                "fcntl",
                "a child does not inherit its parent's F_SETLKW lock, so processes exclude "
                "each other",
                {"locks.fcntl_inherited_by_fork": False},
            ),
        ),
    ),
    Setting(
        "log",
        "How does a process get a descriptor of the log?",
        (
            Option(
                "opened anew in each process",
                "a descriptor kept over fork() would share its lock and its offset with the parent",
                {"files.offset_shared_by_new_open": False},
            ),
        ),
        explained_by=("locks.flock_shared_by_fork", "files.offset_shared_after_fork"),
    ),
    Setting(
        "reap",
        "How are dead children reaped?",
        (
            Option(
                "waitpid on SIGCHLD",
                "papaya needs their exit status; as one SIGCHLD may stand for several children, "
                "waitpid() is called until none is left",
                {"signals.sigchld_default_leaves_zombies": True},
            ),
        ),
        explained_by=("signals.sigchld_coalesces", "signals.sigchld_ignored_reaps"),
    ),
    Setting(
        "orphans",
        "How does a process learn that its parent died?",
        (
            Option(
                "prctl",
                "prctl(PR_SET_PDEATHSIG) requests a signal; requested again after each fork",
                {"processes.parent_death_signal": "prctl"},
            ),
            Option(
                "procctl",
                "procctl(PROC_PDEATHSIG_CTL) requests a signal; requested again after each fork",
                {"processes.parent_death_signal": "procctl"},
            ),
            Option(
                "pipe",
                "a pipe reads as closed when its only writer, the parent, has died",
                {"processes.parent_death_pipe": True},
            ),
        ),
        explained_by=("processes.parent_death_signal_survives_fork",),
    ),
    Setting(
        "sigpipe",
        "What happens to SIGPIPE?",
        (
            Option(
                "ignored",
                "with SIGPIPE ignored, send() to a client that left fails with EPIPE",
                {"signals.sigpipe_ignored_gives": "EPIPE"},
            ),
        ),
        explained_by=("signals.python_sigpipe_ignored", "accepting.msg_nosignal"),
    ),
    Setting(
        "daemon",
        "How does the daemon leave its terminal?",
        (
            Option(
                "double fork",
                "after the second fork it is not a session leader, so no open() gives it a "
                "terminal",
                {"groups.double_fork_is_session_leader": False},
            ),
            Option("setsid", "setsid() leaves the terminal", {}),
        ),
        explained_by=("groups.double_fork_regains_terminal",),
    ),
    Setting(
        "privileges",
        "How is root dropped permanently?",
        (
            Option(
                "setresuid",
                "real, effective and saved id change together and cannot be regained",
                {"processes.setresuid_drops_for_good": True},
            ),
            Option("setuid", "setuid() by root changes all three ids", {}),
        ),
        explained_by=("processes.no_new_privs",),
    ),
)
"""All settings, in the order in which they are shown."""

NAMES = tuple(setting.name for setting in SETTINGS)

NEEDED = tuple(sorted({id for setting in SETTINGS for id in setting.facts}))
"""The ids of all facts that settings depend on."""

_REPEAT = 3


@dataclass(frozen=True)
class Choice:
    """The value chosen for a setting, the reason, and the facts it depends on with answers."""

    name: str
    question: str
    value: str
    because: str
    facts: Mapping[str, str]


class RuledOut(CommandError):
    """The facts rule out every option of a setting."""


class Settings:
    """The chosen settings by name."""

    def __init__(self, choices: Mapping[str, Choice]) -> None:
        self.choices = choices

    def __getitem__(self, name: str) -> str:
        return self.choices[name].value


def load_settings(path: str, forced: Mapping[str, str]) -> Settings:
    """Choose from the report in the file ``path``, or from facts measured now if it is empty."""
    if path:
        return choose_settings(facts.read_facts(path), forced)
    return choose_settings(measure_for_settings(forced), forced)


def measure_for_settings(forced: Mapping[str, str]) -> Report:
    """Measure the facts that settings need, and again if they rule out a setting.

    A refusal to serve is expensive for the user, and a second measurement is cheap.  If the
    answers of several runs differ, the fact is `unstable`, which rules nothing out.
    """
    report = facts.measure_facts(NEEDED)
    try:
        choose_settings(report, forced)
    except RuledOut as error:
        log_to_standard_error(f"{error}; measuring {_REPEAT} times more")
        return facts.measure_facts_again(NEEDED, _REPEAT)
    return report


def choose_settings(report: Report, forced: Mapping[str, str] | None = None) -> Settings:
    """Choose from the facts of ``report``; ``forced`` gives values by name (``--set``).

    Raise RuledOut if the facts rule out every option or the forced one, CommandError for an
    unknown name or value.
    """
    forced = forced or {}
    for name in forced:
        if name not in NAMES:
            raise CommandError(f"unknown setting {name!r}; the settings are {', '.join(NAMES)}")
    return Settings({s.name: choose(s, report, forced.get(s.name)) for s in SETTINGS})


def choose(setting: Setting, report: Report, forced: str | None = None) -> Choice:
    """Choose the best option of one setting; see `choose_settings`."""
    options = setting.options
    if forced is not None:
        options = tuple(option for option in options if option.value == forced)
        if not options:
            values = ", ".join(repr(option.value) for option in setting.options)
            raise CommandError(
                f"setting {setting.name}: unknown value {forced!r}; choose one of {values}"
            )
    possible = [o for o in options if not facts.list_contradictions(o.depends_on, report)]
    if not possible:
        why = "; ".join(
            f"{o.value}: {', '.join(facts.list_contradictions(o.depends_on, report))}"
            for o in options
        )
        raise RuledOut(f"setting {setting.name}: the facts rule out every option: {why}", 3)
    known = [o for o in possible if not facts.list_unmeasured(o.depends_on, report)]
    option = (known or possible)[0]
    because = option.because
    unmeasured = facts.list_unmeasured(option.depends_on, report)
    if unmeasured:
        because += f" (not measured here: {', '.join(unmeasured)})"
    if forced is not None:
        because += " (set by the user)"
    answers = facts.list_answers((*option.depends_on, *setting.explained_by), report)
    return Choice(setting.name, setting.question, option.value, because, answers)
