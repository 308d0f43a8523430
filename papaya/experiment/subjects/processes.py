"""Serve each client by a process: fork after accept, blocking reads."""

import gc
import os
import signal
from types import FrameType

from _sink import listen, relay  # type: ignore[import-not-found]

BOTH = {signal.SIGTERM, signal.SIGCHLD}


def main() -> None:
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGCHLD, reap)
    listening = listen()
    gc.disable()
    gc.freeze()
    while True:
        client, _ = listening.accept()
        # SIGTERM must not arrive between fork() and the next accept(): the child would survive.
        signal.pthread_sigmask(signal.SIG_BLOCK, BOTH)
        if os.fork() == 0:
            for signum in BOTH:
                signal.signal(signum, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, BOTH)
            listening.close()
            while relay(client):
                pass
            os._exit(0)
        client.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BOTH)


def reap(signum: int, frame: FrameType | None) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def end(signum: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    try:
        while os.waitpid(-1, 0):
            pass
    except ChildProcessError:
        os._exit(0)


main()
