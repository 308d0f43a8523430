"""The pages that a probe's reference names: manuals, POSIX, RFCs."""

from __future__ import annotations

import re
from collections.abc import Iterator

MANUALS = {
    "Linux": "https://man7.org/linux/man-pages/man{section[0]}/{name}.{section}.html",
    "FreeBSD": "https://man.freebsd.org/cgi/man.cgi?query={name}&sektion={section}",
    "NetBSD": "https://man.netbsd.org/{name}.{section}",
    "OpenBSD": "https://man.openbsd.org/{name}.{section}",
    "macOS": "https://keith.github.io/xcode-man-pages/{name}.{section}.html",
    "illumos": "https://illumos.org/man/{section}/{name}",
}
MANUALS["BSD"] = MANUALS["FreeBSD"]

# POSIX.1-2024; what it has dropped is in that of 2008.
POSIX = "https://pubs.opengroup.org/onlinepubs/9799919799/"
POSIX_2008 = "https://pubs.opengroup.org/onlinepubs/9699919799/"

_NAMED = re.compile(
    r"(?P<page>[\w.]+)\((?P<section>\d\w*)\)"
    rf"|\b(?P<system>{'|'.join(MANUALS)})\b"
    r"|\bRFC (?P<rfc>\d+)(?: (?P<clause>[\d.]*\d))?"
    r"|\bPEP (?P<pep>\d+)"
    r"|<(?P<header>[\w/]+\.h)>"
    r"|\bXBD (?P<definitions>\d+)[\d.]*"
)
_FUNCTIONS = re.compile(
    r"(?P<edition>POSIX(?:\.1-\d+)?) XSH (?P<names>(?:(?:, )?(?!XBD)[\w.]+(?:\(\))?)+)"
)


def make_links(reference: str) -> list[tuple[str, str]]:
    """Split a reference into pieces, each with the address of the page it names or "" for none."""
    pieces: list[tuple[str, str]] = []
    for part in re.split(r"(; )", reference):
        end = 0
        for at, to, address in sorted(_find_references(part)):
            pieces += [(part[end:at], ""), (part[at:to], address)]
            end = to
        pieces.append((part[end:], ""))
    return [piece for piece in pieces if piece[0]]


def _find_references(part: str) -> Iterator[tuple[int, int, str]]:
    """Yield where a part of a reference names a page, and the address of the page."""
    pages: list[re.Match[str]] = []
    written = [found for found in _NAMED.finditer(part) if found["page"] or found["system"]]
    for found in _NAMED.finditer(part):
        if found["page"]:
            # "tcp(7), socket(7) Linux": a page is of the system that is named next.
            later = (each["system"] for each in written if each.start() > found.start())
            system = next(filter(None, later), "Linux")
            pages.append(found)
            yield *found.span(), _find_manual(found, system)
        elif found["system"] and pages:
            # "accept(2) Linux, FreeBSD": the second system's page has the same name.
            between = part[pages[-1].end() : found.start()]
            if any(system in between for system in MANUALS):
                yield *found.span(), _find_manual(pages[-1], found["system"])
        elif found["rfc"]:
            section = f"#section-{found['clause']}" if found["clause"] else ""
            yield *found.span(), f"https://www.rfc-editor.org/rfc/rfc{found['rfc']}.html{section}"
        elif found["pep"]:
            yield *found.span(), f"https://peps.python.org/pep-{int(found['pep']):04}/"
        elif found["header"]:
            name = found["header"].replace("/", "_")
            yield *found.span(), f"{POSIX}basedefs/{name}.html"
        elif found["definitions"]:
            yield *found.span(), f"{POSIX}basedefs/V1_chap{int(found['definitions']):02}.html"
    for found in _FUNCTIONS.finditer(part):
        standard = POSIX_2008 if found["edition"] == "POSIX.1-2008" else POSIX
        for name in re.finditer(r"[\w.]+", found["names"]):
            at = found.start("names")
            yield at + name.start(), at + name.end(), standard + _find_posix_page(name[0])


def _find_manual(page: re.Match[str], system: str) -> str:
    section = page["section"] if system == "illumos" else page["section"].lower()
    return MANUALS[system].format(name=page["page"], section=section)


def _find_posix_page(name: str) -> str:
    """Return the path of ``flock``, or of the chapter that ``2.4.1`` is in."""
    if name[0].isdigit():
        return f"functions/V2_chap{int(name.partition('.')[0]):02}.html"
    return f"functions/{name}.html"
