"""A session: the lines of one client."""

from __future__ import annotations

from pathlib import Path

from papaya import config, key
from papaya.server.engine import ServiceContext
from papaya.server.scoreboard import LINES, Scoreboard
from papaya.server.session import LOG_FULL, NOT_KEPT, TOO_LONG, Session, describe_notice
from papaya.settings import choose_settings
from probes import Platform, Report

HERE = Platform("Linux", "1", "amd64", "libc", "1", 64)


def test_lines_are_logged_and_what_is_not_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log"
    loaded = config.load(None, {"key": "/k", "log": str(path), "max_line": 100})
    scoreboard = Scoreboard(1)
    said: list[str] = []
    context = ServiceContext(
        loaded, choose_settings(Report(HERE, {})), b"k" * key.LENGTH, scoreboard, said.append
    )
    log = context.make_log(5)
    log.recover()
    woken: list[bool] = []
    session = Session(context, log, lambda: woken.append(True))
    assert session.feed(b"ann: he") == 0
    assert not woken
    assert session.feed(b"llo\n" + b"x: y\n" * 1000 + b"ann: las") == 0
    assert session.feed(b"t" * 100 + b"\nann: short\nann: un") == TOO_LONG
    session.feed(b"finished")
    session.finish()
    assert scoreboard[LINES] == 1003
    assert path.read_bytes().endswith(b" ann: unfinished\n")
    assert len(woken) == 3
    assert describe_notice(TOO_LONG, context).endswith("longer than 100 bytes")

    def fail(lines: list[bytes]) -> tuple[int, str]:
        raise OSError(28, "No space left on device")

    log.append = fail  # type: ignore[method-assign]
    assert session.feed(b"ann: lost\n") == NOT_KEPT
    assert said == [f"1 lines not kept: {path}: No space left on device"]


def test_a_full_log_is_told_to_each_line_and_logged_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    loaded = config.load(None, {"key": "/k", "log": str(path), "max_log": 100})
    said: list[str] = []
    context = ServiceContext(
        loaded, choose_settings(Report(HERE, {})), b"k" * key.LENGTH, Scoreboard(1), said.append
    )
    log = context.make_log(5)
    log.recover()
    session = Session(context, log, lambda: None)
    for _ in range(2):
        assert session.feed(b"ann: " + b"x" * 100 + b"\n") == 0
        size = path.stat().st_size
        for _ in range(3):
            assert session.feed(b"ann: more\n") == LOG_FULL
        assert path.stat().st_size == size > 100
        assert said == [f"lines are refused: {path}: has {size} bytes, the most is 100; rotate it"]
        said.clear()
        path.write_bytes(b"")  # As logrotate's copytruncate does.
    assert session.feed(b"ann: more\n") == 0
    assert describe_notice(LOG_FULL, context).endswith("its limit of 100 bytes")
