"""Every choice that depends on the platform, made from measured facts, each with its reason.

    settings = Settings.from_report(probes.measure(only=NEEDED))
    settings["lock"]            # 'flock'
    settings.choices["lock"]    # the same with the facts and the sentence why

A setting is a row of `SETTINGS`: its options, best first, each with the facts it
rests on.  An option is ruled out by a fact that answers otherwise; one that rests
on a fact nobody could measure comes after those that are known to hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from probes.errors import CommandError

if TYPE_CHECKING:
    from probes import Report

Answer = bool | int | str | None


@dataclass(frozen=True)
class Option:
    """One way to do it, why, and the answers it rests on, by fact id."""

    value: str
    because: str
    rests_on: Mapping[str, Answer]


@dataclass(frozen=True)
class Setting:
    """A choice that differs between platforms: its options, best first."""

    name: str
    question: str
    options: tuple[Option, ...]
    told_by: tuple[str, ...] = ()
    """Facts that say why it is set explicitly, and rule nothing out."""

    @property
    def facts(self) -> set[str]:
        """All that bear on it, by id."""
        return {*self.told_by, *(id for option in self.options for id in option.rests_on)}


SETTINGS = (
    Setting(
        "listen",
        "How does one port serve IPv4 and IPv6?",
        (
            Option(
                "a socket a family",
                "0.0.0.0 and [::] bind beside each other with IPV6_V6ONLY=1, "
                "and every address reads as it is",
                {"sockets.bind_v4_first_v6only": "ok"},
            ),
            Option(
                "one dual-stack socket",
                "[::] with IPV6_V6ONLY=0 serves IPv4 clients too",
                {"sockets.v4mapped_dual": True},
            ),
            Option(
                "IPv4 alone",
                "there is no IPv6 on this machine",
                {"sockets.ipv6_loopback": False},
            ),
        ),
        told_by=("sockets.v6only_default", "sockets.v4mapped_default"),
    ),
    Setting(
        "v6only",
        "What is IPV6_V6ONLY set to before bind?",
        (
            Option(
                "always set",
                "its default differs between platforms and may not change after bind",
                {},
            ),
        ),
        told_by=("sockets.v6only_default", "sockets.v6only_after_bind"),
    ),
    Setting(
        "accepted",
        "Where do the options of an accepted socket come from?",
        (
            Option(
                "set on each",
                "blocking mode, close-on-exec, TCP_NODELAY and SO_KEEPALIVE are handed on by "
                "some listeners and not by others",
                {},
            ),
        ),
        told_by=(
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
                "Python installs it by sigaction() with flags of its own: it stays installed, and "
                "a read it interrupts is asked again by Python, whatever the C library's signal() "
                "does",
                {"signals.python_signal_stays": True},
            ),
        ),
        told_by=("signals.libc_signal_flags", "signals.python_signal_flags"),
    ),
    Setting(
        "wait",
        "How does a process wait for the multicast?",
        (
            Option(
                "sigwait",
                "the signal stays blocked, and sigwait() takes one that came before the wait: "
                "none is lost",
                {"signals.sigwait_takes_earlier": True},
            ),
            Option(
                "sigtimedwait",
                "the signal stays blocked, and sigtimedwait() takes one that came before the wait",
                {
                    "signals.python_has_sigtimedwait": True,
                    "signals.sigtimedwait_takes_pending": True,
                },
            ),
            Option(
                "wakeup descriptor",
                "a handler writes a byte into a pipe that is polled",
                {"signals.python_wakeup_fd": True},
            ),
        ),
        told_by=("signals.pending_coalesce",),
    ),
    Setting(
        "multicast",
        "How is a new line told to every sender?",
        (
            Option(
                "killpg",
                "one call reaches every member of the senders' group and nobody else",
                {"groups.killpg_reaches_all": True, "groups.killpg_spares_foreign": True},
            ),
            Option("one by one", "kill() to each sender reaches it", {}),
        ),
    ),
    Setting(
        "lock",
        "Which lock keeps two writers of the log apart?",
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
        "How does a process come by the log?",
        (
            Option(
                "opened anew in each process",
                "a descriptor kept over fork() shares its lock and its offset with the parent",
                {"files.offset_shared_by_new_open": False},
            ),
        ),
        told_by=("locks.flock_shared_by_fork", "files.offset_shared_after_fork"),
    ),
    Setting(
        "send",
        "How do bytes go from the log to a client?",
        (
            Option(
                "sendfile",
                "one call moves them, from an explicit offset",
                {
                    "files.python_has_sendfile": True,
                    "files.sendfile_to_socket": True,
                    "files.sendfile_keeps_offset": True,
                },
            ),
            Option("pread and send", "every Unix has both, with an explicit offset", {}),
        ),
    ),
    Setting(
        "reap",
        "How are ended children reaped?",
        (
            Option(
                "waitpid on SIGCHLD",
                "their exit status is needed, and as one SIGCHLD may stand for several, waitpid() "
                "is asked until none is left",
                {"signals.sigchld_default_leaves_zombies": True},
            ),
        ),
        told_by=("signals.sigchld_coalesces", "signals.sigchld_ignored_reaps"),
    ),
    Setting(
        "orphans",
        "How does a process learn that its parent died?",
        (
            Option(
                "prctl",
                "prctl(PR_SET_PDEATHSIG) sends it a signal; set anew after each fork",
                {"processes.parent_death_signal": "prctl"},
            ),
            Option(
                "procctl",
                "procctl(PROC_PDEATHSIG_CTL) sends it a signal; set anew after each fork",
                {"processes.parent_death_signal": "procctl"},
            ),
            Option(
                "pipe",
                "a pipe whose other end only the parent holds reads its end",
                {"processes.parent_death_pipe": True},
            ),
        ),
        told_by=("processes.parent_death_signal_survives_fork",),
    ),
    Setting(
        "sigpipe",
        "How is SIGPIPE kept away?",
        (
            Option(
                "ignored",
                "with SIGPIPE ignored a send to a client that left fails with EPIPE, "
                "by sendfile() too",
                {"signals.sigpipe_ignored_gives": "EPIPE"},
            ),
        ),
        told_by=("signals.python_sigpipe_ignored", "accepting.msg_nosignal"),
    ),
    Setting(
        "daemon",
        "How does it leave its terminal for good?",
        (
            Option(
                "double fork",
                "after the second fork it leads no session, so no open() gives it a terminal",
                {"groups.double_fork_is_session_leader": False},
            ),
            Option("setsid", "setsid() leaves the terminal", {}),
        ),
        told_by=("groups.double_fork_regains_terminal",),
    ),
    Setting(
        "privileges",
        "How is root given up for good?",
        (
            Option(
                "setresuid",
                "real, effective and saved id change together and do not come back",
                {"processes.setresuid_drops_for_good": True},
            ),
            Option("setuid", "setuid() by root changes all three ids", {}),
        ),
        told_by=("processes.no_new_privs",),
    ),
)
"""All settings, in the order in which they are shown."""

NAMES = tuple(setting.name for setting in SETTINGS)

NEEDED = tuple(sorted({id for setting in SETTINGS for id in setting.facts}))
"""The ids of the facts that settings are made of."""


@dataclass(frozen=True)
class Choice:
    """What was chosen for one setting, why, and the facts it came from with their answers."""

    name: str
    question: str
    value: str
    because: str
    facts: Mapping[str, str]


class RuledOut(CommandError):
    """The facts leave a setting no option."""


class Settings:
    """The choices, by name."""

    def __init__(self, choices: Mapping[str, Choice]) -> None:
        self.choices = choices

    def __getitem__(self, name: str) -> str:
        return self.choices[name].value

    @classmethod
    def from_report(cls, report: Report, forced: Mapping[str, str] | None = None) -> Settings:
        """Choose from the facts of ``report``; ``forced`` gives values by name (``--set``).

        Raises RuledOut where the facts rule out every option, or the one that is forced,
        CommandError for a name or a value there is not.
        """
        forced = forced or {}
        for name in forced:
            if name not in NAMES:
                raise CommandError(f"no setting {name!r}: there are {', '.join(NAMES)}")
        return cls({s.name: _choose(s, report, forced.get(s.name)) for s in SETTINGS})


def _choose(setting: Setting, report: Report, forced: str | None) -> Choice:
    options = setting.options
    if forced is not None:
        options = tuple(option for option in options if option.value == forced)
        if not options:
            values = ", ".join(repr(option.value) for option in setting.options)
            raise CommandError(f"setting {setting.name}: no {forced!r}; it may be {values}")
    possible = [option for option in options if not _against(option, report)]
    if not possible:
        why = "; ".join(f"{o.value}: {', '.join(_against(o, report))}" for o in options)
        raise RuledOut(f"setting {setting.name}: the facts rule out all there is: {why}", 3)
    known = [option for option in possible if not _unknown(option, report)]
    option = (known or possible)[0]
    because = option.because
    unknown = _unknown(option, report)
    if unknown:
        because += f" (not measured here: {', '.join(unknown)})"
    if forced is not None:
        because += " (asked for)"
    ids = dict.fromkeys((*option.rests_on, *setting.told_by))
    facts = {id: answer for id in ids if (answer := _answer(report, id)) is not None}
    return Choice(setting.name, setting.question, option.value, because, facts)


def _answer(report: Report, id: str) -> str | None:
    fact = report.get(id)
    return fact.answer if fact else None


def _against(option: Option, report: Report) -> list[str]:
    """The facts that rule the option out, each with its answer."""
    found = []
    for id, wanted in option.rests_on.items():
        fact = report.get(id)
        lacking = fact is not None and fact.status == "unsupported"
        if fact and (lacking or (fact.measured and fact.value != wanted)):
            found.append(f"{id} is {fact.answer}")
    return found


def _unknown(option: Option, report: Report) -> list[str]:
    """The facts it rests on of which the report does not know the answer."""
    unmeasured = []
    for id in option.rests_on:
        fact = report.get(id)
        if fact is None or not fact.measured:
            unmeasured.append(id)
    return unmeasured
