"""Becoming a daemon: acting as a user, and giving up root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from papaya.server.daemonize import find_user
from probes.errors import CommandError
from tests.worlds import ROOT, needs_root


@needs_root
@pytest.mark.parametrize("how", ["setresuid", "setuid"])
@pytest.mark.parametrize("ids", ["0, 0, 0", "0, 65534, 0", "65534, 65534, 0", "0, 65534, 65534"])
def test_root_is_given_up_whichever_id_it_is(ids: str, how: str) -> None:
    program = f"""if True:
        import os
        from papaya.server.daemonize import drop_root
        os.setgroups([0])
        os.setresuid({ids})
        drop_root("nobody", "{how}")
        print(os.getresuid(), os.getresgid(), os.getgroups())
    """
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == f"{(65534,) * 3} {(65534,) * 3} [65534]\n", done.stderr


@needs_root
def test_root_acts_as_a_user_and_is_root_again(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    program = f"""if True:
        import os
        from papaya.server.daemonize import act_as
        os.chdir({str(tmp_path)!r})
        for name, user in (("root", ""), ("user", "nobody")):
            with act_as(user):
                open(name, "w").close()
            print(os.stat(name).st_uid, os.stat(name).st_gid, os.getresuid(), os.getegid())
        os.setresuid(65534, 65534, 65534)
        with act_as("nobody"):
            print(os.getresuid())
    """
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    root = "(0, 0, 0)"
    assert done.stdout == f"0 0 {root} 0\n65534 65534 {root} 0\n{(65534,) * 3}\n", done.stderr


@pytest.mark.parametrize(("user", "problem"), [("root", "is root"), ("no-such", "does not exist")])
def test_a_user_that_papaya_cannot_run_as_is_refused(user: str, problem: str) -> None:
    with pytest.raises(CommandError, match=problem):
        find_user(user)
