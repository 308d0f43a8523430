# The guest's end of the channel: this file is copied into the initramfs, and the guest runs it.
#
# Therefore it imports nothing of the project, and uses nothing newer than Python 3.9.  The other
# end is `_relay.py`.  It runs one execnet gateway after another on a virtio port.
from __future__ import annotations

import glob
import os
import select
import subprocess
import sys
import time

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


def main() -> None:
    """Serve until the guest is switched off."""
    port = os.open(find_port(), os.O_RDWR | os.O_CLOEXEC)
    # A message of the kernel may have left its line incomplete.
    print("\n" + READY, flush=True)
    while True:
        wait_for_host(port)
        subprocess.run([sys.executable, "-u", "-c", GATEWAY], stdin=port, stdout=port, check=False)


if __name__ == "__main__":
    main()
