"""Settings: what facts rule out, which option is chosen, and the reason that is given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from papaya.settings import (
    NAMES,
    NEEDED,
    SETTINGS,
    Option,
    RuledOut,
    Setting,
    choose,
    choose_settings,
)
from probes import Fact, Platform, Report
from probes.errors import CommandError
from tests.worlds import ROOT

HERE = Platform("Linux", "1", "amd64", "libc", "1", 64)
OPTIONS = [(setting, option) for setting in SETTINGS for option in setting.options]
DEPENDS = [(s, o, id) for s, o in OPTIONS for id in o.depends_on]


def named(value: object) -> str:
    return str(getattr(value, "name", getattr(value, "value", value)))


def report(*facts: Fact) -> Report:
    return Report(HERE, {fact.id: fact for fact in facts})


def measured(answers: Mapping[str, Any]) -> list[Fact]:
    return [Fact(id, "measured", value) for id, value in answers.items()]


def otherwise(value: Any) -> Any:
    """Return another answer of the same type."""
    return not value if isinstance(value, bool) else f"no {value}"


def lacking(id: str, status: str) -> Fact:
    return Fact(id, status, None, reason="because")


def choose_value(setting: Setting, *facts: Fact, forced: str | None = None) -> str:
    return choose(setting, report(*facts), forced).value


@pytest.mark.parametrize(("setting", "option"), OPTIONS, ids=named)
def test_an_option_whose_facts_hold_may_be_chosen(setting: Setting, option: Option) -> None:
    facts = measured(option.depends_on)
    assert choose_value(setting, *facts, forced=option.value) == option.value
    better = setting.options[: setting.options.index(option)]
    against = [lacking(id, "unsupported") for each in better for id in each.depends_on]
    assert choose_value(setting, *against, *facts) == option.value


@pytest.mark.parametrize(("setting", "option", "id"), DEPENDS, ids=named)
def test_each_fact_falsified_removes_its_option(setting: Setting, option: Option, id: str) -> None:
    holding = [fact for fact in measured(option.depends_on) if fact.id != id]
    wrong = Fact(id, "measured", otherwise(option.depends_on[id]))
    for against, answer in ((wrong, wrong.answer), (lacking(id, "unsupported"), "unsupported")):
        with pytest.raises(RuledOut) as raised:
            choose_value(setting, *holding, against, forced=option.value)
        assert f"{option.value}: {id} is {answer}" in str(raised.value)
        assert raised.value.status == 3
        try:
            assert choose_value(setting, *holding, against) != option.value
        except RuledOut:
            assert len(setting.options) == 1 or all(o.depends_on for o in setting.options)


@pytest.mark.parametrize("status", ["blocked", "timed out", "broken", "unstable", "absent"])
@pytest.mark.parametrize(("setting", "option", "id"), DEPENDS, ids=named)
def test_a_fact_that_is_not_known_removes_nothing_and_is_said(
    setting: Setting, option: Option, id: str, status: str
) -> None:
    holding = [fact for fact in measured(option.depends_on) if fact.id != id]
    unknown = [] if status == "absent" else [lacking(id, status)]
    choice = choose(setting, report(*holding, *unknown), option.value)
    assert choice.because == f"{option.because} (not measured here: {id}) (set by the user)"


@pytest.mark.parametrize("setting", SETTINGS, ids=named)
def test_a_measured_option_beats_an_unmeasured_one(setting: Setting) -> None:
    for number, option in enumerate(setting.options):
        before = setting.options[:number]
        chosen = choose_value(setting, *measured(option.depends_on))
        # Earlier options that depend on nothing, or on the same facts, are measured as well.
        known = [each for each in before if each.depends_on.items() <= option.depends_on.items()]
        assert chosen == [*known, option][0].value


def test_half_a_measured_option_is_none() -> None:
    (lock,) = (setting for setting in SETTINGS if setting.name == "lock")
    one_of_two = measured({"locks.flock_second_open_conflicts": True})
    assert choose_value(lock, *one_of_two) == "flock"
    fcntl = measured({"locks.fcntl_inherited_by_fork": False})
    assert choose_value(lock, *one_of_two, *fcntl) == "fcntl"
    whole = measured({"locks.flock_blocks": True})
    assert choose_value(lock, *one_of_two, *whole, *fcntl) == "flock"


COLOUR = Setting(
    "colour",
    "Which colour?",
    (
        Option("red", "it is warm", {"a.warm": True, "a.number": 3}),
        Option("blue", "it is cold", {"a.cold": "very"}),
    ),
    explained_by=("a.told", "a.untold"),
)
RED = {"a.warm": True, "a.number": 3, "a.told": "x"}


def test_a_choice_has_its_facts_and_its_reason() -> None:
    choice = choose(COLOUR, report(*measured({**RED, "a.other": 1})), None)
    assert (choice.name, choice.question, choice.value) == ("colour", "Which colour?", "red")
    assert choice.because == "it is warm"
    assert dict(choice.facts) == {"a.warm": "yes", "a.number": "3", "a.told": "x"}
    blocked = choose(COLOUR, report(lacking("a.warm", "blocked")), None)
    assert blocked.because == "it is warm (not measured here: a.warm, a.number)"
    assert dict(blocked.facts) == {"a.warm": "blocked"}
    assert COLOUR.facts == {"a.warm", "a.number", "a.cold", "a.told", "a.untold"}


def test_what_is_asked_for_is_said_and_may_be_ruled_out() -> None:
    choice = choose(COLOUR, report(*measured({**RED, "a.cold": "very"})), "blue")
    assert (choice.value, choice.because) == ("blue", "it is cold (set by the user)")
    with pytest.raises(RuledOut, match=r"rule out every option: blue: a\.cold is no$") as raised:
        choose_value(COLOUR, *measured({**RED, "a.cold": False}), forced="blue")
    assert raised.value.status == 3
    with pytest.raises(
        CommandError, match="setting colour: unknown value 'pink'; choose one of 'red', 'blue'"
    ):
        choose_value(COLOUR, forced="pink")


def test_what_rules_each_option_out_is_named() -> None:
    facts = measured({"a.warm": False, "a.number": 4, "a.cold": "hardly"})
    said = "red: a.warm is no, a.number is 4; blue: a.cold is hardly"
    with pytest.raises(RuledOut, match=f"setting colour: the facts rule out every option: {said}"):
        choose_value(COLOUR, *facts)


def test_settings_by_name() -> None:
    assert set(NAMES) == {setting.name for setting in SETTINGS}
    assert len(NAMES) == len(SETTINGS)
    assert sorted({id for setting in SETTINGS for id in setting.facts}) == list(NEEDED)
    settings = choose_settings(report(), {"lock": "ofd"})
    assert settings["lock"] == "ofd"
    assert list(settings.choices) == list(NAMES)
    with pytest.raises(
        CommandError, match="unknown setting 'lokc'; the settings are listen, v6only"
    ):
        choose_settings(report(), {"lokc": "ofd"})


def report_of(answers: Mapping[str, object]) -> Report:
    """Return a report with these answers; None stands for a fact that is unsupported."""
    facts = (
        lacking(id, "unsupported") if answer is None else Fact(id, "measured", answer)  # type: ignore[arg-type]
        for id, answer in answers.items()
    )
    return report(*facts)


LINUX = {
    "sockets.bind_v4_first_v6only": "ok", "sockets.v4mapped_dual": True,
    "sockets.ipv6_loopback": True, "sockets.v6only_default": False,
    "signals.python_signal_stays": True, "signals.sigwait_takes_earlier": True,
    "signals.python_has_sigtimedwait": True, "signals.sigtimedwait_takes_pending": True,
    "signals.python_wakeup_fd": True, "groups.killpg_reaches_all": True,
    "groups.killpg_spares_foreign": True, "locks.flock_second_open_conflicts": True,
    "locks.flock_blocks": True, "locks.ofd_exists": True, "locks.ofd_second_open_conflicts": True,
    "locks.fcntl_inherited_by_fork": False, "files.offset_shared_by_new_open": False,
    "signals.sigchld_default_leaves_zombies": True, "processes.parent_death_signal": "prctl",
    "processes.parent_death_pipe": True, "signals.sigpipe_ignored_gives": "EPIPE",
    "groups.double_fork_is_session_leader": False, "processes.setresuid_drops_for_good": True,
    "accepting.inherits_nonblock": False,
}  # fmt: skip
FREEBSD = {
    **LINUX, "sockets.v6only_default": True, "accepting.inherits_nonblock": True,
    "processes.parent_death_signal": "procctl", "locks.ofd_exists": None,
    "locks.ofd_second_open_conflicts": None,
}  # fmt: skip
OPENBSD = {
    **FREEBSD, "sockets.v4mapped_dual": False, "processes.parent_death_signal": None,
    "signals.python_has_sigtimedwait": None, "signals.sigtimedwait_takes_pending": None,
}  # fmt: skip


BASELINES = sorted((ROOT / "matrix" / "baselines").glob("*.json"))


def choose_all(answers: Mapping[str, object], **forced: str) -> dict[str, str]:
    settings = choose_settings(report_of(answers), forced)
    return {name: choice.value for name, choice in settings.choices.items()}


def test_settings_of_each_kind_of_platform() -> None:
    linux = choose_all(LINUX)
    assert linux["listen"] == "a socket a family"
    assert (linux["lock"], linux["orphans"]) == ("flock", "prctl")
    assert choose_all(FREEBSD) == {**linux, "orphans": "procctl"}
    assert choose_all(OPENBSD) == {**linux, "orphans": "pipe"}


@pytest.mark.parametrize("path", BASELINES, ids=[path.stem for path in BASELINES])
def test_settings_of_each_recorded_platform(path: Path) -> None:
    recorded = Report.load(path)
    settings = choose_settings(recorded)
    for choice in settings.choices.values():
        (option,) = (
            option
            for setting in SETTINGS
            for option in setting.options
            if (setting.name, option.value) == (choice.name, choice.value)
        )
        for id, wanted in option.depends_on.items():
            fact = recorded.get(id)
            assert fact is None or not fact.measured or fact.value == wanted
    answers = FREEBSD if recorded.environment.system == "FreeBSD" else LINUX
    assert {name: choice.value for name, choice in settings.choices.items()} == choose_all(answers)


@pytest.mark.parametrize(
    ("changed", "name", "value"),
    [
        ({"sockets.bind_v4_first_v6only": "EADDRINUSE"}, "listen", "one dual-stack socket"),
        (
            {
                "sockets.bind_v4_first_v6only": None, "sockets.v4mapped_dual": None,
                "sockets.ipv6_loopback": False,
            },
            "listen", "IPv4 alone",
        ),
        ({"signals.sigwait_takes_earlier": False}, "wait", "sigtimedwait"),
        (
            {"signals.sigwait_takes_earlier": False, "signals.python_has_sigtimedwait": None},
            "wait", "wakeup descriptor",
        ),
        ({"groups.killpg_reaches_all": False}, "multicast", "one by one"),
        ({"locks.flock_second_open_conflicts": False}, "lock", "ofd"),
        ({"locks.flock_blocks": False, "locks.ofd_exists": None}, "lock", "fcntl"),
        ({"groups.double_fork_is_session_leader": True}, "daemon", "setsid"),
        ({"processes.setresuid_drops_for_good": None}, "privileges", "setuid"),
    ],
)  # fmt: skip
def test_one_fact_changes_one_choice(changed: Mapping[str, object], name: str, value: str) -> None:
    before, after = choose_all(LINUX), choose_all({**LINUX, **changed})
    assert {n: v for n, v in after.items() if v != before[n]} == {name: value}


def test_what_rules_every_option_out_is_named() -> None:
    none = {
        "locks.flock_second_open_conflicts": False, "locks.ofd_exists": None,
        "locks.fcntl_inherited_by_fork": True,
    }  # fmt: skip
    with pytest.raises(CommandError, match="flock_second_open_conflicts is no") as raised:
        choose_all({**LINUX, **none})
    assert raised.value.status == 3
    assert "\n" not in str(raised.value)


def test_a_fact_nobody_measured_rules_nothing_out_and_is_said() -> None:
    settings = choose_settings(report())
    assert settings["lock"] == "flock"
    assert "not measured here: locks.flock" in settings.choices["lock"].because


def test_every_fact_that_settings_need_is_one_the_lab_asks() -> None:
    from probes.load_catalogue import load_catalogue

    assert set(NEEDED) <= set(load_catalogue())
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS)
