"""A guest without an emulator: stand-ins for mmdebstrap, QEMU and User-mode Linux on the PATH.

The stand-ins report on a console that the guest is ready, and serve the channel with a Python of
this host.
"""

from __future__ import annotations

import io
import os
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from matrix.boxes import debian
from tests.papaya.conftest import runs

from .workplace import ROOT, Workplace

QEMU = f"""\
#!{sys.executable}
import os, socket, subprocess, sys, time
sys.path.insert(0, {str(ROOT)!r})
from matrix.providers._channel import GATEWAY, READY
with open({{pid!r}} + ".new", "w") as file:
    file.write(str(os.getpid()))
os.rename({{pid!r}} + ".new", {{pid!r}})
def say(line):
    with open("console.log", "a") as console:
        print(line, file=console)
{{before}}
listener = socket.socket(socket.AF_UNIX)
listener.bind("channel")
listener.listen()
say("#1 SMP Debian 6." + READY + "\\r")
while True:
    channel, _ = listener.accept()
    with channel:
        {{then}}
        subprocess.run([sys.executable, "-u", "-c", GATEWAY], stdin=channel, stdout=channel)
"""

UML = f"""\
#!{sys.executable}
import os, subprocess, sys, threading
sys.path.insert(0, {str(ROOT)!r})
from matrix.providers._channel import GATEWAY, READY, receive
words = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
def find(name):
    return [int(part[3:]) for part in words[name].split(",") if part != "null"]
(console,), (reading, writing), (confirming,) = find("con0"), find("ssl0"), find("ssl1")
# A process of the guest is one of the host, which would run on by itself.
inner = subprocess.Popen(["sleep", "1000"])
with open({{pid!r}} + ".new", "w") as file:
    file.write(str(inner.pid))
os.rename({{pid!r}} + ".new", {{pid!r}})
def say(line):
    os.write(console, line.encode() + b"\\n")
{{before}}
source, into = os.pipe()
threading.Thread(target=receive, args=(reading, into, confirming), daemon=True).start()
say(READY)
subprocess.run([sys.executable, "-u", "-c", GATEWAY], stdin=source, stdout=writing)
inner.kill()
inner.wait()
"""

MODULE = b"\x7fELF\0depends=%s\0name=%s\0"


def make_root(files: Mapping[str, bytes] = MappingProxyType({})) -> bytes:
    """Return the tar archive of a root folder with a kernel, a module, a program and ``files``."""
    file = io.BytesIO()
    contents = {
        "./boot/vmlinuz-6.1": b"kernel",
        "./boot/config-6.1": b"config",
        "./usr/share/doc/x": b"left out",
        "./usr/bin/python3": b"python",
        "./debs": b"adduser_3_all.deb\nlock\npartial\nzlib1g_1%3a2_s390x.deb\n",
        "./usr/lib/modules/6.1/char/virtio_console.ko": MODULE % (b"virtio-ring", b"c"),
        "./usr/lib/modules/6.1/virtio/virtio_ring.ko": MODULE % (b"", b"r"),
        "./usr/lib/modules/6.1/net/virtio_net.ko": MODULE % (b"", b"n"),
        **files,
    }
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return file.getvalue()


class Stage:
    """A workplace with an empty cache and the stand-ins."""

    def __init__(self, work: Workplace) -> None:
        self.work = work
        self.programs = work.folder / "programs"
        self.programs.mkdir()
        self.pid = work.folder / "pid"
        self.cache = work.folder / "cache"
        work.environment |= {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "MATRIX_CACHE": str(self.cache),
            "MATRIX_MIRROR": f"file:{work.folder}",
        }
        (self.programs / "root.tar").write_bytes(make_root())
        self.make_mmdebstrap("cat root.tar")
        self.make_qemu()

    def make_mmdebstrap(self, script: str) -> None:
        """Let mmdebstrap run this script of sh; each run is noted in ``runs``."""
        self._write("mmdebstrap", f"#!/bin/sh\ncd {self.programs}\necho x >>runs\n{script}\n")

    def make_qemu(self, before: str = "", then: str = "pass", name: str = "s390x") -> None:
        """Let QEMU run these lines of Python before the boot, and after a connection."""
        self._write(
            f"qemu-system-{name}",
            QEMU.format(pid=str(self.pid), before=before, then=then),
        )

    def make_uml(self, before: str = "") -> None:
        """Let User-mode Linux run these lines of Python before the boot."""
        self._write("linux.uml", UML.format(pid=str(self.pid), before=before))

    def _write(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)

    @property
    def box(self) -> Path:
        """Return the folder of the box for s390x."""
        return self.cache / debian.parse_argument("bookworm:s390x").name

    def is_running(self) -> bool:
        """Return whether the stand-in for QEMU, or a process of User-mode Linux's, runs."""
        return self.pid.exists() and runs(int(self.pid.read_text()))
