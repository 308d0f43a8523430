"""What is built once and kept: locked while it is built, renamed into place when it is whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

from matrix.providers import Unavailable

from . import cache

_RECIPE = ".recipe"


def made_by(folder: str) -> str:
    """The recipe that the finished folder was made by; empty where there is none."""
    with (
        contextlib.suppress(OSError),
        open(os.path.join(folder, _RECIPE), encoding="ascii") as file,
    ):
        return file.read()
    return ""


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """Who builds the same meanwhile is waited for.  Raises `Unavailable`."""
    path = cache(name) + ".lock"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        file = open(path, "w")
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}; name a folder in MATRIX_CACHE") from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def building(name: str, recipe: str) -> Iterator[str]:
    """A folder that takes its place in the cache when all went well, and is gone otherwise.

    Only under `alone`.  Raises `Unavailable` for what OSError and CalledProcessError say.
    """
    path = cache(name)
    for left in os.scandir(os.path.dirname(path)):
        # Of one that was killed: it is ours alone to be here.
        if left.name.startswith(f".{name}-"):
            shutil.rmtree(left.path, ignore_errors=True)
    folder = tempfile.mkdtemp(prefix=f".{name}-", dir=os.path.dirname(path))
    try:
        yield folder
        with open(os.path.join(folder, _RECIPE), "w", encoding="ascii") as file:
            file.write(recipe)
        # Others than its maker may use it.
        os.chmod(folder, 0o755)
        if os.path.lexists(path):
            old = tempfile.mkdtemp(prefix=f".{name}-", dir=os.path.dirname(path))
            os.rename(path, old)
            os.rename(folder, path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.rename(folder, path)
    except subprocess.CalledProcessError as error:
        program = error.cmd if isinstance(error.cmd, str) else error.cmd[0]
        said = (error.output or "").strip().splitlines() or [f"exit status {error.returncode}"]
        raise Unavailable(f"{name} cannot be built: {program}: {said[-1]}") from None
    except OSError as error:
        raise Unavailable(f"{name} cannot be built: {error}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
