"""Reports are read whole or refused in one line, and written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes import Fact, Platform, Report, ReportError
from probes.fact import STATUSES
from probes.files import write_whole
from probes.load_catalogue import load_catalogue
from probes.probe import Probe, is_same
from probes.report_json import DEEPEST, LARGEST_FILE
from probes.selection import search, select
from probes.text import printable
from tests.strategies import documents, lightly, reports, texts
from tests.worlds import ROOT, needs_root

HERE = Platform("Linux", "6.1.0", "x86_64", "glibc", "2.36", 64)
SMALL = Report(
    HERE,
    {
        "a.b": Fact("a.b", "measured", 5, raw=[1, {"x": 0.5}], milliseconds=1.25),
        "a.c": Fact("a.c", "blocked", reason="needs r\u00f6\u00f6t"),
    },
    seconds=0.5,
    measured_at="2026-11-22T23:59:59Z",
)


def complaint(text: Any) -> str:
    """The one line with which ``text`` is refused; empty where it is read, and can be written."""
    try:
        Report.loads(text).dumps()
    except ReportError as error:
        return str(error)
    return ""


def refused(text: Any) -> str:
    """The one line with which ``text`` is refused."""
    message = complaint(text)
    assert message
    assert message.isprintable()
    return message


def ordered(value: Any) -> str:
    """As text, since Python calls 1 and True equal."""
    return json.dumps(value, sort_keys=True)


# Reading --------------------------------------------------------------------------------


@lightly
@given(documents)
def test_what_is_written_reads_the_same(document: dict[str, Any]) -> None:
    report = Report.from_json(document)
    text = report.dumps()
    again = Report.loads(text)
    assert again.dumps() == text
    assert again.dumps() == Report.loads(text.encode()).dumps()
    assert again.environment == report.environment
    for fact in report:
        read = again[fact.id]
        assert (read.status, read.scope, read.reason) == (fact.status, fact.scope, fact.reason)
        assert is_same(read.value, fact.value)
        assert ordered([read.raw, read.later]) == ordered([fact.raw, fact.later])
    assert again.later == report.later
    assert text.endswith("}\n")
    assert text.isascii()


@lightly
@given(reports, st.dictionaries(st.text(st.characters(codec="ascii")).map("x".__add__), texts))
def test_fields_of_a_later_version_are_kept(report: Report, fields: dict[str, Any]) -> None:
    document = report.to_json()
    for part in (document, document["environment"], *document["facts"].values()):
        part.update(fields)
    read = json.loads(Report.from_json(document).dumps())
    for part in (read, read["environment"], *read["facts"].values()):
        assert fields.items() <= part.items()


def test_cut_short_anywhere_it_is_refused() -> None:
    data = SMALL.dumps().encode()
    Report.loads(data[:-1])  # The final newline alone may go.
    for length in range(len(data) - 1):
        refused(data[:length])


@settings(lightly, max_examples=150)
@given(st.one_of(st.binary(), st.text(), st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["schema", "facts", "environment", "a.b", "status"]), inner
    ),
).map(json.dumps)))  # fmt: skip
def test_what_is_no_report_is_refused(text: Any) -> None:
    refused(text)


@lightly
@given(reports, st.binary(max_size=3), st.data())
def test_a_report_with_bytes_changed_is_read_or_refused(
    report: Report, junk: bytes, data: st.DataObject
) -> None:
    text = report.dumps().encode()
    at = data.draw(st.integers(0, len(text)))
    changed = text[:at] + junk + text[at + data.draw(st.integers(0, 3)) :]
    said = complaint(changed)
    assert not said or said.isprintable()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"status": "blocked", "reason": "x"}, "fact a.b is blocked, but has a value"),
        *(
            ({"status": status, "value": None, "reason": ""}, "but has no reason")
            for status in STATUSES
            if status != "measured"
        ),
        ({"status": "fine"}, "the unknown status 'fine'"),
        ({"status": None}, "the unknown status None"),
        ({"scope": "local"}, "the unknown scope 'local'"),
        ({"value": 0.5}, "not a bool, integer, string or null"),
        ({"value": [1]}, "not a bool, integer, string or null"),
        ({"value": 2**63}, "not a bool, integer, string or null"),
        ({"value": -(2**63) - 1}, "not a bool, integer, string or null"),
        ({"milliseconds": -1}, "milliseconds that are not a duration"),
        ({"milliseconds": 1e12 + 1}, "milliseconds that are not a duration"),
        ({"milliseconds": True}, "milliseconds that are not a duration"),
        ({"reason": 1}, "a reason that is not a string"),
    ],
)
def test_what_is_no_fact(changed: dict[str, Any], said: str) -> None:
    right = {"status": "measured", "value": True, "scope": "inherent"}
    Fact.from_json("a.b", right)
    with pytest.raises(ReportError, match=said):
        Fact.from_json("a.b", {**right, **changed})


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 0, "", None, False, 7.0])
def test_what_a_fact_may_answer(value: Any) -> None:
    fact = Fact.from_json("a.b", {"status": "measured", "value": value, "scope": "inherent"})
    assert (fact.value, fact.measured) == (value, True)


@pytest.mark.parametrize("id", ["a", "a.", ".b", "A.b", "a.B", "a.b.c", "a.b c", "\u00e9.b", "1.b"])
def test_what_is_no_id(id: str) -> None:
    with pytest.raises(ReportError, match="is not a fact id"):
        Fact.from_json(id, {"status": "measured", "value": 1, "scope": "inherent"})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pointer_bits": 8}, "pointer_bits is of the wrong kind"),
        ({"pointer_bits": True}, "pointer_bits is of the wrong kind"),
        ({"machine": 7}, "machine is of the wrong kind"),
        ({"root": 1}, "root is of the wrong kind"),
        ({"interfaces": {"lo": "inet"}}, "interfaces is of the wrong kind"),
        ({"interfaces": {"lo": [1]}}, "interfaces is of the wrong kind"),
        ({"sysctls": {"a": 1}}, "sysctls is of the wrong kind"),
    ],
)
def test_what_is_no_platform(changed: dict[str, Any], said: str) -> None:
    right = HERE.to_json()
    assert Platform.from_json(right) == HERE
    with pytest.raises(ReportError, match=said):
        Platform.from_json({**right, **changed})
    for name in ("system", "release", "machine", "libc", "libc_version", "pointer_bits"):
        lacking = {key: value for key, value in right.items() if key != name}
        with pytest.raises(ReportError, match=f"the environment has no {name}"):
            Platform.from_json(lacking)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON, or cut short"),
        ("{}", 'no "schema"'),
        ("[]", 'no "schema"'),
        ("<html>", "not JSON"),
        ('{"schema": 2}', "its schema is 2; this version reads only schema 1"),
        ('{"schema": "1\\n2"}', "its schema is"),
        ('{"schema": true}', "its schema is True"),
        ('{"schema": 1}', "environment is missing"),
        ('{"schema": NaN}', "NaN"),
        ('{"schema": 1, "x": -Infinity}', "-Infinity"),
        ('{"schema": 1, "x": 1e999}', "JSON cannot express"),
        ('{"schema": 1, "x": ' + "9" * 5000 + "}", "hundreds of digits"),
        ('{"schema": 1, "x": ' + "9" * 350 + "}", "JSON cannot express"),
        ('{"schema": 1, "x": ' + nested(DEEPEST) + "}", "nested deeper than"),
        (nested(100_000), "nested deeper than"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested deeper than"),
        ('{"schema": 1, "schema": 1}', "has the key 'schema' twice"),
        ('{"schema": 1, "x": {"a": 1, "\\n\\u001b": 2, "\\n\\u001b": 3}}', "twice"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (SMALL.dumps().encode("utf-16"), "not UTF-8"),
        (b"\x00" * 100, "not JSON"),
        (b'{"schema": "\xed\xa0\x80"}', "not UTF-8"),
        (b"\x7fELF\x02\x01\x01", "not JSON"),
    ],
)
def test_each_refusal_says_why(text: Any, said: str) -> None:
    assert said in refused(text)


@pytest.mark.parametrize("depth", [900, 990, 5000])
def test_what_is_read_can_be_written(depth: int) -> None:
    """Some Pythons read deeper than they write: nothing in between is let through."""
    document = SMALL.to_json()
    for part in (document, document["environment"], document["facts"]["a.b"]):
        part["later"] = None
    text = json.dumps(document)
    for at in range(3):
        parts = text.split('"later": null')
        refused(f'"later": {nested(depth)}'.join(["null".join(parts[: at + 1]), parts[at + 1]]))
    deepest = '"later": ' + nested(DEEPEST - 3)
    report = Report.loads(text.replace('"later": null', deepest))
    assert Report.loads(report.dumps()).dumps() == report.dumps()


def test_a_fact_that_is_read_fits_a_report() -> None:
    for depth in range(DEEPEST - 5, DEEPEST + 3):
        raw = json.loads(nested(depth))
        try:
            fact = Fact.from_json(
                "a.b", {"status": "measured", "value": 1, "scope": "inherent", "raw": raw}
            )
        except ReportError:
            assert depth > DEEPEST - 3
        else:
            assert not complaint(Report(HERE, {"a.b": fact}).dumps())


def test_a_byte_order_mark_and_a_lone_surrogate_are_no_harm() -> None:
    assert Report.loads(b"\xef\xbb\xbf" + SMALL.dumps().encode()).dumps() == SMALL.dumps()
    report = Report.loads(SMALL.dumps().replace("needs", "\\udcff"))
    assert report["a.c"].reason.startswith("\udcff")
    assert Report.loads(report.dumps()).dumps() == report.dumps()


# Files ----------------------------------------------------------------------------------


def load_refused(path: Path) -> str:
    with pytest.raises(ReportError) as raised:
        Report.load(path)
    message = str(raised.value)
    assert message.isprintable()
    assert message.startswith(printable(str(path)))
    return message


def test_files_that_are_none(tmp_path: Path) -> None:
    assert "No such file" in load_refused(tmp_path / "missing")
    assert "Is a directory" in load_refused(tmp_path)
    assert "Not a directory" in load_refused(Path(__file__) / "x")
    assert "null" in load_refused(Path("a\0b"))
    assert "No such file" in load_refused(Path("two\nlines\x1b[31m\udcff"))
    path = tmp_path / "empty"
    path.touch()
    assert "cut short" in load_refused(path)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    load_refused(loop)


def test_a_file_past_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(LARGEST_FILE + 1)
    assert "larger than" in load_refused(path)
    if os.path.exists("/dev/zero"):
        assert "larger than" in load_refused(Path("/dev/zero"))


def test_a_fifo_nobody_writes_to_is_no_reason_to_wait(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    program = "import sys; from probes import Report; Report.load(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert f"ReportError: {path}: not JSON, or cut short" in done.stderr


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    """As a shell gives it: ``diff a.json <(ssh host …)``."""
    reading, writing = os.pipe()
    large = SMALL.with_later(x="y" * 200_000)

    def write() -> None:
        with open(writing, "w") as file:
            file.write(large.dumps())

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert Report.load(f"/dev/fd/{reading}").dumps() == large.dumps()
    finally:
        os.close(reading)
        thread.join()


def test_save_and_load(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    SMALL.save(path)
    assert Report.load(path).dumps() == SMALL.dumps()
    assert Report.load(str(path))["a.b"].value == 5
    assert os.listdir(tmp_path) == ["report.json"]


def test_a_new_file_has_the_umask_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    old = os.umask(0o027)
    try:
        SMALL.save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        SMALL.save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
    finally:
        os.umask(old)


@needs_root
def test_another_users_file_stays_theirs(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.touch()
    os.chown(path, 65534, 65533)
    SMALL.save(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65533)


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path, target = tmp_path / "link", tmp_path / "folder" / "target"
    path.symlink_to("folder/target")
    for _ in range(2):  # The first time it leads nowhere.
        SMALL.save(path)
        assert path.is_symlink()
        assert Report.load(target).dumps() == SMALL.dumps()
    assert os.listdir(tmp_path / "folder") == ["target"]
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(OSError, match="loop"):
        SMALL.save(loop)
    assert loop.is_symlink()


def test_what_is_no_plain_file_is_written_straight_to(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with open(os.open(fifo, os.O_RDWR | os.O_NONBLOCK), "rb") as reading:
        write_whole(fifo, "in one piece")
        assert os.read(reading.fileno(), 100) == b"in one piece"
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    with pytest.raises(IsADirectoryError):
        SMALL.save(tmp_path)
    if os.path.exists("/dev/full"):
        with pytest.raises(OSError, match="/dev/full") as raised:
            SMALL.save("/dev/full")
        assert raised.value.errno == errno.ENOSPC


def test_standard_output_as_a_file_is_added_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    program = "from probes.fact import write_whole; write_whole('/dev/stdout', 'after\\n')"
    with open(path, "ab") as file:
        subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=file, check=True)
    assert path.read_text() == "before\nafter\n"


SAVING = """\
import os, resource, sys
from probes import Report
report = Report.loads(sys.stdin.buffer.read())
{before}
try:
    report.save(sys.argv[1])
except OSError as error:
    print(error.errno, error.filename)
else:
    print("saved")
"""


def saved_after(before: str, path: Path) -> str:
    """What comes of saving a report in a process that did ``before`` first."""
    done = subprocess.run(
        [sys.executable, "-c", SAVING.format(before=before), str(path)],
        cwd=ROOT, input=SMALL.dumps(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.parametrize("there", [None, "what was there"])
def test_on_a_full_disk_what_was_there_stays(tmp_path: Path, there: Optional[str]) -> None:
    path = tmp_path / "report.json"
    if there:
        path.write_text(there)
    full = "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))"
    assert saved_after(full, path) == f"{errno.EFBIG} {path}"
    assert os.listdir(tmp_path) == (["report.json"] if there else [])
    if there:
        assert path.read_text() == there


@pytest.fixture
def open_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that any user can come to."""
    folder = tmp_path_factory.mktemp("open")
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.geteuid() and "pytest" in str(path):
            path.chmod(0o755)
    return folder


@pytest.mark.parametrize("closed", ["folder", "file"])
def test_what_is_read_only_stays(open_folder: Path, closed: str) -> None:
    path = open_folder / "report.json"
    path.write_text("what was there")
    path.chmod(0o444)
    open_folder.chmod(0o555 if closed == "folder" else 0o777)
    try:
        nobody = "os.geteuid() or (os.setgroups([]), os.setgid(65534), os.setuid(65534))"
        assert saved_after(nobody, path) == f"{errno.EACCES} {path}"
        assert os.listdir(open_folder) == ["report.json"]
        assert path.read_text() == "what was there"
    finally:
        open_folder.chmod(0o755)


# Values and platforms ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"), [(True, "yes"), (False, "no"), (None, "none"), (1, "1"), ("yes", "yes")]
)
def test_answers(value: Any, shown: str) -> None:
    assert Fact("a.b", "measured", value).answer == shown


def test_a_platform_in_one_line() -> None:
    assert str(HERE) == "Linux 6.1.0 x86_64, glibc 2.36, 64-bit"
    bsd = Platform(
        "FreeBSD", "14.1", "i386", "freebsd", "14.1", 32, emulated_32_bit=True,
        hypervisor="bhyve", container="jail",
    )  # fmt: skip
    assert str(bsd) == "FreeBSD 14.1 i386, 32-bit userland on a 64-bit kernel, bhyve, jail"
    assert (HERE.key, bsd.key) == ("linux-glibc-64", "freebsd-freebsd-32")


def test_facts_are_in_the_order_of_their_ids() -> None:
    facts = {id: Fact(id, "measured", 1) for id in ("b.a", "a.b", "a.a")}
    report = Report(HERE, facts)
    assert [fact.id for fact in report] == ["a.a", "a.b", "b.a"]
    assert (len(report), "a.b" in report, "c.d" in report) == (3, True, False)
    assert (report.get("c.d"), report["b.a"].family) == (None, "b")


def test_every_status_is_counted() -> None:
    assert list(SMALL.counts()) == list(STATUSES)
    assert SMALL.counts()["blocked"] == 1


@lightly
@given(texts)
def test_printable_is_one_line_and_idempotent(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
    shown.encode()


def test_names_go_from_the_nearest_to_posix() -> None:
    names = Platform("Linux", "", "", "musl", "", 32, hypervisor="gvisor").names
    assert names == (
        "gvisor", "linux-musl-32", "linux-32", "linux-musl", "linux", "posix"
    )  # fmt: skip
    assert "gvisor" not in Platform("Linux", "", "", "glibc", "", 64, hypervisor="kvm").names
    assert "macos" in Platform("Darwin", "", "", "darwin", "", 64).names
    assert "illumos" in Platform("SunOS", "", "", "sunos", "", 64).names


# Choosing probes ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def some() -> dict[str, Probe]:
    def named(id: str) -> Probe:
        return Probe(id, "?", "", "", "", "inherent", {}, "", named)

    ids = ("locks.a", "locks.b", "signals.a", "signals.ab", "lock.a")
    return {id: named(id) for id in ids}


@pytest.mark.parametrize(
    ("only", "skip", "chosen"),
    [
        ([], [], ["locks.a", "locks.b", "signals.a", "signals.ab", "lock.a"]),
        (["locks"], [], ["locks.a", "locks.b"]),
        (["lock"], [], ["lock.a"]),
        (["lock*"], [], ["locks.a", "locks.b", "lock.a"]),
        (["*.a"], [], ["locks.a", "signals.a", "lock.a"]),
        (["signals.a"], [], ["signals.a"]),
        (["signals.?"], [], ["signals.a"]),
        (["[ls]*.b"], [], ["locks.b"]),
        (["signals.ab", "locks"], [], ["locks.a", "locks.b", "signals.ab"]),
        (["locks"], ["*.a"], ["locks.b"]),
        ([], ["locks", "lock"], ["signals.a", "signals.ab"]),
    ],
)
def test_select(
    some: dict[str, Probe], only: list[str], skip: list[str], chosen: list[str]
) -> None:
    assert list(select(some, only, skip)) == chosen


@pytest.mark.parametrize(
    ("only", "skip"),
    [
        (["sokets"], []),
        (["locks.c"], []),
        (["locks", "x.*"], []),
        ([], ["x"]),
        ([""], []),
        (["locks"], ["locks"]),
        ([], ["*"]),
        (["locks.A"], []),
        (["two\nlines"], []),
    ],
)
def test_select_nothing_is_an_error_of_one_line(
    some: dict[str, Probe], only: list[str], skip: list[str]
) -> None:
    with pytest.raises(LookupError) as raised:
        select(some, only, skip)
    assert str(raised.value.args[0]).isprintable()


def probe(id: str, question: str = "?", matters: str = "", advice: str = "") -> Probe:
    return Probe(id, question, matters, advice, "", "inherent", {}, "", probe)


WORDS = {
    each.id: each
    for each in (
        probe("files.poll_null", "What does poll() say?", advice="No pipe or terminal."),
        probe("files.poll_pipe", "What does poll() say of a pipe?"),
        probe("locks.shared", "Does a child share it?", matters="A nonblocking Lock is lost."),
        probe("sockets.v6only_default"),
        probe("sockets.v6only_late"),
    )
}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("poll", ["files.poll_null", "files.poll_pipe"]),
        ("POLL Pipe", ["files.poll_null", "files.poll_pipe"]),
        ("poll tty", ["files.poll_null"]),
        ("lock", ["locks.shared"]),
        ("block", ["locks.shared"]),  # Within a word, where no word begins so.
        ("v6only_default", ["sockets.v6only_default"]),
        ("v6only", ["sockets.v6only_default", "sockets.v6only_late"]),
        ("null", ["files.poll_null"]),
        ("child frobnicates", ["locks.shared"]),
        ("frobnicates", []), ("", []), (" ", []), ("(", ["files.poll_null", "files.poll_pipe"]),
        # What names facts already is not looked for.
        ("files", []), ("files.*", []), ("files.poll_null", []),
    ],
)  # fmt: skip
def test_search(words: str, found: list[str]) -> None:
    assert sorted(search(WORDS, words)) == found


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("v6only_default", "sockets.v6only_default"),
        ("V6ONLY_DEFAULT", "sockets.v6only_default"),
        ("Sockets.v6only_Default", "sockets.v6only_default"),
        ("v6only_defalt", "sockets.v6only_default"),
        ("sockets.v6only_lat", "sockets.v6only_late"),
        ("sokets", "sockets"),
        ("sokets.*", "sockets"),
        ("Locks", "locks"),
        ("zzz", ""),
    ],
)
def test_what_matches_nothing_names_the_nearest(pattern: str, meant: str) -> None:
    with pytest.raises(LookupError) as raised:
        select(WORDS, [pattern])
    said = str(raised.value.args[0])
    assert said.startswith(f"no probe matches {pattern!r}: ")
    assert ("did you mean" in said) == bool(meant)
    assert re.search(rf"did you mean {re.escape(meant)}( or [\w.]+)*\?", said) or not meant


def test_a_name_of_two_families_suggests_both() -> None:
    probes = {id: probe(id) for id in ("a.same", "b.same", "b.other")}
    with pytest.raises(LookupError, match=r"did you mean a\.same or b\.same\? "):
        select(probes, ["same"])


def test_the_whole_catalogue_is_well_formed() -> None:
    """Each question is one, each id one the reader takes, each documented name a platform's."""
    for id, probe in load_catalogue().items():
        assert Fact.from_json(id, {"status": "measured", "value": 1, "scope": probe.scope})
        assert probe.question.endswith("?"), id
        assert probe.question.isprintable(), id
        assert len(probe.question) <= 115, id
        assert probe.matters, id
        assert probe.advice, id
        assert probe.reference, id
