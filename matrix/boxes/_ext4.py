"""An ext4 file system made of a tar file: without root, without a mount, the same every time.

``mke2fs -d`` takes a folder.  An ordinary user cannot have one with other owners, it takes over
the folder's times of change, and it takes the names in the order the host's file system has
them in.  So an empty file system is made, and debugfs(8) is told what to put where.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator

OFFSET = 2048 * 512
"""Where on the disk the partition starts, as sfdisk(8) has it: 1 MiB."""

# None that GRUB 2.02 or a host's e2fsck of years ago does not know, whatever mke2fs.conf says.
_FEATURES = (
    "none,has_journal,ext_attr,dir_index,filetype,extent,flex_bg,sparse_super,large_file,"
    "huge_file,dir_nlink,extra_isize"
)


def make(tar: str, disk: str, folder: str, megabytes: int, uuid: str, epoch: int) -> None:
    """Write the file system into the file ``disk`` at `OFFSET`; ``folder`` is for what it needs.

    Raises subprocess.CalledProcessError, its ``output`` says what was wrong.
    """
    environment = {**os.environ, "E2FSPROGS_FAKE_TIME": str(epoch)}
    size = f"{megabytes - 1}M"
    extended = f"offset={OFFSET},hash_seed={uuid},nodiscard,lazy_itable_init=0,lazy_journal_init=0"
    mke2fs = ["mke2fs", "-q", "-F", "-t", "ext4", "-O", _FEATURES, "-b", "4096", "-I", "256"]
    mke2fs += ["-m", "0", "-L", "root", "-U", uuid, "-E", extended, disk, size]
    _run(mke2fs, environment)
    contents = os.path.join(folder, "contents")
    os.mkdir(contents)
    commands = os.path.join(folder, "debugfs")
    with tarfile.open(tar) as archive, open(commands, "w", encoding="utf-8") as script:
        script.writelines(f"{line}\n" for line in _write_commands(archive, contents))
    said = _run(["debugfs", "-w", "-f", commands, f"{disk}?offset={OFFSET}"], environment)
    # It goes on after a command that failed, and its exit status is 0.
    usual = ("debugfs", "Allocated inode: ")
    wrong = [line for line in said.splitlines() if not line.startswith(usual)]
    if wrong:
        raise subprocess.CalledProcessError(1, "debugfs", output=wrong[0])
    shutil.rmtree(contents)
    _run(["e2fsck", "-f", "-n", f"{disk}?offset={OFFSET}"], environment)


def _run(command: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=True,
    ).stdout


def _write_commands(archive: tarfile.TarFile, contents: str) -> Iterator[str]:
    """Yield what debugfs(8) must do; write the files' contents below ``contents``."""
    here = ""
    for number, member in enumerate(archive):
        path = "/" + member.name.removeprefix("./").strip("/")
        if path in ("/", "/."):
            continue
        folder, _, name = path.rpartition("/")
        if folder != here:
            # `write` and `mknod` take no path, but a name in the folder they are in.
            yield f'cd "{folder or "/"}"'
            here = folder
        kind = _KINDS.get(member.type)
        if kind is None or '"' in path or "\n" in path:
            raise subprocess.CalledProcessError(1, "tar", output=f"{path!r}: cannot be written")
        if member.isdir():
            # It makes this one itself.
            if path != "/lost+found":
                yield f'mkdir "{name}"'
        elif member.issym():
            yield f'symlink "{name}" "{member.linkname}"'
        elif member.isfile() or member.islnk():
            # A hard link becomes a copy: few have one, and none counts on it.
            source = archive.extractfile(member)
            assert source
            written = os.path.join(contents, str(number))
            with open(written, "wb") as file:
                shutil.copyfileobj(source, file)
            yield f'write "{written}" "{name}"'
        else:
            letter = "c" if member.ischr() else "b" if member.isblk() else "p"
            yield f'mknod "{name}" {letter} {member.devmajor} {member.devminor}'.removesuffix(
                " 0 0" if letter == "p" else ""
            )
        yield f'sif "{name}" mode 0{kind | member.mode:o}'
        if member.uid or member.gid:
            yield f'sif "{name}" uid {member.uid}'
            yield f'sif "{name}" gid {member.gid}'
        # A module that was compiled is believed by its source's time.
        yield f'sif "{name}" mtime @{int(member.mtime)}'


_KINDS = {
    tarfile.REGTYPE: 0o100000,
    tarfile.LNKTYPE: 0o100000,
    tarfile.DIRTYPE: 0o040000,
    tarfile.SYMTYPE: 0o120000,
    tarfile.CHRTYPE: 0o020000,
    tarfile.BLKTYPE: 0o060000,
    tarfile.FIFOTYPE: 0o010000,
}
