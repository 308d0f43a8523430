"""A machine of the Vagrantfile, by libvirt or else VirtualBox: ``vagrant:MACHINE``.

Vagrant keeps what it knows of the machine in the run's own folder, and libvirt gets a name that
no other run has, so that runs do not meet, nor the user's own ``vagrant up``.
"""

from __future__ import annotations

import contextlib
import filecmp
import functools
import glob
import os
import re
import secrets
import select
import shlex
import shutil
import signal
import subprocess
import time

from matrix import network
from matrix.boxes import cache, debian32
from matrix.boxes._cache import alone

from . import Unavailable, Way, _kvm, _ssh

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_VIRSH = ("virsh", "-q", "-c", "qemu:///system")
_SERVER = "https://vagrantcloud.com"
"""Where Vagrant looks for boxes by default."""
_LIMIT = 1800.0
"""Seconds for `vagrant up`: a box may have to be fetched, a guest emulated."""


class Vagrant(Way):
    """The argument is a machine of the Vagrantfile."""

    label = "vagrant"
    argument_is = 'a machine of the Vagrantfile: "vagrant:freebsd"'

    def __init__(self, *arguments: object, **more: object) -> None:
        super().__init__(*arguments, **more)  # type: ignore[arg-type]
        self._prefix = f"papaya-lab-{os.getpid()}-{secrets.token_hex(3)}-"
        self._provider = ""
        self._begun = False

    def lacks(self) -> str:
        if not os.path.exists(os.path.join(TOP, "Vagrantfile")):
            return f"no Vagrantfile in {TOP}: run from a clone of the repository"
        reasons = [_lacks_programs() or self._lacks_provider(), self._lacks_box()]
        if not any(reasons):
            # Last, as Vagrant takes seconds to start.
            reasons = [_lacks_plugin(self._provider)]
        return "; and ".join(filter(None, reasons))

    def _lacks_provider(self) -> str:
        reason, provider = _lacks_libvirt(), "libvirt"
        if reason and self.argument != "debian32" and shutil.which("VBoxManage"):
            reason, provider = _lacks_virtualbox(), "virtualbox"
        if not reason:
            self._provider, self.label = provider, f"vagrant/{provider}"
        return reason

    def _lacks_box(self) -> str:
        if self.argument == "debian32":
            return "" if debian32.built() else debian32.lacks()
        provider = self._provider or "libvirt"
        name, _ = _box(self.argument, provider)
        if not name:
            return f"the Vagrantfile has no machine {self.argument!r} for {provider}"
        if _there(self.argument, provider):
            return ""
        if why := network.unreachable(os.environ.get("VAGRANT_SERVER_URL") or _SERVER):
            return f"the box is not here, and {why}; on a network: vagrant box add {name}"
        return ""

    def note(self) -> str:
        if self.argument == "debian32":
            box = [] if debian32.built() else [debian32.AT_FIRST_USE]
        else:
            box = [] if _there(self.argument, self._provider) else ["its box needs a download"]
        return "; ".join([*box, _kvm.note()])

    def up(self) -> str:
        if not self._provider and (reason := self.lacks()):
            raise Unavailable(reason)
        if self.argument == "debian32":
            self._add(debian32.built() or debian32.build(self.say))
        self._begun = True
        self._vagrant("up", self.argument, f"--provider={self._provider}", "--no-color")
        config = os.path.join(self.folder, "ssh_config")
        with open(config, "w", encoding="utf-8") as file:
            file.write(self._vagrant("ssh-config", self.argument, quiet=True))
            # Else a guest that is gone is waited for, for ever.
            file.write("  BatchMode yes\n  ServerAliveInterval 10\n  ServerAliveCountMax 4\n")
        python, reason = _ssh.python(config, self.argument)
        if not python:
            raise Unavailable(f"the guest is up, but {reason}")
        return f"ssh_config={config}//ssh={self.argument}//python={python}"

    def kept(self) -> str:
        config = os.path.join(self.folder, "ssh_config")
        told = shlex.join(f"{name}={value}" for name, value in self._environment().items())
        return (
            f"ssh -F {shlex.quote(config)} {self.argument}; "
            f"to end it: env {told} vagrant destroy -f {self.argument}"
        )

    def down(self) -> None:
        if not self._begun:
            return
        try:
            self._vagrant("destroy", "-f", self.argument, quiet=True)
        except Unavailable as error:
            self.say(str(error))
        finally:
            if self._provider == "libvirt":
                self._forget()
        self._begun = False

    def _add(self, box: debian32.Box) -> None:
        """Give the box to Vagrant, if it has none or an older one."""
        boxes = _folder("local/debian32")
        with alone("debian32"):
            with contextlib.suppress(OSError):
                if filecmp.cmp(os.path.join(boxes, "0/libvirt/box.img"), box.disk, shallow=False):
                    return
            name = ("--name", "local/debian32", "--provider", "libvirt")
            self._vagrant("box", "add", "--force", *name, box.box)

    def _forget(self) -> None:
        """Remove what Vagrant left of the guest: it was interrupted before it noted its name."""
        listed = _asked(*_VIRSH, "list", "--all", "--name") or ""
        for name in listed.split():
            if name.startswith(self._prefix):
                _asked(*_VIRSH, "destroy", name)
                _asked(*_VIRSH, "undefine", name, "--remove-all-storage", "--nvram")
        listed = _asked(*_VIRSH, "vol-list", "default") or ""
        for name, *_ in map(str.split, filter(str.strip, listed.splitlines())):
            if name.startswith(self._prefix):
                _asked(*_VIRSH, "vol-delete", "--pool", "default", name)

    def _environment(self) -> dict[str, str]:
        """What makes a `vagrant` be of this run."""
        told = {
            "VAGRANT_CWD": TOP,
            "VAGRANT_DOTFILE_PATH": os.path.join(self.folder, "vagrant"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
            "MATRIX_PREFIX": self._prefix,
            "MATRIX_CACHE": cache(""),
        }
        if _kvm.trouble():
            told["MATRIX_EMULATED"] = "1"
        return told

    def _vagrant(self, *arguments: str, quiet: bool = False) -> str:
        """Run it and say its lines; its standard output.  Raises `Unavailable`."""
        errors_path = os.path.join(self.folder, "vagrant.err")
        until = time.monotonic() + _LIMIT
        heard = b""
        with (
            open(errors_path, "wb") as errors,
            subprocess.Popen(
                ["vagrant", *arguments],
                env={**os.environ, **self._environment()},
                cwd=TOP,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                # Ctrl-C is for us, who let it finish what it is at.
                start_new_session=True,
            ) as process,
        ):
            assert process.stdout
            try:
                said = 0
                while some := self._read(process.stdout.fileno(), until):
                    heard += some
                    *lines, rest = heard[said:].split(b"\n")
                    said = len(heard) - len(rest)
                    for line in lines if not quiet else []:
                        self._tell(line.decode(errors="replace"))
                process.wait(timeout=max(1, until - time.monotonic()))
            except BaseException:
                _end(process)
                raise
        if process.returncode:
            with open(errors_path, encoding="utf-8", errors="replace") as file:
                reason = _gist(file.read()) or f"exit status {process.returncode}"
            raise Unavailable(f"vagrant {arguments[0]}: {reason}")
        return heard.decode(errors="replace")

    def _read(self, descriptor: int, until: float) -> bytes:
        if not select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
            raise Unavailable(f"vagrant did not finish within {_LIMIT:.0f} s")
        return os.read(descriptor, 65536)

    def _tell(self, line: str) -> None:
        # "==> debian32: what it does", and below it settings, indented and many.
        if found := re.match(r"==> [^:]+: (?! )(.+)", line):
            self.say(found[1].strip())


def _end(process: subprocess.Popen[bytes]) -> None:
    """Vagrant leaves at the first SIGINT when the step it is at is done, at the second at once."""
    for signum, limit in ((signal.SIGINT, 20), (signal.SIGINT, 10)):
        process.send_signal(signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=limit)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _gist(errors: str) -> str:
    """Vagrant's explanation without its frame, in a line."""
    if found := re.search(r"The box '([^']+)' could not be found", errors):
        name = found[1]
        return f"the box {name} is not here and cannot be fetched; try: vagrant box add {name}"
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return " ".join(line for line in lines if "warning:" not in line)[:300]


def _folder(box: str) -> str:
    """Where Vagrant keeps the versions of a box."""
    home = os.environ.get("VAGRANT_HOME") or os.path.expanduser("~/.vagrant.d")
    return os.path.join(home, "boxes", box.replace("/", "-VAGRANTSLASH-"))


def _box(machine: str, provider: str) -> tuple[str, str]:
    """Return the box that the Vagrantfile names for the machine, and its version; empty if none."""
    with open(os.path.join(TOP, "Vagrantfile"), encoding="utf-8") as file:
        named = rf'"{re.escape(machine)}" => \{{[^}}]*{provider}: \["([^"]+)", (?:nil|"([^"]+)")\]'
        found = re.search(named, file.read())
    return (found[1], found[2] or "") if found else ("", "")


def _there(machine: str, provider: str) -> bool:
    """Whether Vagrant has that box."""
    name, version = _box(machine, provider)
    if not name:
        return False
    versions = os.path.join(glob.escape(_folder(name)), version or "*")
    # Newer ones keep a folder an architecture between.
    return any(glob.glob(os.path.join(versions, *between, provider)) for between in ((), ("*",)))


_LIBVIRT = "libvirt-clients libvirt-daemon-system vagrant-libvirt"


def _lacks_programs() -> str:
    packages = {"vagrant": "vagrant", "ssh": "openssh-client"}
    if not shutil.which("virsh") and not shutil.which("VBoxManage"):
        packages["virsh"] = _LIBVIRT
    missing = [name for name in packages if not shutil.which(name)]
    if not missing:
        return ""
    wanted = " ".join(packages[name] for name in missing)
    return f"no {', '.join(missing)}: apt-get install {wanted}"


# Of one process: the doctor asks for every cell.
@functools.cache
def _lacks_libvirt() -> str:
    if not shutil.which("virsh"):
        return f"no virsh: apt-get install {_LIBVIRT}"
    if _asked(*_VIRSH, "version") is None:
        start = "systemctl start libvirtd"
        member = f"sudo {start} && sudo usermod -aG libvirt $USER"
        return f"libvirtd does not answer: {member if os.geteuid() else start}"
    return ""


@functools.cache
def _lacks_plugin(provider: str) -> str:
    plugins = _asked("vagrant", "plugin", "list", limit=30) if provider == "libvirt" else None
    if plugins is not None and "vagrant-libvirt" not in plugins:
        return "Vagrant has no plugin for libvirt: vagrant plugin install vagrant-libvirt"
    return ""


@functools.cache
def _lacks_virtualbox() -> str:
    if _asked("VBoxManage", "--version") is None:
        return "VirtualBox does not run: see what VBoxManage --version says"
    return ""


def _asked(*command: str, limit: float = 8) -> str | None:
    """What it says; None where it does not run, fails or hangs."""
    environment = {**os.environ, "VAGRANT_CHECKPOINT_DISABLE": "1"}
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        asked = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
            env=environment,
            check=False,
        )
        if not asked.returncode:
            return asked.stdout
    return None


WAY = Vagrant
