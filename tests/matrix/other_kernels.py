"""Does the lab tell the truth on other architectures?  Run it on their own Debian kernels.

    .ci/other-kernels [--output DIR] [NAME ...]

Each guest is booted by QEMU without a disk: Debian's kernel, and an initramfs with Debian's Python
and this checkout's lab.  The lab's report comes back on the console and is compared with the one
measured here, on amd64: an inherent fact differs only where `KNOWN` or the family `abi` says so.
Debian's kernels are older than most hosts'; the platform ``amd64`` tells whether a difference is
one of version or of processor.

Exit status 0: all facts as they must be; 1: a fact differs or is missing; 2: wrong usage; 3: a
guest could not be built or booted, or sent no report.

The boxes are those of the cells (`matrix.boxes.debian`), in the user's cache folder or below
MATRIX_CACHE; ``matrix box --force`` gets newer ones.  MATRIX_MIRROR names another Debian mirror.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import gzip
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from matrix.boxes import debian
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
FEWEST = 265
"""Facts measured, at the least, without a compiler."""


KERNELS = {
    "amd64": "bookworm:amd64",
    "arm64": "bookworm:arm64",
    "armhf": "bookworm:armhf",
    "armhf13": "trixie:armhf",
    "i386": "bookworm:i386",
    "mips64el": "bookworm:mips64el",
    "ppc64el": "bookworm:ppc64el",
    "riscv64": "trixie:riscv64",
    "s390x": "bookworm:s390x",
}
"""The box of each platform (`matrix.boxes.debian`), by Debian's name of the architecture."""

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


def lacks(name: str) -> str:
    """Return what the host lacks to boot that kernel, or an empty string."""
    machine = debian.parse_argument(KERNELS[name]).machine
    program = f"qemu-system-{machine.program}"
    if not shutil.which(program):
        return f"{program} is not installed; apt-get install qemu-system-{machine.package}"
    return ""


def build(name: str) -> debian.Box:
    """Return the box with kernel and initramfs, built unless it is in the cache.

    Raises `Unavailable`.
    """
    return debian.build(lambda line: None, False, KERNELS[name])


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


class NoReportError(Exception):
    """The guest sent no report: one line, and the console's last ones."""


def extra(lab: bytes, now: float) -> dict[str, tuple[int, bytes]]:
    """Return what a guest gets beside the cached initramfs: path, mode, content."""
    return {
        "init": (0o755, _INIT.format(now=int(now)).encode()),
        "lab.pyz": (0o644, lab),
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
    name: str, box: debian.Box, initramfs: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start QEMU; it is gone afterwards, whatever happens."""
    wanted = debian.parse_argument(KERNELS[name])
    # It ends with this program, even if that is killed.
    command = ["setpriv", "--pdeathsig", "KILL"]
    command += debian.make_qemu_command(wanted, box, f"/proc/self/fd/{initramfs}", False, "")
    command += ["-serial", "stdio"]
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


async def boot(name: str, box: debian.Box, lab: bytes, log: Path) -> Report:
    """Boot the guest, run the lab there and power it off; return the report.

    What was on its console is left in the file ``log``.  Raises `NoReportError`.
    """
    # It has no name, so nothing is left even if this program is killed.
    with tempfile.TemporaryFile() as initramfs, open(log, "wb") as console:
        debian.extend_initramfs(box, initramfs, extra(lab, time.time()))
        try:
            async with (
                asyncio.timeout(LIMIT),
                _emulator(name, box, initramfs.fileno()) as process,
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
            box = await asyncio.to_thread(build, name)
            report = await boot(name, box, lab, output / f"{name}.console")
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
