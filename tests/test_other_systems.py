"""The numbers and struct layouts of libc.py for systems on which no test runs."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.worlds import ROOT

ASK = """
import ctypes, functools, importlib, json, os, sys
libc = importlib.import_module("probes.libc")
sys.platform = sys.argv[1]
libc = importlib.reload(libc)
called = []
class Function:
    restype = ctypes.c_int
    def __call__(self, *arguments):
        called.append([a for a in arguments if isinstance(a, int)])
        return 0
libc._FUNCTIONS = {"procctl": Function()}
reaps, told = libc.become_reaper(), libc.prepare_death_signal(10) is not None
fields = {name: getattr(libc.Flock, name).offset for name, *_ in libc.Flock._fields_}
print(json.dumps({
    "system": libc.SYSTEM, "freebsd": libc.FREEBSD, "reaps": reaps, "told": told,
    "called": called, "flock": fields, "size": ctypes.sizeof(libc.Flock),
    "sendfile": len(libc._PROTOTYPES["sendfile"][1]),
}))
"""


def on(platform: str) -> dict[str, Any]:
    """Return what libc.py says with this ``platform`` as sys.platform, on a 64-bit machine."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, platform],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


BSD_FLOCK = {"l_start": 0, "l_len": 8, "l_pid": 16, "l_type": 20, "l_whence": 22}


@pytest.mark.skipif(sys.maxsize < 2**32, reason="knows the layouts of 64-bit systems alone")
def test_dragonfly_is_not_freebsd() -> None:
    freebsd, dragonfly = on("freebsd14"), on("dragonfly6")
    assert (freebsd["system"], dragonfly["system"]) == ("FreeBSD", "DragonFly")
    assert freebsd["freebsd"]
    assert not dragonfly["freebsd"]
    # PROC_REAP_ACQUIRE; 2 is PROC_REAP_RELEASE on DragonFly.
    assert [call[-1] for call in freebsd["called"]] == [2]
    assert [call[-1] for call in dragonfly["called"]] == [1]
    assert freebsd["reaps"]
    assert dragonfly["reaps"]
    # procctl() of DragonFly has no death signal.
    assert freebsd["told"]
    assert not dragonfly["told"]
    # Only FreeBSD has l_sysid; the structure has room for it on all.
    assert freebsd["flock"] == dragonfly["flock"] == {**BSD_FLOCK, "l_sysid": 24}
    # Common to all of them.
    assert freebsd["sendfile"] == dragonfly["sendfile"] == 7


@pytest.mark.skipif(sys.maxsize < 2**32, reason="knows the layouts of 64-bit systems alone")
def test_illumos_has_a_struct_flock_of_its_own() -> None:
    illumos = on("sunos5")
    assert illumos["flock"] == {
        "l_type": 0, "l_whence": 2, "l_start": 8, "l_len": 16,
        "l_sysid": 24, "l_pid": 28, "l_pad": 32,
    }  # fmt: skip
    assert illumos["size"] == 64
