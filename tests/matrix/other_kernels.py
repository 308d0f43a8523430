"""Does the lab tell the truth on other architectures?  Run it on their own Debian kernels.

    .ci/other-kernels [--output DIR] [NAME ...]

Each guest is booted by QEMU without a disk: Debian's kernel, and an initramfs with Debian's Python
and this checkout's lab.  The lab's report comes back on the console and is compared with the one
measured here, on amd64: an inherent fact differs only where `KNOWN` or the family `abi` says so.
Debian's kernels are older than most hosts'; the platform ``amd64`` tells whether a difference is
one of version or of processor.

Exit status 0: all facts as they must be; 1: a fact differs or is missing; 2: wrong usage; 3: a
guest could not be built or booted, or sent no report.

Kernel and root folder are kept in the user's cache folder, or below MATRIX_CACHE: delete
``kernel-NAME`` there to get newer ones.  MATRIX_MIRROR names another Debian mirror.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import gzip
import hashlib
import inspect
import os
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import IO

from matrix.boxes import _mirror, find_cache_path
from matrix.boxes._cache import lock_cache, read_recipe, replace_folder
from matrix.errors import Unavailable
from probes import Report
from probes.commands.pack import pack
from probes.errors import ReportError
from probes.fact import FAULTS, INHERENT, MEASURED, Value, show
from probes.text import make_printable

DEFAULT = ("s390x", "mips64el", "armhf13")
AT_ONCE = 2
LIMIT = 600
"""Seconds from power on to power off; a guest takes 30 to 90 on an idle machine."""
MEGABYTES = 2048
"""Of a guest's memory; the initramfs is unpacked there."""
FEWEST = 265
"""Facts measured, at the least, without a compiler."""


@dataclass(frozen=True)
class Kernel:
    """A Debian kernel, and the machine that QEMU emulates for it."""

    release: str
    package: str
    machine: str
    """QEMU's program and its options."""
    qemu: str
    """Debian's package of that program."""
    console: str = "ttyS0"


_X86 = "-M q35 -cpu max"
KERNELS = {
    "amd64": Kernel("bookworm", "amd64", f"x86_64 {_X86}", "x86"),
    "arm64": Kernel("bookworm", "arm64", "aarch64 -M virt -cpu cortex-a57", "arm", "ttyAMA0"),
    "armhf": Kernel("bookworm", "armmp", "arm -M virt -cpu cortex-a15", "arm", "ttyAMA0"),
    "armhf13": Kernel("trixie", "armmp-lpae", "arm -M virt -cpu cortex-a15", "arm", "ttyAMA0"),
    "i386": Kernel("bookworm", "686-pae", f"i386 {_X86}", "x86"),
    "mips64el": Kernel("bookworm", "5kc-malta", "mips64el -M malta -cpu 5KEc", "mips"),
    "ppc64el": Kernel("bookworm", "powerpc64le", "ppc64 -M pseries", "ppc", "hvc0"),
    "riscv64": Kernel("trixie", "riscv64", "riscv64 -M virt", "misc"),
    "s390x": Kernel("bookworm", "s390x", "s390x -M s390-ccw-virtio", "misc", "ttysclp0"),
}
"""By Debian's name of the architecture, with the release where it is not Debian 12."""

Known = tuple[str, Mapping[str, Value]]
"""Why facts differ from amd64's, or are of the family `abi`, and the values they must have."""
_GLIBC: Known = ("glibc's sigset_t has 1024 bits", {"abi.sigset_t_bytes": 128})
_UNSIGNED: Known = ("char is unsigned there", {"abi.char_signed": False})
_32_BITS: Known = (
    "pointers and longs have 32 bits there",
    {
        "abi.long_bits": 32,
        "abi.pointer_bits": 32,
        "abi.sa_flags_offset": 132,
        "abi.size_t_bits": 32,
    },
)
_OLD_TIME: Known = (
    "Debian 12 builds 32-bit programs with 32 bits of time_t and off_t",
    {"abi.off_t_bits": 32, "abi.time_after_2038": False, "abi.time_t_bits": 32},
)
_NEW_TIME: Known = (
    "Debian 13 builds armhf's programs with 64 bits of time_t and off_t",
    {"abi.off_t_bits": 64, "abi.time_after_2038": True, "abi.time_t_bits": 64},
)
_MIPS: Known = (
    "MIPS has 127 signals, and sa_flags first in struct sigaction",
    {"abi.sa_flags_offset": 0, "signals.sigrtmax": 127},
)
_S390X: Known = (
    "s390x is big-endian, with sa_flags before sa_mask in struct sigaction",
    {"abi.byte_order": "big-endian", "abi.sa_flags_offset": 12},
)
_I386: Known = (
    "i386 aligns 64-bit members to four bytes",
    {"abi.double_alignment": 4, "abi.int64_alignment": 4},
)
KNOWN: Mapping[str, Sequence[Known]] = {
    "amd64": (_GLIBC,),
    "arm64": (_GLIBC, _UNSIGNED),
    "armhf": (_GLIBC, _UNSIGNED, _32_BITS, _OLD_TIME),
    "armhf13": (_GLIBC, _UNSIGNED, _32_BITS, _NEW_TIME),
    "i386": (_GLIBC, _32_BITS, _OLD_TIME, _I386),
    "mips64el": (_GLIBC, _MIPS),
    "ppc64el": (_GLIBC, _UNSIGNED),
    "riscv64": (_GLIBC, _UNSIGNED),
    "s390x": (_GLIBC, _UNSIGNED, _S390X),
}
"""What is right on a platform, whatever amd64's report says; other facts of `abi` are free."""


_PACKAGES = "base-files,coreutils,dash,gzip,iproute2,libpython3-stdlib,mount,python3-minimal"
_LEFT_OUT = ("boot/*", "*lib/modules/*", "*lib/udev/*", "*/gconv/*", "usr/share/*", "var/*")
"""Neither Python nor /init needs it, and the guest would be slow to unpack it."""


def architecture(name: str) -> str:
    """Debian's name of the architecture."""
    return name.removesuffix("13")


def lacks(name: str) -> str:
    """Return what the host lacks to boot that kernel, or an empty string."""
    kernel = KERNELS[name]
    program = f"qemu-system-{kernel.machine.split()[0]}"
    if not shutil.which(program):
        return f"{program} is not installed; apt-get install qemu-system-{kernel.qemu}"
    return ""


def build(name: str) -> Path:
    """Return the folder with ``kernel`` and ``initramfs``, built unless it is in the cache.

    Raises `Unavailable`.
    """
    kernel, box = KERNELS[name], f"kernel-{name}"
    mirror = os.environ.get("MATRIX_MIRROR", _mirror.DEFAULT)
    # Nothing is run of what is unpacked: the packages' scripts would need the other processor.
    command = ["mmdebstrap", "--variant=extract", f"--architectures={architecture(name)}"]
    command += ["--format=tar", f"--include={_PACKAGES},linux-image-{kernel.package}"]
    command += [kernel.release, "-", f"deb {mirror} {kernel.release} main"]
    code = [inspect.getsource(part) for part in (_convert, Archive)]
    recipe = hashlib.sha256(repr((command, _LEFT_OUT, code)).encode()).hexdigest()
    with lock_cache(box):
        if read_recipe(find_cache_path(box)) != recipe:
            if not shutil.which("mmdebstrap"):
                raise Unavailable("mmdebstrap is not installed; apt-get install mmdebstrap")
            with replace_folder(box, recipe) as folder:
                _unpack(command, Path(folder))
    return Path(find_cache_path(box))


def _unpack(command: Sequence[str], folder: Path) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="other-kernels-") as scratch,
        open(Path(scratch, "said"), "w+", errors="replace") as said,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            env={**os.environ, "TMPDIR": scratch, "LC_ALL": "C"},
        ) as process,
    ):
        # An ordinary user's mmdebstrap goes there by a subordinate id.
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
        raise OSError("Debian's package has no /boot/vmlinu*")


def _convert(root: IO[bytes], folder: Path) -> None:
    """Write the root folder's kernel, and what a guest needs as the initramfs."""
    with (
        tarfile.open(fileobj=root, mode="r|") as tar,
        gzip.open(folder / "initramfs", "wb", compresslevel=1) as file,
    ):
        archive = Archive(file)
        for member in tar:
            path = member.name.removeprefix("./")
            if path.startswith(("boot/vmlinux-", "boot/vmlinuz-")):
                source = tar.extractfile(member)
                assert source
                with open(folder / "kernel", "wb") as copy:
                    shutil.copyfileobj(source, copy)
            elif path not in ("", ".") and not any(fnmatch(path, left) for left in _LEFT_OUT):
                content = tar.extractfile(member) if member.isreg() else None
                archive.add_member(member, path, content.read() if content else b"")
        archive.end()


class Archive:
    """A cpio archive, as the kernel reads them (Documentation/driver-api/early-userspace)."""

    _KINDS = {
        tarfile.REGTYPE: 0o100000,
        tarfile.DIRTYPE: 0o040000,
        tarfile.SYMTYPE: 0o120000,
        tarfile.LNKTYPE: 0o120000,
        tarfile.CHRTYPE: 0o020000,
        tarfile.BLKTYPE: 0o060000,
        tarfile.FIFOTYPE: 0o010000,
    }

    def __init__(self, file: IO[bytes] | gzip.GzipFile) -> None:
        self._file = file
        self._entries = 0

    def add_member(self, member: tarfile.TarInfo, path: str, data: bytes) -> None:
        """Add what a tar file has; its hard links become symbolic ones."""
        if member.issym():
            data = member.linkname.encode()
        elif member.islnk():
            data = b"/" + member.linkname.removeprefix("./").encode()
        mode = self._KINDS[member.type] | member.mode
        device = (member.devmajor, member.devminor) if member.isdev() else (0, 0)
        self._add(path, mode, data, (member.uid, member.gid), member.mtime, device)

    def add(self, path: str, mode: int, data: bytes) -> None:
        """Add a plain file of root's."""
        self._add(path, 0o100000 | mode, data)

    def end(self) -> None:
        """Write the entry that ends the archive."""
        self._add("TRAILER!!!", 0, b"")

    def _add(
        self,
        path: str,
        mode: int,
        data: bytes,
        owner: tuple[int, int] = (0, 0),
        time: float = 0,
        device: tuple[int, int] = (0, 0),
    ) -> None:
        self._entries += 1
        name = path.encode() + b"\0"
        numbers = (self._entries, mode, *owner, 1, int(time), len(data), 0, 0, *device, len(name))
        header = b"070701" + b"".join(b"%08X" % number for number in (*numbers, 0))
        for part in (header + name, data):
            self._file.write(part + bytes(-len(part) % 4))


_BEGIN = "==== papaya-lab: the report begins ===="
_END = "==== papaya-lab: the report ends, exit status "
_INIT = f"""\
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mkdir -p /proc /sys /dev /tmp /root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
echo 1 >/proc/sys/kernel/printk
ip link set lo up
date -s @{{now}} >/dev/null
cd /root
python3 /lab.pyz report --format json -o report.json </dev/null
status=$?
echo
echo '{_BEGIN}'
[ -e report.json ] && gzip -c report.json | base64
echo '{_END}'"$status"
echo o >/proc/sysrq-trigger
sleep 60
"""
_PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
_GROUP = "root:x:0:\nnogroup:x:65534:\n"


class NoReportError(Exception):
    """The guest sent no report: one line, and the console's last ones."""


def extra(lab: bytes, now: float) -> dict[str, tuple[int, bytes]]:
    """Return what a guest gets beside the cached initramfs: path, mode, content."""
    return {
        "init": (0o755, _INIT.format(now=int(now)).encode()),
        "lab.pyz": (0o644, lab),
        "etc/passwd": (0o644, _PASSWD.encode()),
        "etc/group": (0o644, _GROUP.encode()),
    }


def read_console(console: str) -> Report:
    """Return the report that is on the console.  Raises `NoReportError`."""
    # The lab shows its progress there: a carriage return begins a line, too.
    lines = [line.replace("\x1b[K", "").strip() for line in console.splitlines()]
    lines = [make_printable(line) for line in lines if line]
    begin = lines.index(_BEGIN) if _BEGIN in lines else len(lines)
    said = "".join(f"\n    {line}" for line in lines[:begin][-8:]) or " (nothing)"
    end = next((i for i in range(begin, len(lines)) if lines[i].startswith(_END)), None)
    if end is None:
        raise NoReportError(f"no report on the console, which ended with:{said}")
    if begin + 1 == end:
        status = lines[end].removeprefix(_END)
        raise NoReportError(f"the lab wrote no report, exit status {status}; it said:{said}")
    try:
        packed = base64.b64decode("".join(lines[begin + 1 : end]), validate=True)
        return Report.loads(gzip.decompress(packed))
    except (ValueError, OSError, EOFError, ReportError) as error:
        raise NoReportError(f"the report on the console is damaged: {error}") from None


@contextlib.asynccontextmanager
async def _emulator(
    name: str, image: Path, initramfs: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start QEMU; it is gone afterwards, whatever happens."""
    kernel = KERNELS[name]
    arguments = f"console={kernel.console} rdinit=/init quiet panic=-1 mitigations=off"
    # It ends with this program, even if that is killed.
    command = ["setpriv", "--pdeathsig", "KILL", *f"qemu-system-{kernel.machine}".split()]
    command += ["-accel", "tcg", "-m", str(MEGABYTES), "-display", "none"]
    command += ["-monitor", "none", "-serial", "stdio", "-nic", "none", "-vga", "none"]
    command += ["-no-reboot", "-kernel", str(image / "kernel"), "-append", arguments]
    command += ["-initrd", f"/proc/self/fd/{initramfs}"]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[initramfs],
        # Ctrl-C is for this program, which ends QEMU.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def boot(name: str, image: Path, lab: bytes, log: Path) -> Report:
    """Boot the guest, run the lab there and power it off; return the report.

    What was on its console is left in the file ``log``.  Raises `NoReportError`.
    """
    # It has no name, so nothing is left even if this program is killed.
    with tempfile.TemporaryFile() as initramfs, open(log, "wb") as console:
        with open(image / "initramfs", "rb") as cached:
            shutil.copyfileobj(cached, initramfs)
        # The kernel finds the next archive at a multiple of four.
        initramfs.write(bytes(-initramfs.tell() % 4))
        archive = Archive(initramfs)
        for path, (mode, data) in extra(lab, time.time()).items():
            archive.add(path, mode, data)
        archive.end()
        initramfs.flush()
        try:
            async with (
                asyncio.timeout(LIMIT),
                _emulator(name, image, initramfs.fileno()) as process,
            ):
                assert process.stdout
                while data := await process.stdout.read(65536):
                    console.write(data)
                    console.flush()
                await process.wait()
            late = ""
        except TimeoutError:
            late = f"not off after {LIMIT} s; "
    try:
        return read_console(log.read_text(errors="replace"))
    except NoReportError as error:
        raise NoReportError(f"{late}{error}") from None


def judge(name: str, report: Report, reference: Report) -> list[str]:
    """Return what is wrong in the report of that platform, a line each."""
    known = {id: (value, why) for why, values in KNOWN[name] for id, value in values.items()}
    wrong = [f"{f.id}: {f.status}: {f.reason}" for f in report if f.status in FAULTS]
    for here in reference:
        there = report.get(here.id)
        if there is None:
            wrong.append(f"{here.id}: not in the report")
            continue
        answer = there.answer + (f" ({there.reason})" if there.reason else "")
        if there.status in FAULTS or here.scope != INHERENT:
            continue
        if here.id in known:
            value, why = known[here.id]
            # In Python, False is 0.
            if (type(there.value), there.value) != (type(value), value):
                wrong.append(f"{here.id}: {answer}, must be {show(value)}: {why}")
        elif here.family not in ("abi", "compilers") and there.answer != here.answer:
            wrong.append(f"{here.id}: {answer}, on amd64 {here.answer}")
    wrong += [f"{id}: not a fact; mend KNOWN" for id in known if id not in reference]
    measured = report.counts()[MEASURED]
    if measured < FEWEST:
        wrong.append(f"only {measured} facts measured, must be at least {FEWEST}")
    return wrong


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="other-kernels", description="run the lab on other architectures' own kernels"
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"platforms, of {', '.join(KERNELS)}; default {' '.join(DEFAULT)}",
    )
    parser.add_argument(
        "--output", metavar="DIR", type=Path, help="folder for reports and consoles"
    )
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in KERNELS:
            parser.error(f"{name}: unknown platform; use {', '.join(KERNELS)}")
    return options


def measure_here(path: Path) -> tuple[bytes, Report]:
    """Return the packed lab, and its report of this host, which is left in the file too.

    Raises `Unavailable` where that is no measure for others.
    """
    if platform.machine() != "x86_64":
        raise Unavailable(f"this host is {platform.machine()}: run it on amd64, the reference")
    with tempfile.TemporaryDirectory(prefix="other-kernels-") as folder:
        archive = Path(folder, "lab.pyz")
        pack(str(archive))
        command = [sys.executable, str(archive), "report", "--format", "json", "-o", str(path)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise Unavailable(f"the lab's exit status here is {done.returncode}, must be 0")
        return archive.read_bytes(), Report.load(path)


async def _run(name: str, turn: asyncio.Semaphore, lab: bytes, output: Path) -> Report | str:
    """Return the platform's report, or why there is none."""
    async with turn:
        started = time.monotonic()
        try:
            if reason := lacks(name):
                raise Unavailable(reason)
            image = await asyncio.to_thread(build, name)
            report = await boot(name, image, lab, output / f"{name}.console")
        except (Unavailable, NoReportError, OSError) as error:
            return str(error)
        report.save(output / f"{name}.json")
        print(f"{name}: report after {time.monotonic() - started:.0f} s", flush=True)
        return report


async def _all(names: Sequence[str], lab: bytes, output: Path) -> list[Report | str]:
    task = asyncio.current_task()
    assert task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    turn = asyncio.Semaphore(AT_ONCE)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_run(name, turn, lab, output)) for name in names]
    return [task.result() for task in tasks]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure here and on each platform, compare, print a summary."""
    options = _arguments(arguments)
    names = list(dict.fromkeys(options.names or DEFAULT))
    output = options.output or Path(tempfile.mkdtemp(prefix="other-kernels-"))
    try:
        output.mkdir(parents=True, exist_ok=True)
        print(f"reports and consoles: {output}", flush=True)
        lab, reference = measure_here(output / "here.json")
        results = asyncio.run(_all(names, lab, output))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted", file=sys.stderr)
        return 130
    except (OSError, Unavailable, ReportError) as error:
        print(f"other-kernels: {error}", file=sys.stderr)
        return 3
    status = 0
    for name, result in zip(names, results, strict=True):
        if isinstance(result, str):
            print(f"{name}: FAILED: {result}")
            status = 3
            continue
        wrong = judge(name, result, reference)
        for line in wrong:
            print(f"{name}: {line}")
        measured = result.counts()[MEASURED]
        verdict = f"{len(wrong)} WRONG" if wrong else "as on amd64"
        print(f"{name}: {verdict}, {measured} measured; {result.environment}")
        status = status or bool(wrong)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
