"""The way ssh, by an sshd of our own on a loopback port, to a user who is not root."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from probes import Report
from tests.matrix.workplace import Workplace
from tests.needs import needs
from tests.worlds import needs_linux, needs_root

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
USER, UID = "lab", 54321

pytestmark = [
    needs_root,
    needs_linux,
    needs("sshd", "ssh"),
]

CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
"""


class Sshd:
    """A server with one user, who is in no password file but its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        os.chown(self.home, UID, UID)
        for name in ("host_key", "key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)],
                check=True,
            )
        users = Path("/etc/passwd").read_text()
        (folder / "passwd").write_text(f"{users}{USER}:x:{UID}:{UID}::{self.home}:/bin/sh\n")
        self.port = 0

    def start(self, *lines: str) -> subprocess.Popen[bytes]:
        """Start it, with more lines of sshd_config(5); it is answering when this returns."""
        for _ in range(5):
            with socket.socket() as drawn:
                drawn.bind(("127.0.0.1", 0))
                self.port = drawn.getsockname()[1]
            # Another may take the port before sshd does.
            if server := self._started(lines):
                return server
        raise AssertionError((self.folder / "errors").read_text())

    def _started(self, lines: tuple[str, ...]) -> subprocess.Popen[bytes] | None:
        config = self.folder / "sshd_config"
        config.write_text(
            CONFIG.format(port=self.port, folder=self.folder) + "".join(f"{n}\n" for n in lines)
        )
        # Its user is seen in its own mount namespace alone; so is the folder it wants.
        script = (
            'mount --bind "$1" /etc/passwd && mount -t tmpfs tmpfs /run && '
            'mkdir -m 755 /run/sshd && exec "$2" -D -e -f "$3"'
        )
        passwd = str(self.folder / "passwd")
        server = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private",
             "/bin/sh", "-c", script, "sh", passwd, str(SSHD), str(config)],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert server.stderr
        heard = b""
        while b"Server listening" not in heard:
            line = server.stderr.readline()
            heard += line
            if not line:
                server.wait()
                server.stderr.close()
                (self.folder / "errors").write_bytes(heard)
                return None
        return server

    @property
    def way(self) -> str:
        """As a cell names it."""
        options = (
            f"-F /dev/null -i {self.folder}/key -p {self.port} -o IdentitiesOnly=yes "
            "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        )
        return f"ssh:{options} {USER}@127.0.0.1"


@contextmanager
def serving(*lines: str) -> Iterator[Sshd]:
    """One for the time being."""
    # Not below pytest's folder, into which no other user can look.
    with tempfile.TemporaryDirectory(prefix="sshd-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        made = Sshd(folder)
        server = made.start(*lines)
        try:
            yield made
        finally:
            server.terminate()
            server.wait(20)
            assert server.stderr
            server.stderr.close()


def test_a_user_without_root_measures_and_chats(work: Workplace) -> None:
    with serving("AcceptEnv TMPDIR") as sshd:
        # Its temporary folder, told so that what is left in it is seen.
        there = sshd.home / "tmp"
        there.mkdir()
        os.chown(there, UID, UID)
        work.cell("box", sshd.way.replace(f" {USER}@", f" -o SetEnv=TMPDIR={there} {USER}@"))
        done = work.run("box")
        assert os.listdir(there) == []
    assert done.returncode == 0, done.stdout + done.stderr
    assert "selftest 3/3" in done.stdout
    report = Report.load(work.results("box") / "report.json")
    assert (report.environment.root, report.later["way"]) == (False, "ssh")
    assert report["sockets.v6only_default"].measured


def test_who_is_refused_is_told(work: Workplace) -> None:
    with serving() as sshd:
        work.cell("key", sshd.way.replace(f"{sshd.folder}/key", f"{sshd.folder}/host_key"))
        work.cell("port", sshd.way.replace(f"-p {sshd.port}", "-p 1"))
        for cell, reason in (("key", "Permission denied"), ("port", "Connection refused")):
            done = work.run(cell)
            assert done.returncode == 3
            (line,) = done.stdout.splitlines()
            assert reason in line


def test_a_host_without_python(work: Workplace) -> None:
    with serving("SetEnv PATH=/nowhere") as sshd:
        work.cell("box", sshd.way)
        done = work.run("box")
    assert done.returncode == 3
    assert "has no Python 3; install" in done.stdout, done.stdout
