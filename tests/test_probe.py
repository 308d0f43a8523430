"""Test what @probe refuses to register."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Callable

import pytest

from probes import probe as module
from probes.fact import CONFIGURED, INFORMATIVE, INHERENT, Platform, Value
from probes.load_catalogue import load_catalogue
from probes.probe import Sample, probe


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what a test registers, but not the catalogue, which is imported only once."""
    load_catalogue()
    monkeypatch.setattr(module, "_registered", dict(module._registered))


def asked_bool() -> bool:
    """Is it so?"""
    return True


def asked_int() -> int:
    """How many are there?"""
    return 1


def asked_str() -> str:
    """What is it?"""
    return "it"


def asked_sample() -> Sample:
    """Is it so, and how often?"""
    return Sample(True, 3)


def asked_any() -> Any:
    """What is it, if anything?"""


def register(function: Callable[..., Any], documented: Mapping[str, Any], **more: Any) -> None:
    probe(matters="", advice="", reference="", documented=documented, **more)(function)


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (asked_bool, "yes"),
        (asked_bool, 1),
        (asked_bool, None),
        (asked_int, "64"),
        (asked_int, True),
        (asked_int, 4.0),
        (asked_str, 108),
        (asked_str, False),
        (asked_str, None),
        (asked_any, None),
        (asked_any, 0.5),
        (asked_sample, ["ok"]),
    ],
)
def test_a_value_of_another_type_than_is_measured_is_refused(
    function: Callable[..., Any], value: Any
) -> None:
    with pytest.raises(ValueError, match=rf"test_probe\.{function.__name__}: .*linux"):
        register(function, {"linux": value})
    assert f"test_probe.{function.__name__}" not in module._registered


@pytest.mark.parametrize("function", [asked_any, asked_sample])
def test_documented_values_of_one_probe_are_of_one_type(function: Callable[..., Any]) -> None:
    register(function, {"linux": True, "freebsd": False})
    with pytest.raises(ValueError, match=r"macos is 'no', of type str.*bool"):
        register(function, {"linux": True, "macos": "no"})


@pytest.mark.parametrize(
    ("function", "value"), [(asked_bool, False), (asked_int, 104), (asked_str, "EPERM")]
)
def test_a_value_of_the_type_that_is_measured_is_taken(
    function: Callable[..., Any], value: Value
) -> None:
    register(function, {"linux": value, "freebsd-32": value})
    kept = module._registered[f"test_probe.{function.__name__}"]
    assert kept.documented == {"linux": value, "freebsd-32": value}


@pytest.mark.parametrize(
    "name",
    [
        "freebds",
        "Linux",
        "",
        "darwin",
        "sunos",
        "linux-",
        "linux-gnu",
        "linux-64-glibc",
        "freebsd-musl",
        "posix-64",
        "linux-8",
        "linux ",
    ],
)
def test_a_platform_nobody_has_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a platform"):
        register(asked_bool, {name: True})


def platforms() -> Iterator[Platform]:
    for bits in (32, 64):
        for libc in ("glibc", "musl"):
            yield Platform("Linux", "", "", libc, "", bits)
        yield Platform("Linux", "", "", "glibc", "", bits, hypervisor="gvisor")
        for system in ("FreeBSD", "DragonFly", "NetBSD", "OpenBSD", "Darwin", "SunOS"):
            yield Platform(system, "", "", system.lower(), "", bits)


def test_what_a_report_is_compared_by_may_be_documented() -> None:
    for platform in platforms():
        # The C library of a BSD is part of the system, so it has no separate key.
        own = platform.libc == platform.system.lower()
        names = [n for n in platform.names if not (own and f"-{platform.libc}" in n)]
        assert len(names) >= 3
        register(asked_bool, dict.fromkeys(names, True))


@pytest.mark.parametrize(
    ("hangs_on", "said"),
    [
        ("bindv6only", "'bindv6only', which is not the name of a setting"),
        ("net.core somaxconn", "not the name of a setting"),
        ("net/core/somaxconn", "not the name of a setting"),
        ({"linux": ""}, "not the name of a setting"),
        ({"linux": 1}, "not the name of a setting"),
        ({"Linux": "net.core.somaxconn"}, "'Linux', which is not the name of a platform"),
        (("net.core.somaxconn",), "write a name, or one for each system"),
    ],
)
def test_what_cannot_be_a_setting_is_refused(hangs_on: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"^test_probe.asked_bool: hangs on.*{said}|{said}"):
        register(asked_bool, {}, scope=CONFIGURED, hangs_on=hangs_on)
    assert "test_probe.asked_bool" not in module._registered


@pytest.mark.parametrize("scope", [INHERENT, INFORMATIVE])
def test_what_hangs_on_a_setting_is_configured(scope: str) -> None:
    with pytest.raises(ValueError, match=f"its scope is {scope}; write scope=CONFIGURED"):
        register(asked_bool, {}, scope=scope, hangs_on="net.core.somaxconn")


def test_a_setting_is_that_of_the_platform_if_it_has_it() -> None:
    names = {"linux": "net.ipv6.bindv6only", "freebsd": "net.inet6.ip6.v6only"}
    register(asked_bool, {}, scope=CONFIGURED, hangs_on=names)
    asked = module._registered["test_probe.asked_bool"]
    assert {*names.values()} <= {*module.list_settings()}
    linux = Platform("Linux", "", "", "glibc", "", 64, sysctls={"net.ipv6.bindv6only": "0"})
    freebsd = replace(linux, system="FreeBSD", sysctls={"net.inet6.ip6.v6only": "1"})
    assert asked.setting(linux) == "net.ipv6.bindv6only"
    assert asked.setting(freebsd) == "net.inet6.ip6.v6only"
    # gVisor answers like Linux, but does not have the setting.
    assert asked.setting(replace(linux, sysctls={})) == ""
    assert asked.setting(replace(freebsd, system="OpenBSD")) == ""
    register(asked_bool, {}, scope=CONFIGURED, hangs_on="net.inet6.ip6.v6only")
    assert module._registered["test_probe.asked_bool"].setting(freebsd) == "net.inet6.ip6.v6only"


def test_each_row_of_a_table_is_checked() -> None:
    with pytest.raises(ValueError, match=r"test_probe\.second: .*'no'.*bool"):
        register(
            asked_bool,
            (lambda row: {"linux": row}),  # type: ignore[arg-type]
            each={"first": True, "second": "no"},
        )


def test_symptoms_of_a_table_name_its_rows() -> None:
    register(asked_bool, {}, each={"first": "read()", "second": "recv()"}, symptoms=["{row} hangs"])
    rows = {id: p.symptoms for id, p in module._registered.items() if id.startswith("test_probe.")}
    assert rows["test_probe.first"] == ("read() hangs",)
    assert rows["test_probe.second"] == ("recv() hangs",)


def test_the_catalogue_documents_what_it_measures() -> None:
    annotated = [
        probe
        for probe in load_catalogue().values()
        if probe.documented and probe.function.__annotations__["return"] in ("bool", "int", "str")
    ]
    assert len(annotated) > 100
    for each in annotated:
        kind = each.function.__annotations__["return"]
        assert {type(value).__name__ for value in each.documented.values()} == {kind}, each.id
