"""Debian 12 for i386: a disk with its own 32-bit kernel, a Vagrant box of it, a root folder.

No one publishes a maintained box of it, and Debian 13 has no i386 kernel.  It is built from
Debian's own packages with mmdebstrap(1), without a loop mount, and by an ordinary user if the
host has subordinate ids for that user (subuid(5)).

Two builds of the same packages are equal, byte for byte: times come from SOURCE_DATE_EPOCH, ids
and hash seeds are fixed, and random values (host keys, machine id) are made when a guest starts.
Builds of different packages differ: Debian 12's change with a point release, every few months
(the updates and security archives are left out for this reason).  ``packages`` in the folder
lists them; ``MATRIX_MIRROR`` names another mirror, such as a snapshot of one day.  The host's
versions of GRUB, mke2fs and qemu-img also matter.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import struct
import subprocess
import tarfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from matrix.errors import Say
from matrix.interrupts import run_program

from . import _ext4, _mirror, find_cache_path
from ._cache import SUMS, build_folder, is_whole, read_recipe
from ._mmdebstrap import find_epoch, make_environment, make_error, make_folder

KEY = os.path.join(os.path.dirname(__file__), "insecure_key")
"""Vagrant's well-known key for the guest; it is not a secret."""

PUBLIC_KEY = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAABIwAAAQEA6NF8iallvQVp22WDkTkyrtvp9eWW6A8YVr+kz4TjGYe7gHzIw+niNltGE"
    "FHzD8+v1I2YJ6oXevct1YeS0o9HZyN1Q9qgCgzUFtdOKLv6IedplqoPkcmF0aYet2PkEDo3MlTBckFXPITAMzF8dJSIFo"
    "9D8HfdOV0IAdx4O7PtixWKn5y2hMNG0zQPyUecp4pzC6kivAIhyfHilFR61RGL+GPXQ2MWZWFYbAGjyiYJnAmCP3NOTd0"
    "jMZEnDkbUvxhMmBYSdETk1rRgm+R4LOzFUGaHqHDLKLX+FIPKcF96hrucXzcWyLbIbEgE98OHlnVYCzRdK8jlqm8tehUc"
    "9c9WhQ== vagrant insecure public key"
)

AT_FIRST_USE = "is built at first use, in one to three minutes"
"""What users are told of a box or a root folder that is not in the cache."""

UUID = "32323232-6c61-6220-706f-727461626c65"
MEGABYTES = 1500
KERNEL_ARGUMENTS = f"root=UUID={UUID} rw console=ttyS0 quiet mitigations=off net.ifnames=0"

# The compiler, as what C's headers and flags make of a source is asked too.
_MEASURED_BY = "python3,gcc,libc6-dev"

# systemd-resolved: so that names can be resolved, on whatever network it finds itself.
PACKAGES = (
    f"{_MEASURED_BY},linux-image-686-pae,initramfs-tools,systemd-sysv,systemd-resolved,"
    "openssh-server,sudo,rsync,iproute2"
)

# What no virtual machine has, and no probe asks for: half of the size.
_LEFT_OUT = [
    *("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*"),
    *("/usr/share/lintian/*", "/lib/modules/*/kernel/sound/*"),
    *("/usr/lib/gcc/*/lto*", "/usr/lib/gcc/*/*san*", "/usr/lib/gcc/*/*g++*"),
    *(
        f"/lib/modules/*/kernel/drivers/{name}/*"
        for name in [
            "gpu",
            "media",
            "iio",
            "infiniband",
            "staging",
            "usb",
            "net/ethernet",
            "net/wireless",
        ]
    ),
]

# Before the packages: what their scripts read.
_BEFORE = """\
mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"
printf '%s\\n' MODULES=list COMPRESS=gzip >"$1/etc/initramfs-tools/conf.d/papaya-lab"
printf '%s\\n' virtio_pci virtio_blk virtio_net ext4 \\
    >"$1/usr/share/initramfs-tools/modules.d/papaya-lab"
"""

_AFTER = f"""\
set -e
cd "$1"
chroot . useradd --create-home --shell /bin/bash vagrant
mkdir -m 700 home/vagrant/.ssh
echo '{PUBLIC_KEY}' >home/vagrant/.ssh/authorized_keys
chmod 600 home/vagrant/.ssh/authorized_keys
chroot . chown -R vagrant:vagrant /home/vagrant/.ssh
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >etc/sudoers.d/vagrant
chmod 440 etc/sudoers.d/vagrant
echo debian32 >etc/hostname
printf '%s\\n' '127.0.0.1 localhost debian32' '::1 localhost ip6-localhost' >etc/hosts
echo 'UUID={UUID} / ext4 noatime 0 1' >etc/fstab

# The Ethernet, whatever it is called: an address by DHCP, and one of IPv6.
cat >etc/systemd/network/ethernet.network <<'END'
[Match]
Type=ether
[Network]
DHCP=yes
IPv6AcceptRA=yes
[DHCPv4]
ClientIdentifier=mac
END
chroot . systemctl --quiet enable systemd-networkd

# A host key of its own for each guest; of the one kind that is quick under emulation, too.
rm -f etc/ssh/ssh_host_*
printf '%s\\n' 'HostKey /etc/ssh/ssh_host_ecdsa_key' 'UseDNS no' >etc/ssh/sshd_config.d/lab.conf
mkdir etc/systemd/system/ssh.service.d
cat >etc/systemd/system/ssh.service.d/key.conf <<'END'
[Service]
Environment=KEY=ssh_host_ecdsa_key
ExecStartPre=
ExecStartPre=sh -c 'cd /etc/ssh && [ -s $KEY ] || ssh-keygen -q -t ecdsa -N "" -f $KEY'
END

# What a guest of minutes need not do.
chroot . systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \\
    e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-networkd-wait-online.service \\
    getty-static.service getty@tty1.service systemd-pstore.service systemd-logind.service \\
    modprobe@dm_mod.service sys-kernel-debug.mount sys-kernel-tracing.mount

mkdir -p boot/grub
cat >boot/grub/grub.cfg <<END
set timeout=0
menuentry debian32 {{
    linux /boot/$(ls boot | grep ^vmlinuz-) {KERNEL_ARGUMENTS}
    initrd /boot/$(ls boot | grep ^initrd.img-)
}}
END
rm -rf usr/share/doc/* var/cache/debconf/*-old var/lib/dpkg/*-old var/backups/* var/log/journal
rm -f etc/passwd- etc/group- etc/shadow- etc/gshadow- etc/subuid- etc/subgid-
"""

_VAGRANTFILE = """\
Vagrant.configure("2") do |config|
  config.vm.guest = :debian
  config.ssh.insert_key = false
  config.vm.synced_folder ".", "/vagrant", disabled: true
end
"""


@dataclass(frozen=True)
class Box:
    """What was built; ``sha256`` is that of ``box``."""

    folder: str
    box: str
    disk: str
    kernel: str
    initrd: str
    sha256: str


_FILES = {"box": "debian32.box", "disk": "disk.qcow2", "kernel": "vmlinuz", "initrd": "initrd.img"}
_SUMMED = [*_FILES.values(), "packages"]

_PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "arch-test": "arch-test",
    "tar": "tar",
}
_DISK_PROGRAMS = {
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "grub-mkimage": "grub-common",
    "qemu-img": "qemu-utils",
}
_GRUB = "/usr/lib/grub/i386-pc"


def explain_lack() -> str:
    """Return what the host lacks to build the box, and what to type; empty if nothing."""
    return _explain_lack({**_PROGRAMS, **_DISK_PROGRAMS}, {f"{_GRUB}/boot.img": "grub-pc-bin"})


def _explain_lack(programs: dict[str, str], files: dict[str, str]) -> str:
    keyring = {"/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring"}
    missing = {name: package for name, package in programs.items() if not _find_program(name)}
    missing |= {p: package for p, package in (files | keyring).items() if not os.path.exists(p)}
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        return f"not installed: {', '.join(missing)}; apt-get install {packages}"
    if why := _mirror.explain_lack():
        return f"it is built from Debian's packages, and {why}"
    if os.geteuid() and not _find_program("newuidmap"):
        return "an ordinary user needs newuidmap: apt-get install uidmap"
    runs = subprocess.run(["arch-test", "i386"], capture_output=True, env=make_environment())
    if runs.returncode:
        return "this kernel runs no i386 programs: apt-get install qemu-user-static"
    return ""


def explain_rootfs_lack() -> str:
    """Return what the host lacks to build the root folder; empty too if it is in the cache."""
    return "" if is_rootfs_built() else _explain_lack(_PROGRAMS, {})


def is_rootfs_built() -> bool:
    """Return whether the root folder is in the cache."""
    return read_recipe(find_cache_path("debian32-root")) == _hash_recipe()


def find_built() -> Box | None:
    """Return the box in the cache, if it is complete and of this recipe; otherwise None."""
    folder = find_cache_path("debian32")
    if read_recipe(folder) != _hash_recipe() or not is_whole(folder, _SUMMED):
        return None
    return _make_box(folder)


def build(say: Say, force: bool = False) -> Box:
    """Return the box, and build it if it is not in the cache; ``force`` always builds it.

    Raise `Unavailable` if it cannot be built.
    """
    fill = partial(_build, say=say)
    return _make_box(
        build_folder("debian32", _hash_recipe(), explain_lack, fill, say, force, _SUMMED)
    )


def _make_box(folder: str) -> Box:
    paths = {field: os.path.join(folder, name) for field, name in _FILES.items()}
    with open(os.path.join(folder, SUMS), encoding="ascii") as sums:
        return Box(folder, sha256=sums.read().split(maxsplit=1)[0], **paths)


def find_rootfs(say: Say) -> str:
    """Return the path of an i386 root folder with Python; build it if it is not in the cache.

    Raise `Unavailable` if it cannot be built.
    """

    def fill(folder: str) -> None:
        packed = os.path.join(folder, "root.tar")
        _run_mmdebstrap(packed, _MEASURED_BY, [], say)
        # An ordinary user cannot make devices; the provider mounts the host's.
        command = ["tar", "-x", "-f", packed, "-C", folder, "--exclude=./dev/*"]
        subprocess.run(command, check=True)
        os.unlink(packed)

    return build_folder("debian32-root", _hash_recipe(), explain_rootfs_lack, fill, say)


def _hash_recipe() -> str:
    """Return a hash that changes if the result of a build would change."""
    parts = (
        PACKAGES,
        _LEFT_OUT,
        _BEFORE,
        _AFTER,
        _VAGRANTFILE,
        MEGABYTES,
        UUID,
        find_epoch(),
    )
    mirror = os.environ.get("MATRIX_MIRROR", "")
    digest = hashlib.sha256(repr((parts, mirror)).encode())
    with open(_ext4.__file__, "rb") as file:
        digest.update(file.read())
    return digest.hexdigest()


def _find_program(name: str) -> str | None:
    return shutil.which(name, path=make_environment()["PATH"])


def _build(folder: str, say: Say) -> None:
    def path(name: str) -> str:
        return os.path.join(folder, name)

    packed, raw = path("root.tar"), path("disk.raw")
    options = [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    options += ["--essential-hook=" + _BEFORE, "--customize-hook=" + _AFTER]
    _run_mmdebstrap(packed, PACKAGES, options, say)
    with tarfile.open(packed) as archive:
        say("taking kernel, initial RAM disk and the list of packages out")
        wanted = {"./boot/vmlinuz-": _FILES["kernel"], "./boot/initrd.img-": _FILES["initrd"]}
        for member in archive:
            for start, name in wanted.items():
                if member.isfile() and member.name.startswith(start):
                    _take(archive, member, path(name))
            if member.name == "./var/lib/dpkg/status":
                _take(archive, member, path("status"))
    with open(path("status"), encoding="utf-8") as status, open(path("packages"), "w") as names:
        names.writelines(_list_packages(status))
    os.unlink(path("status"))
    say("writing the disk")
    with open(raw, "wb") as disk:
        disk.truncate(MEGABYTES << 20)
    with _search_path():
        _ext4.make(packed, raw, folder, MEGABYTES, UUID, find_epoch())
    os.unlink(packed)
    _make_bootable(raw, folder)
    say("compressing it")
    _run(["qemu-img", "convert", "-c", "-O", "qcow2", raw, path(_FILES["disk"])])
    os.unlink(raw)
    say("packing the box")
    _pack(path(_FILES["disk"]), path(_FILES["box"]))
    for name in os.listdir(folder):
        if name not in _FILES.values() and name != "packages":
            os.unlink(path(name))


def _list_packages(status: Iterable[str]) -> Iterator[str]:
    """Yield a line ``name version`` for each package of dpkg's status file."""
    name = ""
    for line in status:
        if line.startswith("Package: "):
            name = line.split()[1]
        elif line.startswith("Version: "):
            yield f"{name} {line.split()[1]}\n"


@contextlib.contextmanager
def _search_path() -> Iterator[None]:
    before = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = make_environment()["PATH"]
    try:
        yield
    finally:
        os.environ["PATH"] = before


def _take(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
    source = archive.extractfile(member)
    assert source
    with open(path, "wb") as file:
        shutil.copyfileobj(source, file)


def _run_mmdebstrap(packed: str, packages: str, options: Sequence[str], say: Say) -> None:
    """Debian's packages, unpacked and configured, as the tar file ``packed``."""
    say("fetching and installing Debian's packages: one to two minutes")
    # The point release alone; the archives beside it change by the day.
    point_release = r'sed -i -E "/-(updates|security) /d" "$1/etc/apt/sources.list"'
    command = ["mmdebstrap", "--architectures=i386", "--variant=minbase", f"--include={packages}"]
    command += ["--format=tar", "--dpkgopt=force-unsafe-io", f"--setup-hook={point_release}"]
    command += [*options, "bookworm", packed]
    if mirror := os.environ.get("MATRIX_MIRROR"):
        command.append(mirror)
    if not os.geteuid():
        # Its mounts are private, and end with its last process.
        command = ["unshare", "--mount", "--propagation", "private", *command]
    heard: list[str] = []
    with (
        make_folder() as folder,
        run_program(
            command,
            _end,
            env={**make_environment(), "TMPDIR": folder},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stderr
        for line in process.stderr:
            heard.append(line.rstrip())
            if line.startswith("I: ") and line.endswith("...\n") and "/" not in line:
                say(line[3:].rstrip())
    if process.returncode:
        raise make_error(process.returncode, heard)


def _end(process: subprocess.Popen[str]) -> None:
    """End a process with everything it started; the first signal lets them clean up."""
    for signum, limit in ((signal.SIGINT, 30), (signal.SIGKILL, 10)):
        until = time.monotonic() + limit
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signum)
            while time.monotonic() < until:
                process.poll()
                os.killpg(process.pid, 0)
                time.sleep(0.05)
            continue
        return


def _run(command: Sequence[str]) -> None:
    subprocess.run(
        command,
        check=True,
        env=make_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def _make_bootable(disk: str, folder: str) -> None:
    """Write the partition table and GRUB: boot.img in the first sector, core.img after it.

    grub-install(8) does the same, but needs the disk to be a device.  The partition table is that
    of sfdisk(8) with ``start=2048, type=83, bootable``.
    """
    core = os.path.join(folder, "core.img")
    modules = ["biosdisk", "part_msdos", "ext2", "normal", "linux", "configfile", "echo"]
    prefix = "(hd0,msdos1)/boot/grub"
    _run(["grub-mkimage", "-O", "i386-pc", "-p", prefix, "-d", _GRUB, "-o", core, *modules])
    with open(f"{_GRUB}/boot.img", "rb") as file:
        code = file.read(440)
    start = _ext4.OFFSET // 512
    no_geometry = b"\xfe\xff\xff"
    entry = struct.pack(
        "<B3sB3sII", 0x80, no_geometry, 0x83, no_geometry, start, MEGABYTES * 2048 - start
    )
    table = code + struct.pack("<IH", 0x32336264, 0) + entry + bytes(48) + b"\x55\xaa"
    with open(disk, "r+b") as file, open(core, "rb") as second:
        file.write(table)
        file.write(second.read())
        if file.tell() > _ext4.OFFSET:
            raise OSError("GRUB does not fit before the partition")


def _pack(disk: str, box: str) -> None:
    """Pack a box for vagrant-libvirt: sorted, without owners, all of one time."""
    size = -(-MEGABYTES // 1024)
    metadata = {"provider": "libvirt", "format": "qcow2", "virtual_size": size}
    texts = {"Vagrantfile": _VAGRANTFILE, "metadata.json": json.dumps(metadata)}
    with tarfile.open(box, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(texts):
            _add(archive, name, io.BytesIO(texts[name].encode()), len(texts[name]))
        with open(disk, "rb") as file:
            _add(archive, "box.img", file, os.path.getsize(disk))


def _add(archive: tarfile.TarFile, name: str, source: io.BufferedIOBase, size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime = size, find_epoch()
    archive.addfile(member, source)
