"""The configuration: the file, the options, and their errors."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from papaya import config
from probes.errors import CommandError
from tests.worlds import ROOT


def test_options_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "papaya.toml"
    path.write_text('key = "/k"\nlog = "/l"\nhistory = 3\nlisten = [":1", "[::1]:2"]\n')
    loaded = config.load(str(path), {"history": 5, "set": {"lock": "ofd"}})
    assert (loaded.history, loaded.listen, loaded.set["lock"]) == (5, (":1", "[::1]:2"), "ofd")
    assert loaded.status_path == "/l.status"


@pytest.mark.parametrize("value", ["70", '"70"', '"30:30:70"'])
def test_of_the_older_form_of_max_unauthenticated_the_last_number_counts(
    value: str, tmp_path: Path
) -> None:
    path = tmp_path / "papaya.toml"
    path.write_text(f'key = "/k"\nlog = "/l"\nmax_unauthenticated = {value}\n')
    assert config.load(str(path), {}).max_unauthenticated == 70
    assert config.load(None, {"key": "/k", "log": "/l"}).max_unauthenticated == 1000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("histroy = 3", "histroy: unknown entry"),
        ("history = '3'", "history: '3' is not a whole number"),
        ("history = true", "history: True is not a whole number"),
        ("history = -1", "history: -1 is not between 0 and 10000"),
        ("listen = []", "listen: not an address"),
        ("listen = '1.2.3.4'", "'1.2.3.4': not an address"),
        ("listen = '::1:80'", "'::1:80': not an address"),
        ("listen = ':65536'", "':65536': not an address"),
        ("durability = 'all'", "durability: 'all' is not one of none, data"),
        ("max_unauthenticated = '10:30'", "'10:30' is not a whole number, such as 1000"),
        ("max_unauthenticated = '9:30:x'", "'9:30:x' is not a whole number, such as 1000"),
        ("max_unauthenticated = true", "True is not a whole number"),
        ("max_unauthenticated = '9:30:0'", "0 is not between 1 and 100000"),
        ("set = 'lock=ofd'", "set: not a table"),
        ("key = ", "not valid TOML"),
        ("log = 'x'", "no key file"),
    ],
)
def test_a_bad_entry_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "papaya.toml"
    path.write_text(text)
    with pytest.raises(CommandError) as raised:
        config.load(str(path), {})
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.status == 2


def test_every_entry_is_an_option_and_explained() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "papaya", "serve", "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for field in dataclasses.fields(config.Config):
        assert f"--{field.name.replace('_', '-')}" in done.stdout
        assert field.metadata["help"]
