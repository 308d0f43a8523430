# The far end: this file is sent to the platform as text, and its Python runs it.
#
# Therefore it imports nothing of the project, uses nothing newer than Python 3.9, and needs no
# shell. It unpacks the archive, runs what it is asked to in a folder of its own, and leaves
# nothing behind, also if the near end is gone: then the channel is closed.
from __future__ import annotations

import contextlib
import fcntl
import io
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import termios
import threading
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
            if "size" in request:
                # What the user still typed is no request.
                break
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
    if "files" in request:
        return unpack(folder, request["files"])  # type: ignore[no-untyped-call]
    if "size" in request:
        return shell(channel, folder, request)  # type: ignore[no-untyped-call]
    if "command" in request:
        return execute(channel, folder, request)  # type: ignore[no-untyped-call]
    if "fetch" in request:
        return fetch(folder, request["fetch"])  # type: ignore[no-untyped-call]
    arguments, seconds, keep = request["run"], request["seconds"], request.get("keep", "out")
    return run(channel, folder, arguments, seconds, keep)  # type: ignore[no-untyped-call]


def is_gone(channel):  # type: ignore[no-untyped-def]
    """Return whether the near end is gone; isclosed() of execnet does not tell."""
    try:
        channel.waitclose(timeout=0)
    except channel.TimeoutError:
        return False
    except (EOFError, OSError, channel.RemoteError):
        return True
    return True


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
                if is_gone(channel) or time.monotonic() > until:  # type: ignore[no-untyped-call]
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


WORK = "work"
"""The folder of a user's program, inside the folder of this connection."""


def unpack(folder, files):  # type: ignore[no-untyped-def]
    """Unpack a tar archive of a user's files into the folder of the program."""
    work = os.path.join(folder, WORK)
    os.mkdir(work)
    with tarfile.open(fileobj=io.BytesIO(files)) as archive:
        # These are the user's own files.  Without the filter, Python 3.14 refuses some links.
        if hasattr(tarfile, "fully_trusted_filter"):
            archive.extraction_filter = tarfile.fully_trusted_filter
        archive.extractall(work)
    return {"folder": work}


def execute(channel, folder, request):  # type: ignore[no-untyped-def]
    """Run a user's command in its folder; send its output as it comes, and return its status."""
    output, theirs = os.pipe()
    process = start(folder, request, subprocess.DEVNULL, theirs)  # type: ignore[no-untyped-call]
    return pass_on(channel, process, output, request["seconds"])  # type: ignore[no-untyped-call]


def shell(channel, folder, request):  # type: ignore[no-untyped-def]
    """Run a user's shell on a terminal, with what the user types; return its status."""
    terminal, theirs = os.openpty()
    resize(terminal, request["size"])  # type: ignore[no-untyped-call]
    process = start(folder, request, theirs, theirs)  # type: ignore[no-untyped-call]

    def obey() -> None:
        # After the shell's end the near end closes the channel.
        with contextlib.suppress(EOFError, OSError, channel.RemoteError):
            while True:
                said = channel.receive()
                if "size" in said:
                    resize(terminal, said["size"])  # type: ignore[no-untyped-call]
                data = said.get("typed", b"")
                while data:
                    data = data[os.write(terminal, data) :]

    threading.Thread(target=obey, daemon=True).start()
    return pass_on(channel, process, terminal, float("inf"))  # type: ignore[no-untyped-call]


def resize(terminal, size):  # type: ignore[no-untyped-def]
    """Set the rows and columns of a terminal."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", *size, 0, 0))


def start(folder, request, source, output):  # type: ignore[no-untyped-def]
    """Start a user's program in its folder, and close ``output``, which is then the program's."""
    work = os.path.join(folder, WORK)
    os.makedirs(work, exist_ok=True)
    user = None
    if request["user"] and os.geteuid() == 0:
        # The command must be able to enter the folder, and to write there.
        user = 65534
        os.chmod(folder, 0o711)
        for path, _, names in os.walk(work):
            for name in [path] + [os.path.join(path, each) for each in names]:
                os.lchown(name, user, user)

    def become() -> None:
        if source == output:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if user is not None:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)

    environment = dict(os.environ, HOME=work, TMPDIR=work, LC_ALL="C.UTF-8")
    environment.update(request["environment"])
    try:
        return subprocess.Popen(
            request["command"],
            cwd=work,
            stdin=source,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=become,
            env=environment,
        )
    finally:
        os.close(output)


def pass_on(channel, process, output, seconds):  # type: ignore[no-untyped-def]
    """Send a program's output as it comes; kill it if it takes longer, and return its status."""
    until = time.monotonic() + seconds
    status, is_open = None, True
    try:
        while not is_gone(channel) and time.monotonic() < until:  # type: ignore[no-untyped-call]
            ended = process.poll() is not None
            if is_open and select.select([output], [], [], 0 if ended else 0.1)[0]:
                try:
                    data = os.read(output, 1 << 16)
                except OSError:  # Linux gives EIO if no process has the terminal open.
                    data = b""
                is_open = bool(data)
                if data:
                    channel.send({"said": data})
            elif ended:
                # Also if a process that the command left running keeps the pipe open.
                status = process.returncode
                break
            elif not is_open:
                time.sleep(0.05)
    finally:
        os.close(output)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return {"status": status}


def fetch(folder, path):  # type: ignore[no-untyped-def]
    """Return a file or a folder of the program as a tar archive; None if it does not exist."""
    work = os.path.join(folder, WORK)
    if not os.path.lexists(os.path.join(work, path)):
        return {"files": None}
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        archive.add(os.path.join(work, path), path)
    return {"files": data.getvalue()}


if __name__ == "__channelexec__":
    serve(channel)  # type: ignore[name-defined, no-untyped-call] # noqa: F821
