# The guest's end of the channel: this file is copied into the initramfs, and the guest runs it.
#
# Therefore it imports nothing of the project, and uses nothing newer than Python 3.9.  The other
# end is `_relay.py`.  On a virtio port it runs one execnet gateway after another; on two serial
# lines, which its argument names, a single one, because a line does not tell that the host is new.
from __future__ import annotations

import contextlib
import glob
import os
import select
import subprocess
import sys
import threading
import time
import tty

READY = "lab: ready"
"""Line on the console when the guest can be reached."""
NAME = "lab"
"""Name of the port."""
GATEWAY = "import sys;exec(eval(sys.stdin.readline()))"
"""The line by which execnet starts its far end (execnet.gateway_io)."""


def find_port() -> str:
    """Return the device of the port that is called NAME; raise OSError if there is none."""
    for path in glob.glob("/sys/class/virtio-ports/*/name"):
        with open(path) as file:
            if file.read().strip() == NAME:
                return "/dev/" + os.path.basename(os.path.dirname(path))
    raise OSError("no virtio port is called " + NAME)


def wait_for_host(port: int) -> None:
    """Return when the host has connected: until then a port reports POLLHUP."""
    poll = select.poll()
    poll.register(port, select.POLLIN)
    while any(events & select.POLLHUP for _, events in poll.poll(1000)):
        time.sleep(0.02)


def receive(line: int, into: int, taken: int) -> None:
    """Pass on what the host sends until it is gone, and write as many bytes to ``taken``."""
    with contextlib.suppress(OSError):  # The line was hung up, or the gateway has ended.
        while data := os.read(line, 1 << 16):
            left = data
            while left:
                left = left[os.write(into, left) :]
            os.write(taken, bytes(len(data)))
    os.close(into)


def serve_lines(lines: list[str]) -> None:
    """Run a gateway on a serial line; the second line tells the host what was taken."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY
    line, taken = (os.open("/dev/" + name, flags) for name in lines)
    for descriptor in (line, taken):
        # Before the host sends anything, because all bytes must pass unchanged.
        tty.setraw(descriptor)
    source, into = os.pipe()
    threading.Thread(target=receive, args=(line, into, taken), daemon=True).start()
    tell_ready()
    subprocess.run([sys.executable, "-u", "-c", GATEWAY], stdin=source, stdout=line, check=False)


def serve_port() -> None:
    """Run one gateway after another on the virtio port, until the guest is switched off."""
    port = os.open(find_port(), os.O_RDWR | os.O_CLOEXEC)
    tell_ready()
    while True:
        wait_for_host(port)
        subprocess.run([sys.executable, "-u", "-c", GATEWAY], stdin=port, stdout=port, check=False)


def tell_ready() -> None:
    """Tell the host that the guest can be reached."""
    # A message of the kernel may have left its line incomplete.
    print("\n" + READY, flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        serve_lines(sys.argv[1].split(","))
    else:
        serve_port()
