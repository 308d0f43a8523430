"""The files in papaya/deploy, and the commands of the README."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

from papaya import config
from tests.manual import read_block
from tests.needs import require
from tests.test_readme import checkout
from tests.worlds import ROOT

__all__ = ["checkout"]  # A fixture.

DEPLOY = Path(config.__file__).parent / "deploy"


def checked(*command: str) -> str:
    """Return what a tool prints; fail, or skip, if it is not installed."""
    require(command[0])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_systemd_unit_is_sound() -> None:
    assert checked("systemd-analyze", "verify", str(DEPLOY / "papaya.service")) == ""


def test_the_systemd_unit_leaves_little_open() -> None:
    said = checked("systemd-analyze", "security", "--offline=yes", str(DEPLOY / "papaya.service"))
    level = re.search(r"Overall exposure level for papaya.service: ([\d.]+)", said)
    assert level
    assert float(level[1]) < 2


def test_the_rc_script_is_plain_sh() -> None:
    checked("sh", "-n", str(DEPLOY / "papaya.rc"))
    # FreeBSD's /etc/rc.subr reads its variables.
    checked("shellcheck", "-s", "sh", "-e", "SC1091,SC2034,SC2154", str(DEPLOY / "papaya.rc"))


def test_the_sample_configuration_says_the_defaults() -> None:
    loaded = config.load(str(DEPLOY / "papaya.toml"), {})
    default = config.load(None, {"key": loaded.key, "log": loaded.log, "listen": [":7722"]})
    assert loaded == default


def test_fail2ban_reads_what_the_service_says() -> None:
    text = (DEPLOY / "fail2ban-papaya.conf").read_text()
    pattern = (
        text.partition("failregex = ")[2].splitlines()[0].replace("<HOST>", r"(?P<host>[\w.:]+)")
    )
    pattern = pattern.replace("%%", "%")  # As fail2ban's configparser reads it.
    found = re.search(pattern, "papaya: refused 2001:db8::1 port 4711: wrong key")
    assert found
    assert found["host"] == "2001:db8::1"
    assert re.search(pattern, "Nov 23 host papaya[12]: refused 192.0.2.1 port 1: wrong key")
    found = re.search(pattern, "papaya: refused fe80::1%eth0.5 port 4711: wrong key")
    assert found
    assert found["host"] == "fe80::1"
    for other in ("wrong key before", "too many connections without a key"):
        assert not re.search(pattern, f"papaya: refused 192.0.2.1 port 1: {other}")


def test_systemd_starts_the_service_again_until_its_address_is_there() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "papaya.service")
    assert "network-online.target" in unit["Unit"]["Wants"]
    assert "network-online.target" in unit["Unit"]["After"]
    tries, seconds = int(unit["Unit"]["StartLimitBurst"]), int(unit["Service"]["RestartSec"])
    assert 60 <= tries * seconds < int(unit["Unit"]["StartLimitIntervalSec"])
    assert unit["Service"]["Restart"] == "on-failure"


def test_from_nothing_to_chatting(checkout: Path) -> None:
    """Run all commands except the full-screen client (see client/test_screen.py)."""
    commands = read_block("Chat: papaya", "sh")
    shutil.copytree(ROOT / "papaya", checkout / "papaya")
    run = [line for line in commands.splitlines() if ".chat/" not in line]
    assert len(run) == 3
    # On a free port; the client waits until the server listens, as a user would.
    script = "\n".join(run).replace(":7722", "127.0.0.1:0").replace("python3", sys.executable)
    script = script.replace(" &\n", " > out &\nwhile ! grep -q listening out; do sleep 0.1; done\n")
    script = (
        script.replace("chat 127.0.0.1 ", "chat $(sed s/.*on.// out) ")
        + "; s=$?; kill $!; wait; exit $s"
    )
    done = subprocess.run(
        ["sh", "-ec", script], cwd=checkout, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(" ann: hello\n")
