"""Write cpio archives, as the kernel reads them for an initramfs.

Source: kernel Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import gzip
import tarfile
from typing import IO

_KINDS = {
    tarfile.REGTYPE: 0o100000,
    tarfile.DIRTYPE: 0o040000,
    tarfile.SYMTYPE: 0o120000,
    tarfile.LNKTYPE: 0o120000,
    tarfile.CHRTYPE: 0o020000,
    tarfile.BLKTYPE: 0o060000,
    tarfile.FIFOTYPE: 0o010000,
}


class Archive:
    """A cpio archive in the format newc."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile) -> None:
        self._file = file
        self._entries = 0

    def add_member(self, member: tarfile.TarInfo, path: str, data: bytes) -> None:
        """Add a member of a tar archive; a hard link becomes a symbolic one."""
        if member.issym():
            data = member.linkname.encode()
        elif member.islnk():
            data = b"/" + member.linkname.removeprefix("./").encode()
        mode = _KINDS[member.type] | member.mode
        device = (member.devmajor, member.devminor) if member.isdev() else (0, 0)
        self._add(path, mode, data, (member.uid, member.gid), member.mtime, device)

    def add_file(self, path: str, mode: int, data: bytes) -> None:
        """Add a regular file that root owns."""
        self._add(path, 0o100000 | mode, data)

    def add_link(self, path: str, target: str) -> None:
        """Add a symbolic link that root owns."""
        self._add(path, 0o120777, target.encode())

    def add_folder(self, path: str) -> None:
        """Add a folder that root owns."""
        self._add(path, 0o040755, b"")

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
