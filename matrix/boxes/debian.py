"""Debian of any release and processor: its kernel, and an initramfs with its Python.

    matrix box debian:trixie:riscv64
    matrix box debian:trixie:riscv64,gcc,libc6-dev

QEMU boots them without a disk, boot loader or network (`matrix.providers.qemu`).  Nothing of the
packages is run during the build, so any host builds for any processor, in about a minute.

Two builds of the same packages are equal, byte for byte.  ``packages`` in the folder lists them,
and ``SHA256SUMS`` has the sums of the files, which are checked before each start.  A box stays in
the cache until ``matrix box --force`` builds it again.  ``MATRIX_MIRROR`` names another mirror.
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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import IO

from matrix.errors import Say
from matrix.interrupts import run_program
from probes.errors import CommandError

from . import _cpio, _mirror, _mmdebstrap, find_cache_path
from ._cache import build_folder, read_recipe

AT_FIRST_USE = "is built at first use, in about a minute"
"""What users are told about a box that is not in the cache."""
FETCHING = "fetching Debian's packages: about a minute"
"""What users are told when its build starts."""

ARGUMENT = "debian:RELEASE:ARCHITECTURE[:KERNEL][,PACKAGE…]"
RELEASES = ("bookworm", "trixie", "sid")


@dataclass(frozen=True)
class Machine:
    """The computer that QEMU emulates for one of Debian's architectures."""

    program: str
    """QEMU's program is ``qemu-system-PROGRAM``."""
    machine: str
    processor: str
    """The emulated processor; empty for that of the machine."""
    package: str
    """Debian's package of the program is ``qemu-system-PACKAGE``."""
    kernels: Mapping[str, str]
    """Flavour of the kernel by release: the package is ``linux-image-FLAVOUR``.

    Empty if no kernel of Debian runs in QEMU: then only a userland can be had.
    """
    console: str = "ttyS0"
    bus: str = "pci"
    """Bus of the virtio devices."""
    megabytes: int = 2048
    """Memory; the initramfs is unpacked into it."""
    runs_on: tuple[str, ...] = ()
    """Hosts (``uname -m``) whose KVM can run it."""


def _name_kernel(flavour: str, *releases: str) -> Mapping[str, str]:
    """Return the flavour by release: of ``releases``, or of all."""
    return dict.fromkeys(releases or RELEASES, flavour)


MACHINES: Mapping[str, Machine] = {
    "amd64": Machine(
        "x86_64", "q35", "max", "x86", _name_kernel("amd64"), runs_on=("x86_64",)
    ),
    "arm64": Machine("aarch64", "virt", "cortex-a57", "arm", _name_kernel("arm64"), "ttyAMA0"),
    # No machine of QEMU runs the kernel marvell, and those that run rpi have no virtio devices.
    "armel": Machine("arm", "", "", "arm", {}),
    "armhf": Machine(
        "arm",
        # Without LPAE a kernel does not reach a PCI host above 4 GiB.
        "virt,highmem=off",
        "cortex-a15",
        "arm",
        {"bookworm": "armmp", "trixie": "armmp-lpae", "sid": "armmp-lpae"},
        "ttyAMA0",
    ),
    "i386": Machine(
        "i386", "q35", "max", "x86", _name_kernel("686-pae", "bookworm"),
        runs_on=("x86_64", "i686"),
    ),
    "mips64el": Machine(
        "mips64el", "malta", "5KEc", "mips", _name_kernel("5kc-malta", "bookworm")
    ),
    "mipsel": Machine("mipsel", "malta", "24Kf", "mips", _name_kernel("4kc-malta", "bookworm")),
    "ppc64el": Machine("ppc64", "pseries", "power9", "ppc", _name_kernel("powerpc64le"), "hvc0"),
    "riscv64": Machine("riscv64", "virt", "", "misc", _name_kernel("riscv64", "trixie", "sid")),
    "s390x": Machine(
        "s390x", "s390-ccw-virtio", "", "misc", _name_kernel("s390x"), "ttysclp0", "ccw"
    ),
}  # fmt: skip
"""By Debian's name of the architecture."""

PACKAGES = "base-files,busybox,coreutils,dash,gzip,iproute2,libpython3-stdlib,mount,python3-minimal"
_DEBS = "debs"
"""File in which mmdebstrap's hook names what was unpacked; dpkg has installed nothing."""
_LEFT_OUT = (_DEBS, "boot/*", "*lib/modules/*", "*lib/udev/*", "*/gconv/*", "usr/share/*", "var/*")
"""Neither Python nor the lab needs these files, and a guest would be slow to unpack them."""

_ESSENTIAL = (
    "bash,debianutils,diffutils,findutils,grep,hostname,libc-bin,mawk,perl-base,sed,tar,util-linux"
)
"""Packages that others use without saying so, since every ordinary Debian has them."""
_LEFT_OUT_WITH_PACKAGES = (
    *(path for path in _LEFT_OUT if path != "usr/share/*"),
    *(f"usr/share/{name}/*" for name in ("bash-completion", "doc", "info", "locale", "man")),
)
_ALTERNATIVES = {
    "usr/bin/awk": "mawk",
    "usr/bin/c++": "g++",
    "usr/bin/cc": "gcc",
    "usr/bin/yacc": "bison.yacc",
}
"""Links that the packages' scripts would make, which are not run, with their targets."""

_KERNEL = r"boot/vmlinu[xz]-.*|usr/lib/modules/[^/]+/vmlinu[xz]"
"""Where a kernel is; since 7.x its package leaves /boot to scripts."""
_MODULES = ("virtio_console", "virtio_pci", "virtio_mmio")
"""Modules for the channel to the guest; a kernel may have them built in."""

_PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
_GROUP = "root:x:0:\nnogroup:x:65534:\n"
_FOLDERS = ("dev", "proc", "root", "run", "sys", "tmp", "var", "var/tmp")


@dataclass(frozen=True)
class Release:
    """A release for an architecture, with the flavour of its kernel, and packages to add."""

    release: str
    architecture: str
    kernel: str
    """Empty for a userland."""
    packages: tuple[str, ...] = ()

    @property
    def machine(self) -> Machine:
        """Return the computer that it runs on."""
        return MACHINES[self.architecture]

    @property
    def name(self) -> str:
        """Return the name of its folder in the cache."""
        parts = ["debian", self.release, self.architecture]
        if self.kernel not in ("", self.machine.kernels.get(self.release)):
            parts.append(self.kernel)
        if self.packages:
            # The packages themselves may be too long for a name.
            parts.append(hashlib.sha256(",".join(self.packages).encode()).hexdigest()[:12])
        return "-".join(parts)


@dataclass(frozen=True)
class Box:
    """The paths of what was built."""

    kernel: str
    initramfs: str
    packages: str


_FILES = ("kernel", "initramfs", "packages")
"""The files of a `Box`, in its order."""


def parse_argument(argument: str, with_kernel: bool = True) -> Release:
    """Return the release that an argument like `ARGUMENT` names; raise CommandError.

    It has no kernel if ``with_kernel`` is false.
    """
    argument, *packages = argument.split(",")
    release, _, rest = argument.partition(":")
    architecture, _, kernel = rest.partition(":")
    if release not in RELEASES:
        raise CommandError(f"unknown release {release!r}; choose from {', '.join(RELEASES)}")
    machine = MACHINES.get(architecture)
    if not machine:
        raise CommandError(
            f"unknown architecture {architecture!r}; choose from {', '.join(MACHINES)}"
        )
    if kernel and not with_kernel:
        raise CommandError(f"a userland has no kernel; write {release}:{architecture}")
    if with_kernel and not machine.kernels:
        raise CommandError(
            f"no kernel of Debian for {architecture} runs in QEMU; "
            f"there is its userland: chroot:debian:{release}:{architecture}"
        )
    if with_kernel and not kernel and release not in machine.kernels:
        raise CommandError(
            f"Debian {release} has no kernel for {architecture}; "
            f"choose from {', '.join(machine.kernels)}"
        )
    if kernel and not re.fullmatch(r"[a-z0-9.+-]+", kernel):
        raise CommandError(f"{kernel!r} is not a kernel; one is named as in linux-image-KERNEL")
    for package in packages:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", package):
            raise CommandError(f"{package!r} is not the name of a Debian package")
    if with_kernel:
        kernel = kernel or machine.kernels[release]
    return Release(release, architecture, kernel, tuple(sorted({*packages})))


def find_built(argument: str) -> Box | None:
    """Return the box in the cache; None if it is not there, or was built in another way."""
    wanted = parse_argument(argument)
    path = find_cache_path(wanted.name)
    return _make_box(path) if read_recipe(path) == make_recipe(wanted) else None


def explain_lack() -> str:
    """Return why no box can be built, and what to type; empty if boxes can be built."""
    if not shutil.which("mmdebstrap"):
        return "mmdebstrap is not installed: apt-get install mmdebstrap debian-archive-keyring"
    return _mirror.explain_lack()


def build(say: Say, force: bool, argument: str) -> Box:
    """Return the box; build it if it is not in the cache, or with ``force``.

    Raise `Unavailable` if it cannot be built.
    """
    wanted = parse_argument(argument)
    path = build_folder(
        wanted.name,
        make_recipe(wanted),
        explain_lack,
        lambda folder: _fetch(wanted, Path(folder), say),
        say,
        force,
        _FILES,
    )
    return _make_box(path)


def _make_box(path: str) -> Box:
    return Box(*(os.path.join(path, name) for name in _FILES))


def make_command(wanted: Release) -> list[str]:
    """Return the words of mmdebstrap's command, which writes the packages as a tar archive."""
    kernel = [f"linux-image-{wanted.kernel}"] if wanted.kernel else []
    mirror = os.environ.get("MATRIX_MIRROR", _mirror.DEFAULT)
    added = [_ESSENTIAL, *wanted.packages] if wanted.packages else []
    # Nothing is run of what is unpacked: the packages' scripts would need the other processor.
    return [
        "mmdebstrap",
        "--variant=extract",
        f"--architectures={wanted.architecture}",
        "--format=tar",
        f'--extract-hook=LC_ALL=C ls "$1"/var/cache/apt/archives >"$1"/{_DEBS}',
        # A mirror may be an old snapshot; signatures are checked all the same.
        '--aptopt=Acquire::Check-Valid-Until "false"',
        f"--include={','.join([PACKAGES, *kernel, *added])}",
        wanted.release,
        "-",
        f"deb {mirror} {wanted.release} main",
    ]


def make_recipe(wanted: Release) -> str:
    """Return a hash that changes if the box would."""
    code = [_KERNEL, *(inspect.getsource(part) for part in (_convert, _find_modules, _cpio))]
    left_out, links = _choose_files(wanted)
    parts = (
        make_command(wanted), _mmdebstrap.find_epoch(), left_out, links, _MODULES, _FOLDERS, code
    )  # fmt: skip
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _choose_files(wanted: Release) -> tuple[Sequence[str], Mapping[str, str]]:
    """Return which files of the packages are left out, and which links are added."""
    if wanted.packages:
        return _LEFT_OUT_WITH_PACKAGES, _ALTERNATIVES
    return _LEFT_OUT, {}


def _fetch(wanted: Release, folder: Path, say: Say) -> None:
    say(FETCHING)
    run_mmdebstrap(
        make_command(wanted), lambda root: _convert(root, folder, *_choose_files(wanted))
    )
    if not (folder / "kernel").exists():
        raise OSError(f"linux-image-{wanted.kernel} has no kernel")


def run_mmdebstrap(command: list[str], convert: Callable[[IO[bytes]], None]) -> None:
    """Run mmdebstrap, and pass the tar archive that it writes to ``convert``.

    Raise CalledProcessError if it fails, and OSError if its archive is damaged.
    """
    with (
        _mmdebstrap.make_folder() as scratch,
        open(Path(scratch, "said"), "w+", errors="replace") as said,
        run_program(
            command,
            _end,
            stdout=subprocess.PIPE,
            stderr=said,
            env={**_mmdebstrap.make_environment(), "TMPDIR": scratch},
        ) as process,
    ):
        assert process.stdout
        damaged = None
        try:
            convert(process.stdout)
        except tarfile.TarError as error:
            # Most likely because mmdebstrap failed, which says why.
            damaged = error
        # A tar file is padded with zeros.
        process.communicate()
        if process.returncode:
            said.seek(0)
            raise _mmdebstrap.make_error(process.returncode, said.readlines())
        if damaged:
            raise OSError(f"mmdebstrap's archive is damaged: {damaged}")


def _end(mmdebstrap: subprocess.Popen[bytes]) -> None:
    """Let mmdebstrap clean up, which takes a moment."""
    mmdebstrap.terminate()


def _convert(
    root: IO[bytes], folder: Path, left_out: Sequence[str], links: Mapping[str, str]
) -> None:
    """Write kernel, initramfs and the list of packages from the tar archive of a root folder."""
    modules: dict[str, bytes] = {}
    added: set[str] = set()
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
            if re.fullmatch(_KERNEL, path):
                assert content
                with open(folder / "kernel", "wb") as copy:
                    shutil.copyfileobj(content, copy)
            elif path == _DEBS:
                assert content
                listed = _list_packages(content.read().decode())
                (folder / "packages").write_text("".join(listed))
            elif found := re.fullmatch(r".*lib/modules/.*/virtio[^/]*?\.ko(\.xz)?", path):
                assert content
                data = content.read()
                name = os.path.basename(path).partition(".")[0].replace("-", "_")
                modules[name] = lzma.decompress(data) if found[1] else data
            elif path not in ("", ".", *_FOLDERS) and not any(
                fnmatch(path, left) for left in left_out
            ):
                archive.add_member(member, path, content.read() if content else b"")
                added.add(path)
        for path, target in links.items():
            if path not in added and os.path.join(os.path.dirname(path), target) in added:
                archive.add_link(path, target)
        for number, name in enumerate(_find_modules(modules)):
            archive.add_file(f"modules-{number}-{name}.ko", 0o644, modules[name])
        archive.end()


def _list_packages(debs: str) -> list[str]:
    """Return a line ``name version`` for each package file, named as in ``a_1%3a2_all.deb``."""
    found = [line.split("_") for line in debs.splitlines() if line.endswith(".deb")]
    return [f"{name} {version.replace('%3a', ':')}\n" for name, version, _ in found]


def unpack(wanted: Release, root: IO[bytes], folder: Path) -> None:
    """Write the files that a box would have, without kernel and devices, to a folder."""
    left_out, links = _choose_files(wanted)
    with tarfile.open(fileobj=root, mode="r|") as tar:
        # The packages are signed; some links are absolute, and some programs set-user-ID.
        tar.extraction_filter = lambda member, path: member
        tar.extractall(
            folder,
            members=(
                member
                for member in tar
                if not member.isdev()
                and not any(fnmatch(member.name.removeprefix("./"), left) for left in left_out)
            ),
        )
    for name in _FOLDERS:
        (folder / name).mkdir(exist_ok=True)
    for path, target in links.items():
        link = folder / path
        if (link.parent / target).exists() and not link.exists():
            link.symlink_to(target)
    for path, (mode, data) in _USERS.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(data)
        (folder / path).chmod(mode)


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


_INIT = """\
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
ln -s /proc/self/fd /dev/fd
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
echo 1 >/proc/sys/kernel/printk
ip link set lo up
lines=
modules='/modules-*'
read -r arguments </proc/cmdline
for argument in $arguments; do
    case $argument in
    lab.now=*) date -s "@${argument#*=}" >/dev/null ;;
    lab.lines=*) lines=${argument#*=} modules='/uml-modules-*' ;;
    esac
done
for module in $modules; do
    [ ! -e "$module" ] || busybox insmod "$module" || echo "init: $module cannot be loaded"
done
cd /root
python3 /channel.py $lines </dev/null
echo "init: the channel ended with status $?"
echo o >/proc/sysrq-trigger
sleep 60
"""


_USERS = {
    "etc/passwd": (0o644, _PASSWD.encode()),
    "etc/group": (0o644, _GROUP.encode()),
}
"""Mode and content of files that every guest gets."""


def make_channel_files(
    channel: bytes, modules: Mapping[str, bytes]
) -> dict[str, tuple[int, bytes]]:
    """Return the files of a guest that runs the program ``channel``, for `extend_initramfs`.

    ``modules`` are those of a kernel that is not the box's.
    """
    files = {"init": (0o755, _INIT.encode()), "channel.py": (0o644, channel)}
    for number, (name, module) in enumerate(modules.items()):
        files[f"uml-modules-{number}-{name}.ko"] = 0o644, module
    return files


def extend_initramfs(box: Box, file: IO[bytes], files: Mapping[str, tuple[int, bytes]]) -> None:
    """Write the initramfs of a guest to ``file``: the box's, and ``files`` by path, with modes."""
    with open(box.initramfs, "rb") as cached:
        shutil.copyfileobj(cached, file)
    # The kernel looks for the next archive at a multiple of four bytes.
    file.write(bytes(-file.tell() % 4))
    archive = _cpio.Archive(file)
    for path, (mode, data) in {**_USERS, **files}.items():
        archive.add_file(path, mode, data)
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
    command = [f"qemu-system-{machine.program}", "-M", machine.machine]
    if processor := "host" if kvm else machine.processor:
        command += ["-cpu", processor]
    arguments = f"console={machine.console} rdinit=/init quiet panic=-1 mitigations=off {argument}"
    return [
        *command,
        *("-accel", "kvm" if kvm else "tcg", "-m", str(machine.megabytes), "-display", "none"),
        *("-monitor", "none", "-nic", "none", "-vga", "none", "-no-reboot"),
        *("-kernel", box.kernel, "-initrd", initramfs, "-append", arguments),
    ]
