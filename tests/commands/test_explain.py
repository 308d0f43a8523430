"""The command explain."""

from __future__ import annotations

import json
from pathlib import Path

from tests.commands import ID
from tests.worlds import needs_linux, run_lab


def test_explain_says_all_there_is() -> None:
    done = run_lab("explain", ID)
    assert done.returncode == 0
    for word in (ID, "Is IPV6_V6ONLY on", "Matters", "Advice", "Documented", "freebsd: yes",
                 "Here", "Reference", "probes/catalogue/sockets.py:"):  # fmt: skip
        assert word in done.stdout
    document = json.loads(run_lab("explain", "--json", ID).stdout)[ID]
    assert document["measured"]["status"] == "measured"


@needs_linux
def test_explain_and_list_name_the_setting_a_fact_hangs_on() -> None:
    value = Path("/proc/sys/net/ipv6/bindv6only").read_text().strip()
    assert f"Hangs on    net.ipv6.bindv6only, {value} here\n" in run_lab("explain", ID).stdout
    document = json.loads(run_lab("explain", "--json", ID).stdout)[ID]
    assert document["measured"]["hangs_on"] == document["hangs_on"]["linux"]
    for id, named in ((ID, document["hangs_on"]), ("abi.long_bits", {})):
        assert json.loads(run_lab("list", "--json", id).stdout)[id]["hangs_on"] == named
    assert "Hangs on" not in run_lab("explain", "abi.long_bits").stdout


def test_words_find_questions() -> None:
    """A name alone, words of a question, and what a user calls a terminal."""
    assert run_lab("explain", "v6only_default").stdout == run_lab("explain", ID).stdout
    found = run_lab("explain", "poll tty")
    assert found.returncode == 0
    assert "files.poll_dev_null" in found.stdout
    many = run_lab("explain", "flock fork")
    assert (many.returncode, many.stderr) == (0, "")
    assert many.stdout == run_lab("list", "flock fork").stdout
    lines = {line.split()[0]: line for line in many.stdout.splitlines()}
    assert len(lines) > 1
    assert lines["locks.flock_shared_by_fork"].endswith("?")
    assert "measured" not in json.loads(run_lab("explain", "--json", "flock fork").stdout)[
        "locks.flock_shared_by_fork"
    ]  # fmt: skip
