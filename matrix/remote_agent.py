# The far end: this file is sent to the platform as text, and its Python runs it.
#
# Therefore it imports nothing of the project, uses nothing newer than Python 3.9, and needs no
# shell. It unpacks the archive, runs what it is asked to in a folder of its own, and leaves
# nothing behind, also if the near end is gone: then the channel is closed.
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
        line = "cannot make a temporary folder: %s; make room on the disk, or make it writable"
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
        # execnet sends SIGINT if this has not ended five seconds after the near end is gone.
        with contextlib.suppress(ValueError):  # Only the main thread can be interrupted.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        shutil.rmtree(folder, ignore_errors=True)


def answer(channel, folder, request):  # type: ignore[no-untyped-def]
    """Return the answer to one request."""
    if "archive" in request:
        with zipfile.ZipFile(io.BytesIO(request["archive"])) as archive:
            archive.extractall(folder)
        return {"folder": folder}
    arguments, seconds, keep = request["run"], request["seconds"], request.get("keep", "out")
    return run(channel, folder, arguments, seconds, keep)  # type: ignore[no-untyped-call]


def run(channel, folder, arguments, seconds, keep):  # type: ignore[no-untyped-def]
    """Run a module of the archive, its output in the file ``keep``; return status and output."""
    out, errors = (os.path.join(folder, name) for name in (keep, "errors"))
    # Files, not pipes: a process that it leaves running cannot keep this one waiting.
    with open(out, "wb+") as said, open(errors, "wb+") as wrong:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=wrong,
            start_new_session=True,
            # Keep compiled modules in the folder.  Without them the next interpreter, and each
            # server of a selftest, would compile all modules again: seconds on a slow platform.
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
