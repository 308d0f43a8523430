"""The sockets family can be wrong: change the world, see the answers flip."""

from __future__ import annotations

from probes import Report
from tests.worlds import flipped, measure, needs_linux, needs_root

NAMESPACE = [
    "unshare",
    "-n",
    "sh",
    "-c",
    'ip link set lo up && sysctl -qw net.ipv6.bindv6only=1 && exec "$@"',
    "sh",
]


@needs_linux
@needs_root
def test_bindv6only_flips_what_hangs_on_it_and_nothing_else(here: Report) -> None:
    changed = flipped(here, measure(before=NAMESPACE))
    assert changed == {"sockets.v6only_default": ("no", "yes")}
