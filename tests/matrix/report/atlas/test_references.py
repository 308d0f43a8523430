"""Test the links that references become."""

from __future__ import annotations

import re

import pytest

from matrix.report.atlas.references import make_links
from probes.load_catalogue import load_catalogue

LINKS = {
    "accept(2) Linux, FreeBSD; POSIX XSH accept: ECONNABORTED": {
        "accept(2)": "https://man7.org/linux/man-pages/man2/accept.2.html",
        "FreeBSD": "https://man.freebsd.org/cgi/man.cgi?query=accept&sektion=2",
        "accept": "https://pubs.opengroup.org/onlinepubs/9799919799/functions/accept.html",
    },
    "tcp(7), gai.conf(5) Linux; ip6(4) OpenBSD; flock(3C) illumos": {
        "tcp(7)": "https://man7.org/linux/man-pages/man7/tcp.7.html",
        "gai.conf(5)": "https://man7.org/linux/man-pages/man5/gai.conf.5.html",
        "ip6(4)": "https://man.openbsd.org/ip6.4",
        "flock(3C)": "https://illumos.org/man/3C/flock",
    },
    "RFC 3493 5.3; PEP 446; POSIX XSH 2.4.1, killpg, XBD groups; POSIX <sys/un.h>": {
        "RFC 3493 5.3": "https://www.rfc-editor.org/rfc/rfc3493.html#section-5.3",
        "PEP 446": "https://peps.python.org/pep-0446/",
        "2.4.1": "https://pubs.opengroup.org/onlinepubs/9799919799/functions/V2_chap02.html",
        "killpg": "https://pubs.opengroup.org/onlinepubs/9799919799/functions/killpg.html",
        "<sys/un.h>": "https://pubs.opengroup.org/onlinepubs/9799919799/basedefs/sys_un.h.html",
    },
    "POSIX.1-2008 XSH siginterrupt": {
        "siginterrupt": "https://pubs.opengroup.org/onlinepubs/9699919799/functions/siginterrupt.html",
    },
    "System V ABI i386": {},
}


@pytest.mark.parametrize("reference", LINKS)
def test_a_reference_links_the_pages_it_names(reference: str) -> None:
    pieces = make_links(reference)
    assert {text: to for text, to in pieces if to} == LINKS[reference]
    assert "".join(text for text, _ in pieces) == reference


def test_every_page_that_the_catalogue_names_is_linked() -> None:
    for reference in {probe.reference for probe in load_catalogue().values()}:
        pieces = make_links(reference)
        assert "".join(text for text, _ in pieces) == reference
        plain = "".join("\0" if to else text for text, to in pieces)
        assert not re.search(r"\w\(\d\w*\)|RFC|PEP|XSH [a-z]|\.h>", plain), reference
