"""Test the history: which reports are compared, in which order, and what has changed."""

from __future__ import annotations

import pytest

from matrix.cell import load_cells
from matrix.history import Family, Step, find_cells, group_reports
from matrix.table import Named
from probes import Report
from probes.fact import CONFIGURED, INHERENT
from tests.matrix.reports import FREEBSD, changed, debian
from tests.matrix.tables import ID

FACT = "accepting.inherits_nonblock"
"""A fact whose scope is inherent; that of `ID` is configured."""


@pytest.fixture(scope="module")
def sid(linux: Report) -> Report:
    return debian(linux, "forky/sid", "7.1", "2.43")


def group(*reports: Report) -> list[Family]:
    named: Named = [(f"r{at}", report) for at, report in enumerate(reports)]
    families, unknown = group_reports(named)
    assert not unknown
    return families


def step(old: Report, new: Report) -> Step:
    (family,) = group(old, new)
    (found,) = family.steps
    return found


def blocked(why: str) -> dict[str, dict[str, object]]:
    return {FACT: {"status": "blocked", "value": None, "scope": INHERENT, "reason": why}}


def ids(step: Step, scope: str = INHERENT) -> list[str]:
    return [row.id for row in step.list_changes(scope)]


def test_the_order_is_that_of_the_releases(old: Report, new: Report, sid: Report) -> None:
    (family,) = group(sid, new, old)
    assert [one.name for one in family.releases] == ["r2", "r1", "r0"]
    names = [(step.then.release.name, step.now.release.name) for step in family.steps]
    assert names == [("Debian 12", "Debian 13"), ("Debian 13", "Debian forky/sid")]
    assert (family.name, family.title) == ("debian-amd64", "Debian amd64")


def test_a_release_that_was_not_recorded_is_passed_over(old: Report, sid: Report) -> None:
    found = step(sid, old)
    assert (found.then.release.name, found.now.release.name) == ("Debian 12", "Debian forky/sid")


def test_the_first_report_of_a_release_is_taken(old: Report, new: Report) -> None:
    (family,) = group(new, old, old, new)
    assert [one.name for one in family.releases] == ["r1", "r0"]
    assert family.others == ["r2", "r3"]
    assert family.names == ["r1", "r0", "r2", "r3"]


@pytest.mark.parametrize(
    ("environment", "title"),
    [
        ({"machine": "s390x"}, "Debian s390x"),
        ({"machine": "armv7l", "pointer_bits": 32}, "Debian arm"),
        ({"libc": "musl", "libc_version": "1.2.5"}, "Debian amd64, musl"),
        ({"version": "#1 SMP"}, "Debian amd64, on Linux 6.12"),
        ({"release": "6.1.0-1-amd64"}, "Debian amd64, on Linux 6.1"),
        ({"container": "docker"}, "Debian amd64, on Linux 6.12 in docker"),
        ({"pointer_bits": 32, "emulated_32_bit": True}, "Debian i386, on a kernel of 64 bits"),
        ({"hypervisor": "gvisor", "release": "4.4.0"}, "Debian amd64, on gVisor 4.4.0"),
        (
            {"version": "#1", "pointer_bits": 32, "emulated_32_bit": True, "container": "lxc"},
            "Debian i386, on Linux 6.12 of 64 bits in lxc",
        ),
        ({"distribution": "Ubuntu 26.04", "version": "#1-Ubuntu"}, "Ubuntu amd64"),
        (FREEBSD, "FreeBSD amd64"),
    ],
)
def test_only_reports_of_one_family_are_compared(
    old: Report, new: Report, environment: dict[str, object], title: str
) -> None:
    families = group(old, changed(new, environment))
    assert {family.title for family in families} == {"Debian amd64", title}
    assert [family.steps for family in families] == [[], []]


def test_two_releases_on_one_other_kernel_are_compared(old: Report, new: Report) -> None:
    host = {"release": "6.18.44", "version": "#1 SMP", "container": "docker"}
    (family,) = group(changed(old, host), changed(new, host))
    assert (family.title, len(family.steps)) == ("Debian amd64, on Linux 6.18 in docker", 1)


def test_words_for_a_processor(old: Report) -> None:
    arm = changed(old, {"machine": "armv7l", "pointer_bits": 32})
    (family,), _ = group_reports([("bookworm-armhf", arm), ("mine", arm)])
    assert {*family.list_words()} == {"debian", "debian-arm", "debian-armhf"}


def test_a_release_without_a_place_is_named(old: Report) -> None:
    other = changed(old, {"distribution": "Alpine Linux v3.20"})
    families, unknown = group_reports([("alpine", other), ("old", old)])
    assert [family.names for family in families] == [["old"]]
    assert unknown == ["alpine"]


def test_changes_are_those_of_a_scope(old: Report, new: Report) -> None:
    assert old[FACT].value is False
    found = step(old, changed(new, {}, {FACT: True, ID: True, "abi.page_size": 16384}))
    assert ids(found) == [FACT]
    assert ids(found, CONFIGURED) == [ID]
    assert found.list_missing() == {}
    informative = sum(fact.scope == "informative" for fact in old)
    compared = [len(found.list_compared(scope)) for scope in (INHERENT, CONFIGURED)]
    assert 0 < compared[1] < compared[0]
    assert sum(compared) == len(old) - informative


def test_equal_reports_have_no_changes(old: Report, new: Report) -> None:
    found = step(old, new)
    assert ids(found) == ids(found, CONFIGURED) == []
    assert found.list_circumstances() == []


def test_an_answer_of_another_type_is_a_change(old: Report, new: Report) -> None:
    assert ids(step(old, changed(new, {}, {FACT: 0}))) == [FACT]


def test_what_the_platform_lacks_is_a_change(old: Report, new: Report) -> None:
    lacks = blocked("no such call")
    lacks[FACT]["status"] = "unsupported"
    assert ids(step(old, changed(new, {}, facts=lacks))) == [FACT]


def test_what_was_not_measured_is_no_change(old: Report, new: Report) -> None:
    root, user = (changed(each, {}, facts=blocked("needs root")) for each in (old, new))
    assert step(old, user).list_missing() == {"r1: blocked: needs root": [FACT]}
    assert step(root, user).list_missing() == {"r0 and r1: blocked: needs root": [FACT]}
    tool = changed(new, {}, facts=blocked("needs cc"))
    missing = step(root, tool).list_missing()
    assert missing == {"r0: blocked: needs root; r1: blocked: needs cc": [FACT]}
    for other in (user, tool):
        found = step(root, other)
        assert ids(found) == []
        assert FACT not in [row.id for row in found.list_compared(INHERENT)]


def test_what_an_older_lab_did_not_ask_is_no_change(old: Report, new: Report) -> None:
    facts = {id: fact for id, fact in old.facts.items() if id != FACT}
    few = Report(old.environment, facts)
    assert step(few, new).list_missing() == {"r0: not asked": [FACT]}
    older = Report(changed(old, {"probes_hash": "older"}).environment, facts)
    found = step(older, new)
    assert found.list_missing() == {"r0: not asked by that version of the lab": [FACT]}
    assert ids(found) == []
    assert [each.what for each in found.list_circumstances()] == ["hash of the probes"]


def test_how_the_measurements_differ_is_told(old: Report, new: Report) -> None:
    user = changed(new, {"root": not old.environment.root, "scratch_filesystem": "nfs"})
    told = [each.what for each in step(old, user).list_circumstances()]
    assert told == ["run as root", "scratch file system"]


def test_cells_of_other_releases(old: Report, new: Report) -> None:
    def find(name: str, report: Report) -> list[str]:
        ((family,), _) = group_reports([(name, report)])
        return find_cells(family, load_cells())

    assert find("bookworm-amd64", old)[0] == "trixie-amd64"
    assert find("trixie-amd64", new)[0] == "bookworm-amd64"
    # Another processor, which the report's name does not say.
    assert find("mine", old) == []
    assert find("bookworm-mips64el", changed(old, {"machine": "mips64"})) == []
    bsd = changed(old, {**FREEBSD, "release": "13.2-RELEASE", "version": "FreeBSD 13.2"})
    assert find("freebsd13", bsd) == ["freebsd", "freebsd15"]
    # A cell brings its own kernel.
    assert find("bookworm-amd64", changed(old, {"version": "#1 SMP"})) == []
