"""Settings: what facts rule out, what is better known, and what the choice says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from papaya.settings import (
    NAMES,
    NEEDED,
    SETTINGS,
    Option,
    RuledOut,
    Setting,
    Settings,
    _choose,
)
from probes import Fact, Platform, Report
from probes.errors import CommandError

HERE = Platform("Linux", "1", "amd64", "libc", "1", 64)
OPTIONS = [(setting, option) for setting in SETTINGS for option in setting.options]
RESTS = [(s, o, id) for s, o in OPTIONS for id in o.rests_on]


def named(value: object) -> str:
    return str(getattr(value, "name", getattr(value, "value", value)))


def report(*facts: Fact) -> Report:
    return Report(HERE, {fact.id: fact for fact in facts})


def measured(answers: Mapping[str, Any]) -> list[Fact]:
    return [Fact(id, "measured", value) for id, value in answers.items()]


def otherwise(value: Any) -> Any:
    """Another answer of its kind."""
    return not value if isinstance(value, bool) else f"no {value}"


def lacking(id: str, status: str) -> Fact:
    return Fact(id, status, None, reason="because")


def choose(setting: Setting, *facts: Fact, forced: str | None = None) -> str:
    return _choose(setting, report(*facts), forced).value


# What the facts of the real settings do --------------------------------------------------------


@pytest.mark.parametrize(("setting", "option"), OPTIONS, ids=named)
def test_an_option_whose_facts_hold_may_be_chosen(setting: Setting, option: Option) -> None:
    facts = measured(option.rests_on)
    assert choose(setting, *facts, forced=option.value) == option.value
    better = setting.options[: setting.options.index(option)]
    against = [lacking(id, "unsupported") for each in better for id in each.rests_on]
    assert choose(setting, *against, *facts) == option.value


@pytest.mark.parametrize(("setting", "option", "id"), RESTS, ids=named)
def test_each_fact_falsified_removes_its_option(setting: Setting, option: Option, id: str) -> None:
    holding = [fact for fact in measured(option.rests_on) if fact.id != id]
    wrong = Fact(id, "measured", otherwise(option.rests_on[id]))
    for against, answer in ((wrong, wrong.answer), (lacking(id, "unsupported"), "unsupported")):
        with pytest.raises(RuledOut) as raised:
            choose(setting, *holding, against, forced=option.value)
        assert f"{option.value}: {id} is {answer}" in str(raised.value)
        assert raised.value.status == 3
        try:
            assert choose(setting, *holding, against) != option.value
        except RuledOut:
            assert len(setting.options) == 1 or all(o.rests_on for o in setting.options)


@pytest.mark.parametrize("status", ["blocked", "timed out", "broken", "unstable", "absent"])
@pytest.mark.parametrize(("setting", "option", "id"), RESTS, ids=named)
def test_a_fact_that_is_not_known_removes_nothing_and_is_said(
    setting: Setting, option: Option, id: str, status: str
) -> None:
    holding = [fact for fact in measured(option.rests_on) if fact.id != id]
    unknown = [] if status == "absent" else [lacking(id, status)]
    choice = _choose(setting, report(*holding, *unknown), option.value)
    assert choice.because == f"{option.because} (not measured here: {id}) (asked for)"


@pytest.mark.parametrize("setting", SETTINGS, ids=named)
def test_a_measured_option_beats_an_unmeasured_one(setting: Setting) -> None:
    for number, option in enumerate(setting.options):
        before = setting.options[:number]
        chosen = choose(setting, *measured(option.rests_on))
        # Those before it that rest on nothing, or on the same facts, are as well known.
        known = [each for each in before if each.rests_on.items() <= option.rests_on.items()]
        assert chosen == [*known, option][0].value


def test_half_a_measured_option_is_none() -> None:
    (lock,) = (setting for setting in SETTINGS if setting.name == "lock")
    one_of_two = measured({"locks.flock_second_open_conflicts": True})
    assert choose(lock, *one_of_two) == "flock"
    fcntl = measured({"locks.fcntl_inherited_by_fork": False})
    assert choose(lock, *one_of_two, *fcntl) == "fcntl"
    whole = measured({"locks.flock_blocks": True})
    assert choose(lock, *one_of_two, *whole, *fcntl) == "flock"


# What a choice says -----------------------------------------------------------------------------


COLOUR = Setting(
    "colour",
    "Which colour?",
    (
        Option("red", "it is warm", {"a.warm": True, "a.number": 3}),
        Option("blue", "it is cold", {"a.cold": "very"}),
    ),
    told_by=("a.told", "a.untold"),
)
RED = {"a.warm": True, "a.number": 3, "a.told": "x"}


def test_a_choice_has_its_facts_and_its_reason() -> None:
    choice = _choose(COLOUR, report(*measured({**RED, "a.other": 1})), None)
    assert (choice.name, choice.question, choice.value) == ("colour", "Which colour?", "red")
    assert choice.because == "it is warm"
    assert dict(choice.facts) == {"a.warm": "yes", "a.number": "3", "a.told": "x"}
    blocked = _choose(COLOUR, report(lacking("a.warm", "blocked")), None)
    assert blocked.because == "it is warm (not measured here: a.warm, a.number)"
    assert dict(blocked.facts) == {"a.warm": "blocked"}
    assert COLOUR.facts == {"a.warm", "a.number", "a.cold", "a.told", "a.untold"}


def test_what_is_asked_for_is_said_and_may_be_ruled_out() -> None:
    choice = _choose(COLOUR, report(*measured({**RED, "a.cold": "very"})), "blue")
    assert (choice.value, choice.because) == ("blue", "it is cold (asked for)")
    with pytest.raises(RuledOut, match=r"rule out all there is: blue: a\.cold is no$") as raised:
        choose(COLOUR, *measured({**RED, "a.cold": False}), forced="blue")
    assert raised.value.status == 3
    with pytest.raises(CommandError, match="setting colour: no 'pink'; it may be 'red', 'blue'"):
        choose(COLOUR, forced="pink")


def test_what_rules_each_option_out_is_named() -> None:
    facts = measured({"a.warm": False, "a.number": 4, "a.cold": "hardly"})
    said = "red: a.warm is no, a.number is 4; blue: a.cold is hardly"
    with pytest.raises(RuledOut, match=f"setting colour: the facts rule out all there is: {said}"):
        choose(COLOUR, *facts)


def test_settings_by_name() -> None:
    assert set(NAMES) == {setting.name for setting in SETTINGS}
    assert len(NAMES) == len(SETTINGS)
    assert sorted({id for setting in SETTINGS for id in setting.facts}) == list(NEEDED)
    settings = Settings.from_report(report(), {"lock": "ofd"})
    assert settings["lock"] == "ofd"
    assert list(settings.choices) == list(NAMES)
    with pytest.raises(CommandError, match="no setting 'lokc': there are listen, v6only"):
        Settings.from_report(report(), {"lokc": "ofd"})
