# The far end: sent to the platform as text, and run by what Python it has.
#
# So: no import of ours, nothing newer than Python 3.9, no shell.  It takes the archive, runs
# what it is asked to in a folder of its own, and leaves nothing behind, also when the near end
# is gone: then its channel is closed.
from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile


def serve(channel):  # type: ignore[no-untyped-def]
    """Answer requests until there are no more."""
    if sys.version_info < (3, 9):
        channel.send({"error": "Python %d.%d is too old: the lab needs 3.9" % sys.version_info[:2]})
        return
    try:
        folder = tempfile.mkdtemp(prefix="matrix-")
    except OSError as error:
        line = "no room for temporary files, its disk is full or may not be written to: %s"
        channel.send({"error": line % error.strerror})
        return
    try:
        channel.send({"python": "%d.%d" % sys.version_info[:2], "clock": time.time()})
        for request in channel:
            try:
                channel.send(answer(channel, folder, request))  # type: ignore[no-untyped-call]
            except OSError as error:
                channel.send({"error": "%s: %s" % (error.filename or folder, error.strerror)})
    finally:
        # execnet sends SIGINT if this is not over five seconds after the near end is gone.
        with contextlib.suppress(ValueError):  # Not the main thread, which alone is interrupted.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        shutil.rmtree(folder, ignore_errors=True)


def answer(channel, folder, request):  # type: ignore[no-untyped-def]
    """What comes of one request."""
    if "archive" in request:
        with zipfile.ZipFile(io.BytesIO(request["archive"])) as archive:
            archive.extractall(folder)
        return {"folder": folder}
    arguments, seconds, keep = request["run"], request["seconds"], request.get("keep", "out")
    return run(channel, folder, arguments, seconds, keep)  # type: ignore[no-untyped-call]


def run(channel, folder, arguments, seconds, keep):  # type: ignore[no-untyped-def]
    """Run a module of the archive; its status and what it said, which ``keep`` has after it."""
    out, errors = (os.path.join(folder, name) for name in (keep, "errors"))
    # A file and not a pipe: what it leaves running cannot keep us waiting.
    with open(out, "wb+") as said, open(errors, "wb+") as wrong:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=wrong,
            start_new_session=True,
            # Compiled modules are kept, in the folder: the next interpreter, and each server of
            # a selftest, would else compile them anew, for seconds where the platform is slow.
            env=dict(
                os.environ,
                TMPDIR=folder,
                LC_ALL="C.UTF-8",
                PYTHONPATH=folder,
                PYTHONDONTWRITEBYTECODE="",
            ),
        )
        until = time.monotonic() + seconds
        while True:
            try:
                status = process.wait(0.1)
                break
            except subprocess.TimeoutExpired:
                if channel.isclosed() or time.monotonic() > until:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    status = None
                    break
        said.seek(0)
        wrong.seek(0)
        return {
            "status": status,
            "out": said.read().decode("utf-8", "replace"),
            "errors": wrong.read().decode("utf-8", "replace"),
        }


if __name__ == "__channelexec__":
    serve(channel)  # type: ignore[name-defined, no-untyped-call] # noqa: F821
