"""A report to render, with every status and every kind of value."""

from probes.fact import Fact, Platform, Report
from probes.probe import Probe

FREEBSD = Platform(
    system="FreeBSD",
    release="14.1-RELEASE",
    machine="i386",
    libc="freebsd",
    libc_version="14.1-RELEASE",
    pointer_bits=32,
    distribution="FreeBSD 14.1",
    emulated_32_bit=True,
    compiler="clang 18.1",
    python="CPython 3.11.9",
    root=True,
    container="jail",
    hypervisor="bhyve",
    scratch_filesystem="zfs",
    interfaces={"em0": ["inet"], "lo0": ["inet", "inet6"], "lo1": ["inet", "inet6"], "pflog0": []},
    sysctls={"net.inet6.ip6.v6only": "1", "security.jail.jailed": "1"},
    probes_hash="0123456789abcdef",
)


def _probe(id: str, question: str, heading: str = "", **documented: object) -> Probe:
    return Probe(
        id, question, f"{id} matters.", f"Advice on {id}.", "it(7)", "inherent",
        documented, heading, _probe,  # type: ignore[arg-type]
    )  # fmt: skip


_CALLS = ("read", "write", "accept", "connect", "recv", "send", "flock", "pause")

PROBES = {
    probe.id: probe
    for probe in (
        *(
            Probe(
                f"restarts.{call}", f"What does {call} do?", "It matters.", "Loop.", "signal(7)",
                "inherent", {"posix": "restarts"}, "What does … do?", _probe,
            )
            for call in _CALLS
        ),
        _probe("sockets.v6only_default", "Is it for IPv6 alone?", freebsd=True),
        _probe("sockets.backlog", "How many wait?"),
        _probe("sockets.order", "In which order are they listed?", posix="inet, inet6"),
        _probe("sockets.reuseport_lb", "Do they balance?"),
        _probe("sockets.late", "When?"),
        _probe("sockets.broke", "Why?"),
        _probe("sockets.unsure", "Which?"),
        _probe("sockets.secret", "May one know?"),
        _probe("sockets.nothing", "Is there anything?"),
    )
}  # fmt: skip

SAMPLE = Report(
    FREEBSD,
    {
        fact.id: fact
        for fact in (
            *(
                Fact(f"restarts.{call}", "measured", "EINTR" if call == "pause" else "restarts")
                for call in _CALLS
            ),
            Fact("sockets.v6only_default", "measured", False, "configured", milliseconds=1.5),
            Fact("sockets.backlog", "measured", 4096, raw=[3, 4]),
            Fact("sockets.order", "measured", "inet, inet6"),
            Fact("sockets.reuseport_lb", "unsupported", reason="FreeBSD 11 has none"),
            Fact("sockets.secret", "blocked", reason="needs root: " + "run it as root, " * 12),
            Fact("sockets.late", "timed out", reason="no answer within 10 s"),
            Fact("sockets.broke", "broken", reason="ValueError: x (sockets.py:7)"),
            Fact("sockets.unsure", "unstable", reason="2 times asked, it answered yes, no"),
            Fact("sockets.nothing", "measured", None),
            Fact("strangers.from_elsewhere", "measured", True),
        )
    },
    seconds=0.84,
    measured_at="2026-11-22T23:59:59Z",
)
