"""Debian of any release and processor: its kernel, and an initramfs with its Python.

    matrix box debian:trixie:riscv64

QEMU boots them without a disk, boot loader or network (`matrix.providers.qemu`).  Nothing of the
packages is run during the build, so any host builds for any processor, in about a minute.

Two builds of the same packages are equal, byte for byte.  ``packages`` in the folder lists them,
and ``sums`` has the SHA-256 of each file, which is checked before each start.  A box stays in the
cache until ``matrix box --force`` builds it again.  ``MATRIX_MIRROR`` names another mirror.
"""

from __future__ import annotations

import gzip
import hashlib
import inspect
import lzma
import os
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import IO

from matrix.errors import Say, Unavailable
from probes.errors import CommandError

from . import _cpio, _mirror, find_cache_path
from ._cache import lock_cache, read_recipe, replace_folder

AT_FIRST_USE = "is built at first use, in about a minute"
"""What users are told about a box that is not in the cache."""

EPOCH = 1750000000
ARGUMENT = "debian:RELEASE:ARCHITECTURE[:KERNEL]"


@dataclass(frozen=True)
class Machine:
    """The computer that QEMU emulates for one of Debian's architectures."""

    program: str
    """QEMU's program is ``qemu-system-PROGRAM``."""
    options: tuple[str, ...]
    """Machine type and processor."""
    package: str
    """Debian's package of the program is ``qemu-system-PACKAGE``."""
    kernels: Mapping[str, str]
    """Flavour of the kernel by release: the package is ``linux-image-FLAVOUR``."""
    console: str = "ttyS0"
    bus: str = "pci"
    """Bus of the virtio devices."""
    megabytes: int = 2048
    """Memory; the initramfs is unpacked into it."""
    runs_on: tuple[str, ...] = field(default=())
    """Hosts (``uname -m``) whose KVM can run it."""


def _on_all(flavour: str, *releases: str) -> Mapping[str, str]:
    return dict.fromkeys(releases or ("bookworm", "trixie", "sid"), flavour)


_VIRT = ("-M", "virt")
_PC = ("-M", "q35")
MACHINES: Mapping[str, Machine] = {
    "amd64": Machine("x86_64", _PC, "x86", _on_all("amd64"), runs_on=("x86_64",)),
    "arm64": Machine("aarch64", (*_VIRT, "-cpu", "cortex-a57"), "arm", _on_all("arm64"), "ttyAMA0"),
    "armhf": Machine(
        "arm",
        # Without LPAE a kernel does not reach a PCI host above 4 GiB.
        ("-M", "virt,highmem=off", "-cpu", "cortex-a15"),
        "arm",
        {"bookworm": "armmp", "trixie": "armmp-lpae", "sid": "armmp-lpae"},
        "ttyAMA0",
    ),
    "i386": Machine("i386", _PC, "x86", _on_all("686-pae", "bookworm"), runs_on=("x86_64", "i686")),
    "mips64el": Machine(
        "mips64el", ("-M", "malta", "-cpu", "5KEc"), "mips", _on_all("5kc-malta", "bookworm")
    ),
    "mipsel": Machine(
        "mipsel", ("-M", "malta", "-cpu", "24Kf"), "mips", _on_all("4kc-malta", "bookworm")
    ),
    "ppc64el": Machine(
        "ppc64", ("-M", "pseries", "-cpu", "power9"), "ppc", _on_all("powerpc64le"), "hvc0"
    ),
    "riscv64": Machine("riscv64", _VIRT, "misc", _on_all("riscv64", "trixie", "sid")),
    "s390x": Machine(
        "s390x", ("-M", "s390-ccw-virtio"), "misc", _on_all("s390x"), "ttysclp0", "ccw"
    ),
}
"""By Debian's name of the architecture."""

RELEASES = ("bookworm", "trixie", "sid")

PACKAGES = "base-files,busybox,coreutils,dash,gzip,iproute2,libpython3-stdlib,mount,python3-minimal"
_LEFT_OUT = ("boot/*", "*lib/modules/*", "*lib/udev/*", "*/gconv/*", "usr/share/*", "var/*")
"""Neither Python nor the lab needs these files, and a guest would be slow to unpack them."""

_MODULES = ("virtio_console", "virtio_pci", "virtio_mmio")
"""Modules for the channel to the guest; a kernel may have them built in."""

_PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
_GROUP = "root:x:0:\nnogroup:x:65534:\n"
_FOLDERS = ("dev", "proc", "root", "run", "sys", "tmp", "var", "var/tmp")


@dataclass(frozen=True)
class Release:
    """A release for an architecture, with the flavour of its kernel."""

    release: str
    architecture: str
    kernel: str

    @property
    def machine(self) -> Machine:
        """Return the computer that it runs on."""
        return MACHINES[self.architecture]

    @property
    def name(self) -> str:
        """Return the name of its folder in the cache."""
        usual = self.machine.kernels.get(self.release) == self.kernel
        return "-".join(
            ["debian", self.release, self.architecture, *([] if usual else [self.kernel])]
        )


@dataclass(frozen=True)
class Box:
    """The paths of what was built."""

    kernel: str
    initramfs: str
    packages: str


def parse_argument(argument: str) -> Release:
    """Return the release that ``RELEASE:ARCHITECTURE[:KERNEL]`` names; raise CommandError."""
    release, _, rest = argument.partition(":")
    architecture, _, kernel = rest.partition(":")
    if release not in RELEASES:
        raise CommandError(f"unknown release {release!r}; choose from {', '.join(RELEASES)}")
    machine = MACHINES.get(architecture)
    if not machine:
        raise CommandError(
            f"unknown architecture {architecture!r}; choose from {', '.join(MACHINES)}"
        )
    if not kernel and release not in machine.kernels:
        raise CommandError(
            f"Debian {release} has no kernel for {architecture}; "
            f"choose from {', '.join(machine.kernels)}"
        )
    if kernel and not re.fullmatch(r"[a-z0-9.+-]+", kernel):
        raise CommandError(f"{kernel!r} is not a kernel; one is named as in linux-image-KERNEL")
    return Release(release, architecture, kernel or machine.kernels[release])


def find_built(argument: str) -> Box | None:
    """Return the box in the cache; None if it is not there, or was built in another way."""
    wanted = parse_argument(argument)
    path = find_cache_path(wanted.name)
    return _make_box(path) if read_recipe(path) == _make_recipe(wanted) else None


def explain_lack(argument: str) -> str:
    """Return why the box cannot be built, and what to type; empty if it can."""
    try:
        parse_argument(argument)
    except CommandError as error:
        return str(error)
    if not shutil.which("mmdebstrap"):
        return "mmdebstrap is not installed: apt-get install mmdebstrap debian-archive-keyring"
    return _mirror.explain_lack()


def build(say: Say, force: bool, argument: str) -> Box:
    """Return the box; build it if it is not in the cache, or with ``force``.

    Raise `Unavailable` if it cannot be built.
    """
    wanted = parse_argument(argument)
    recipe = _make_recipe(wanted)
    path = find_cache_path(wanted.name)
    with lock_cache(wanted.name):
        built = read_recipe(path) == recipe
        if built and not force and (damaged := _find_damaged(path)):
            say(f"{path}/{damaged} is damaged: building the box again")
            built = False
        if force or not built:
            if lack := explain_lack(argument):
                raise Unavailable(lack)
            say("fetching Debian's packages: about a minute")
            with replace_folder(wanted.name, recipe) as folder:
                _fetch(wanted, Path(folder))
    return _make_box(path)


def _make_box(path: str) -> Box:
    return Box(*(os.path.join(path, name) for name in ("kernel", "initramfs", "packages")))


def _make_command(wanted: Release) -> list[str]:
    mirror = os.environ.get("MATRIX_MIRROR", _mirror.DEFAULT)
    # Nothing is run of what is unpacked: the packages' scripts would need the other processor.
    return [
        "mmdebstrap",
        "--variant=extract",
        f"--architectures={wanted.architecture}",
        "--format=tar",
        f"--include={PACKAGES},linux-image-{wanted.kernel}",
        wanted.release,
        "-",
        f"deb {mirror} {wanted.release} main",
    ]


def _make_recipe(wanted: Release) -> str:
    code = [inspect.getsource(part) for part in (_convert, _find_modules, _cpio)]
    parts = (_make_command(wanted), _LEFT_OUT, _MODULES, _FOLDERS, code)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _fetch(wanted: Release, folder: Path) -> None:
    command = _make_command(wanted)
    with (
        tempfile.TemporaryDirectory(prefix="matrix-box-") as scratch,
        open(Path(scratch, "said"), "w+", errors="replace") as said,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            env={
                **os.environ,
                "TMPDIR": scratch,
                "LC_ALL": "C",
                "SOURCE_DATE_EPOCH": str(EPOCH),
            },
        ) as process,
    ):
        # An ordinary user's mmdebstrap enters it with a subordinate id.
        os.chmod(scratch, 0o711)
        assert process.stdout
        damaged = None
        try:
            _convert(process.stdout, folder)
        except tarfile.TarError as error:
            # Most likely because mmdebstrap failed, which says why.
            damaged = error
        except BaseException:
            process.terminate()
            raise
        # A tar file is padded with zeros.
        process.communicate()
        if process.returncode:
            said.seek(0)
            errors = [line for line in said if line.startswith(("E: ", "Err:"))]
            raise subprocess.CalledProcessError(process.returncode, command, "".join(errors[:1]))
        if damaged:
            raise OSError(f"mmdebstrap's archive is damaged: {damaged}")
    if not (folder / "kernel").exists():
        raise OSError(f"linux-image-{wanted.kernel} has no /boot/vmlinu*")
    sums = [f"{_hash_file(folder / name)}  {name}\n" for name in _FILES]
    (folder / "sums").write_text("".join(sums))


_FILES = ("initramfs", "kernel", "packages")


def _hash_file(path: Path) -> str:
    with open(path, "rb") as file:
        digest: str = hashlib.file_digest(file, "sha256").hexdigest()
    return digest


def _find_damaged(path: str) -> str:
    """Return the name of a file that is not as it was built; empty if all are."""
    try:
        sums = Path(path, "sums").read_text().splitlines()
        for line in sums:
            expected, _, name = line.partition("  ")
            if _hash_file(Path(path, name)) != expected:
                return name
    except OSError as error:
        return os.path.basename(str(error.filename))
    return "" if len(sums) == len(_FILES) else "sums"


def _convert(root: IO[bytes], folder: Path) -> None:
    """Write kernel, initramfs and the list of packages from the tar archive of a root folder."""
    modules: dict[str, bytes] = {}
    with (
        tarfile.open(fileobj=root, mode="r|") as tar,
        open(folder / "initramfs", "wb") as raw,
        # Without name and time, so that the same packages give the same bytes.
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as file,
    ):
        archive = _cpio.Archive(file)
        for name in _FOLDERS:
            archive.add_folder(name)
        for member in tar:
            path = member.name.removeprefix("./")
            content = tar.extractfile(member) if member.isreg() else None
            if path.startswith(("boot/vmlinux-", "boot/vmlinuz-")):
                assert content
                with open(folder / "kernel", "wb") as copy:
                    shutil.copyfileobj(content, copy)
            elif path == "var/lib/dpkg/status":
                assert content
                listed = _list_packages(content.read().decode(errors="replace"))
                (folder / "packages").write_text(listed)
            elif found := re.fullmatch(r".*lib/modules/.*/virtio[^/]*?\.ko(\.xz)?", path):
                assert content
                data = content.read()
                name = os.path.basename(path).partition(".")[0].replace("-", "_")
                modules[name] = lzma.decompress(data) if found[1] else data
            elif path not in ("", ".", *_FOLDERS) and not any(
                fnmatch(path, left) for left in _LEFT_OUT
            ):
                archive.add_member(member, path, content.read() if content else b"")
        for number, name in enumerate(_find_modules(modules)):
            archive.add_file(f"modules-{number}-{name}.ko", 0o644, modules[name])
        archive.end()


def _find_modules(modules: Mapping[str, bytes]) -> list[str]:
    """Return the modules for the channel, each after those that it depends on."""
    found: list[str] = []

    def add(names: Iterable[str]) -> None:
        for name in names:
            if name in modules and name not in found:
                line = re.search(rb"\0depends=([^\0]*)", modules[name])
                add(line[1].decode().replace("-", "_").split(",") if line else ())
                found.append(name)

    add(_MODULES)
    return found


def _list_packages(status: str) -> str:
    """Return ``name version`` for each package of dpkg's status file."""
    found = re.findall(r"^Package: (\S+)$.*?^Version: (\S+)$", status, re.M | re.S)
    return "".join(f"{name} {version}\n" for name, version in sorted(found))


_INIT = """\
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
echo 1 >/proc/sys/kernel/printk
for module in /modules-*; do
    busybox insmod "$module" || echo "init: $module cannot be loaded"
done
ip link set lo up
read -r arguments </proc/cmdline
for argument in $arguments; do
    case $argument in lab.now=*) date -s "@${argument#*=}" >/dev/null ;; esac
done
cd /root
python3 /channel.py </dev/null
echo "init: the channel ended with status $?"
echo o >/proc/sysrq-trigger
sleep 60
"""


def extend_initramfs(box: Box, file: IO[bytes], channel: bytes) -> None:
    """Write the initramfs of a guest to ``file``: the box's, and what may change with the lab."""
    with open(box.initramfs, "rb") as cached:
        shutil.copyfileobj(cached, file)
    # The kernel looks for the next archive at a multiple of four bytes.
    file.write(bytes(-file.tell() % 4))
    archive = _cpio.Archive(file)
    archive.add_file("init", 0o755, _INIT.encode())
    archive.add_file("channel.py", 0o644, channel)
    archive.add_file("etc/passwd", 0o644, _PASSWD.encode())
    archive.add_file("etc/group", 0o644, _GROUP.encode())
    archive.end()
    file.flush()


def can_use_kvm(wanted: Release) -> bool:
    """Return whether KVM of this host's processor could run the guest."""
    return platform.machine() in wanted.machine.runs_on


def make_qemu_command(
    wanted: Release, box: Box, initramfs: str, kvm: bool, argument: str
) -> list[str]:
    """Return the words of QEMU's command, without channel and console.

    ``argument`` is one more argument of the kernel, which `_INIT` reads.
    """
    machine = wanted.machine
    command = [f"qemu-system-{machine.program}", *machine.options]
    if can_use_kvm(wanted):
        command += ["-cpu", "host" if kvm else "max"]
    arguments = f"console={machine.console} rdinit=/init quiet panic=-1 mitigations=off {argument}"
    return [
        *command,
        *("-accel", "kvm" if kvm else "tcg", "-m", str(machine.megabytes), "-display", "none"),
        *("-monitor", "none", "-nic", "none", "-vga", "none", "-no-reboot"),
        *("-kernel", box.kernel, "-initrd", initramfs, "-append", arguments),
    ]
