"""A machine of the Vagrantfile, by libvirt or VirtualBox: ``vagrant:MACHINE``.

Vagrant keeps its state of the machine in the run's own folder, and libvirt gets a unique name, so
that runs do not clash with each other or with the user's own ``vagrant up``.
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
from matrix.boxes import debian32, find_cache_path
from matrix.boxes._cache import lock_cache
from matrix.errors import Unavailable
from matrix.interrupts import run_program

from . import Provider, _kvm, _ssh

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_VIRSH = ("virsh", "-q", "-c", "qemu:///system")
_SERVER = "https://vagrantcloud.com"
"""Where Vagrant looks for boxes by default."""
_LIMIT = 1800.0
"""Seconds for `vagrant up`: it may fetch a box, and emulate the guest."""


class Vagrant(Provider):
    """The argument is a machine of the Vagrantfile."""

    label = "vagrant"
    argument_is = 'a machine of the Vagrantfile: "vagrant:freebsd"'

    def __init__(self, *arguments: object, **more: object) -> None:
        super().__init__(*arguments, **more)  # type: ignore[arg-type]
        self._prefix = f"papaya-lab-{os.getpid()}-{secrets.token_hex(3)}-"
        self._provider = ""
        self._begun = False

    def explain_lack(self) -> str:
        if not os.path.exists(os.path.join(TOP, "Vagrantfile")):
            return f"no Vagrantfile in {TOP}: run from a clone of the repository"
        reasons = [_explain_missing_programs() or self._explain_hypervisor(), self._explain_box()]
        if not any(reasons):
            # Last, because Vagrant takes seconds to start.
            reasons = [_explain_plugin(self._provider)]
        return "; and ".join(filter(None, reasons))

    def _explain_hypervisor(self) -> str:
        reason, provider = _explain_libvirt(), "libvirt"
        if reason and self.argument != "debian32" and shutil.which("VBoxManage"):
            reason, provider = _explain_virtualbox(), "virtualbox"
        if not reason:
            self._provider, self.label = provider, f"vagrant/{provider}"
        return reason

    def _explain_box(self) -> str:
        if self.argument == "debian32":
            return "" if debian32.find_built() else debian32.explain_lack()
        provider = self._provider or "libvirt"
        name, _ = _find_box(self.argument, provider)
        if not name:
            return f"the Vagrantfile has no machine {self.argument!r} for {provider}"
        if _has_box(self.argument, provider):
            return ""
        if why := network.explain_unreachable(os.environ.get("VAGRANT_SERVER_URL") or _SERVER):
            return f"the box is missing, and {why}; on a network: vagrant box add {name}"
        return ""

    def describe(self) -> str:
        if self.argument == "debian32":
            box = [] if debian32.find_built() else [debian32.AT_FIRST_USE]
        else:
            box = [] if _has_box(self.argument, self._provider) else ["its box needs a download"]
        return "; ".join([*box, _kvm.describe_kvm()])

    def up(self) -> str:
        if self.argument == "debian32":
            self._add_box(debian32.find_built() or debian32.build(self.say))
        self._begun = True
        self._run_vagrant("up", self.argument, f"--provider={self._provider}", "--no-color")
        config = os.path.join(self.folder, "ssh_config")
        with open(config, "w", encoding="utf-8") as file:
            file.write(self._run_vagrant("ssh-config", self.argument, quiet=True))
            # Without these, ssh would wait for ever for a guest that is gone.
            file.write("  BatchMode yes\n  ServerAliveInterval 10\n  ServerAliveCountMax 4\n")
        python, reason = _ssh.find_python(config, self.argument)
        if not python:
            raise Unavailable(f"the guest is up, but {reason}")
        return f"ssh_config={config}//ssh={self.argument}//python={python}"

    def explain_kept(self) -> str:
        config = os.path.join(self.folder, "ssh_config")
        told = shlex.join(f"{name}={value}" for name, value in self._make_environment().items())
        return (
            f"ssh -F {shlex.quote(config)} {self.argument}; "
            f"to end it: env {told} vagrant destroy -f {self.argument}"
        )

    def down(self) -> None:
        if not self._begun:
            return
        try:
            self._run_vagrant("destroy", "-f", self.argument, quiet=True)
        except Unavailable as error:
            self.say(str(error))
        finally:
            if self._provider == "libvirt":
                self._remove_leftovers()
        self._begun = False

    def _add_box(self, box: debian32.Box) -> None:
        """Add the box to Vagrant, if it has none or an older one."""
        boxes = _find_box_folder("local/debian32")
        with lock_cache("debian32"):
            with contextlib.suppress(OSError):
                if filecmp.cmp(os.path.join(boxes, "0/libvirt/box.img"), box.disk, shallow=False):
                    return
            name = ("--name", "local/debian32", "--provider", "libvirt")
            self._run_vagrant("box", "add", "--force", *name, box.box)

    def _remove_leftovers(self) -> None:
        """Remove what is left of a guest whose name Vagrant, interrupted, had not stored yet."""
        listed = _ask(*_VIRSH, "list", "--all", "--name") or ""
        for name in listed.split():
            if name.startswith(self._prefix):
                _ask(*_VIRSH, "destroy", name)
                _ask(*_VIRSH, "undefine", name, "--remove-all-storage", "--nvram")
        listed = _ask(*_VIRSH, "vol-list", "default") or ""
        for name, *_ in map(str.split, filter(str.strip, listed.splitlines())):
            if name.startswith(self._prefix):
                _ask(*_VIRSH, "vol-delete", "--pool", "default", name)

    def _make_environment(self) -> dict[str, str]:
        """Return the environment that makes `vagrant` use this run's folder and names."""
        told = {
            "VAGRANT_CWD": TOP,
            "VAGRANT_DOTFILE_PATH": os.path.join(self.folder, "vagrant"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
            "MATRIX_PREFIX": self._prefix,
            "MATRIX_CACHE": find_cache_path(""),
        }
        if _kvm.explain_trouble():
            told["MATRIX_EMULATED"] = "1"
        return told

    def _run_vagrant(self, *arguments: str, quiet: bool = False) -> str:
        """Run Vagrant, tell its lines, and return its output.  Raise `Unavailable` if it fails."""
        errors_path = os.path.join(self.folder, "vagrant.err")
        until = time.monotonic() + _LIMIT
        heard = b""
        with (
            open(errors_path, "wb") as errors,
            run_program(
                ["vagrant", *arguments],
                _end,
                env={**os.environ, **self._make_environment()},
                cwd=TOP,
                stdout=subprocess.PIPE,
                stderr=errors,
            ) as process,
        ):
            assert process.stdout
            said = 0
            while some := self._read(process.stdout.fileno(), until):
                heard += some
                *lines, rest = heard[said:].split(b"\n")
                said = len(heard) - len(rest)
                for line in lines if not quiet else []:
                    self._tell(line.decode(errors="replace"))
            process.wait(timeout=max(1, until - time.monotonic()))
        if process.returncode:
            with open(errors_path, encoding="utf-8", errors="replace") as file:
                reason = _find_gist(file.read()) or f"exit status {process.returncode}"
            raise Unavailable(f"vagrant {arguments[0]}: {reason}")
        return heard.decode(errors="replace")

    def _read(self, descriptor: int, until: float) -> bytes:
        if not select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
            raise Unavailable(f"vagrant did not finish within {_LIMIT:.0f} s")
        return os.read(descriptor, 65536)

    def _tell(self, line: str) -> None:
        # "==> debian32: step"; the settings below a step are indented, and left out.
        if found := re.match(r"==> [^:]+: (?! )(.+)", line):
            self.say(found[1].strip())


def _end(process: subprocess.Popen[bytes]) -> None:
    """End Vagrant: the first SIGINT lets it finish its step, the second ends it at once."""
    for signum, limit in ((signal.SIGINT, 20), (signal.SIGINT, 10)):
        process.send_signal(signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=limit)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _find_gist(errors: str) -> str:
    """Return Vagrant's explanation in one line, without its frame."""
    if found := re.search(r"The box '([^']+)' could not be found", errors):
        name = found[1]
        return f"the box {name} is missing and cannot be fetched; try: vagrant box add {name}"
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return " ".join(line for line in lines if "warning:" not in line)[:300]


def _find_box_folder(box: str) -> str:
    """Return the folder in which Vagrant keeps the versions of a box."""
    home = os.environ.get("VAGRANT_HOME") or os.path.expanduser("~/.vagrant.d")
    return os.path.join(home, "boxes", box.replace("/", "-VAGRANTSLASH-"))


def _find_box(machine: str, provider: str) -> tuple[str, str]:
    """Return the box that the Vagrantfile names for the machine, and its version; empty if none."""
    with open(os.path.join(TOP, "Vagrantfile"), encoding="utf-8") as file:
        named = rf'"{re.escape(machine)}" => \{{[^}}]*{provider}: \["([^"]+)", (?:nil|"([^"]+)")\]'
        found = re.search(named, file.read())
    return (found[1], found[2] or "") if found else ("", "")


def _has_box(machine: str, provider: str) -> bool:
    """Return whether Vagrant has the box of that machine."""
    name, version = _find_box(machine, provider)
    if not name:
        return False
    versions = os.path.join(glob.escape(_find_box_folder(name)), version or "*")
    # Newer versions have one folder per architecture in between.
    return any(glob.glob(os.path.join(versions, *between, provider)) for between in ((), ("*",)))


_LIBVIRT = "libvirt-clients libvirt-daemon-system vagrant-libvirt"


def _explain_missing_programs() -> str:
    packages = {"vagrant": "vagrant", "ssh": "openssh-client"}
    if not shutil.which("virsh") and not shutil.which("VBoxManage"):
        packages["virsh"] = _LIBVIRT
    missing = [name for name in packages if not shutil.which(name)]
    if not missing:
        return ""
    wanted = " ".join(packages[name] for name in missing)
    return f"not installed: {', '.join(missing)}; apt-get install {wanted}"


# Cached, because the doctor asks for every cell.
@functools.cache
def _explain_libvirt() -> str:
    if not shutil.which("virsh"):
        return f"no virsh: apt-get install {_LIBVIRT}"
    if _ask(*_VIRSH, "version") is None:
        start = "systemctl start libvirtd"
        member = f"sudo {start} && sudo usermod -aG libvirt $USER"
        return f"libvirtd does not answer: {member if os.geteuid() else start}"
    return ""


@functools.cache
def _explain_plugin(provider: str) -> str:
    plugins = _ask("vagrant", "plugin", "list", limit=30) if provider == "libvirt" else None
    if plugins is not None and "vagrant-libvirt" not in plugins:
        return "Vagrant has no plugin for libvirt: vagrant plugin install vagrant-libvirt"
    return ""


@functools.cache
def _explain_virtualbox() -> str:
    if _ask("VBoxManage", "--version") is None:
        return "VirtualBox does not run: see what VBoxManage --version says"
    return ""


def _ask(*command: str, limit: float = 8) -> str | None:
    """Return the output of a command; None if it does not run, fails or hangs."""
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


PROVIDER = Vagrant
