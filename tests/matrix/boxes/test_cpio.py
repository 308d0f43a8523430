"""Test the archive that becomes an initramfs, read back as the kernel reads it."""

from __future__ import annotations

import io
import tarfile

from matrix.boxes._cpio import Archive


def read_entries(data: bytes) -> list[tuple[str, int, bytes]]:
    """Return path, mode and content of each entry, as init/initramfs.c of the kernel reads them."""
    found, at = [], 0
    while at < len(data):
        assert data[at : at + 6] == b"070701"
        numbers = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, length = numbers[1], numbers[6], numbers[11]
        name = data[at + 110 : at + 110 + length]
        assert name.endswith(b"\0")
        start = (at + 110 + length + 3) & ~3
        found.append((name[:-1].decode(), mode, data[start : start + size]))
        at = (start + size + 3) & ~3
    return found


def test_the_kernel_reads_what_was_added() -> None:
    file = io.BytesIO()
    archive = Archive(file)
    archive.add_folder("proc")
    archive.add_file("init", 0o755, b"12345")
    for kind, link in ((tarfile.SYMTYPE, "dash"), (tarfile.LNKTYPE, "./usr/bin/perl")):
        member = tarfile.TarInfo("ignored")
        member.type, member.linkname, member.mode = kind, link, 0o777
        archive.add_member(member, f"bin/{link[-1]}", b"")
    archive.end()
    assert read_entries(file.getvalue()) == [
        ("proc", 0o040755, b""),
        ("init", 0o100755, b"12345"),
        ("bin/h", 0o120777, b"dash"),
        ("bin/l", 0o120777, b"/usr/bin/perl"),
        ("TRAILER!!!", 0, b""),
    ]
