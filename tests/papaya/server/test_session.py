"""A session: the lines of one client."""

from __future__ import annotations

from pathlib import Path

from papaya import config, key
from papaya.server.engine import ServiceContext
from papaya.server.scoreboard import LINES, Scoreboard
from papaya.server.session import NOT_KEPT, TOO_LONG, Session, describe_notice
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
