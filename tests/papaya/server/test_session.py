"""A session: the key, then lines."""

from __future__ import annotations

from pathlib import Path

from papaya import config, key
from papaya.server.engine import ServiceContext
from papaya.server.scoreboard import LINES, Scoreboard
from papaya.server.session import Session
from papaya.settings import choose_settings
from probes import Platform, Report

HERE = Platform("Linux", "1", "amd64", "libc", "1", 64)


def test_what_a_client_sent_of_the_key_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "log"
    loaded = config.load(None, {"key": "/k", "log": str(path)})
    secret, scoreboard = b"k" * key.LENGTH, Scoreboard(1)
    context = ServiceContext(loaded, choose_settings(Report(HERE, {})), secret, scoreboard, print)
    log = context.make_log()
    log.recover()
    session = Session(context, log, lambda: None, lambda: context.open_reader(sendfile=False))
    assert session.feed(secret[:100]) == 0
    assert session.feed(secret[100:] + b"x: y\n" * 1000) == 0
    kept = [value for value in vars(session).values() if isinstance(value, bytes)]
    assert b"k" not in b"".join(kept) + path.read_bytes()
    assert scoreboard[LINES] == 1000
