"""Cache boxes: locked during a build, renamed into place when complete."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence

from matrix.errors import Say, Unavailable
from matrix.interrupts import block_stopping
from matrix.lock import hold_lock

from . import find_cache_path

_RECIPE = ".recipe"
SUMS = "SHA256SUMS"
"""The file of a folder with the sums of its files, as sha256sum(1) writes and checks them."""


def read_recipe(folder: str) -> str:
    """Return the recipe that a finished folder was built by; empty if there is none."""
    with (
        contextlib.suppress(OSError),
        open(os.path.join(folder, _RECIPE), encoding="ascii") as file,
    ):
        return file.read()
    return ""


def build_folder(
    name: str,
    recipe: str,
    explain_lack: Callable[[], str],
    fill: Callable[[str], None],
    say: Say,
    force: bool = False,
    files: Sequence[str] = (),
) -> str:
    """Return the path of a folder of the cache; build it if it is not there, or with ``force``.

    ``fill`` gets the path of an empty folder.  The sums of ``files`` are recorded, and a folder
    in which they changed is built again.  Raise `Unavailable` if it cannot be built.
    """
    path = find_cache_path(name)
    with lock_cache(name):
        if not force and read_recipe(path) == recipe:
            if is_whole(path, files):
                return path
            say(f"{path} is damaged: building the box again")
        if lack := explain_lack():
            raise Unavailable(f"{name} cannot be built: {lack}")
        with replace_folder(name, recipe) as folder:
            fill(folder)
            if files:
                with open(os.path.join(folder, SUMS), "w", encoding="ascii") as sums:
                    sums.write(_compute_sums(folder, files))
    return path


def is_whole(path: str, files: Sequence[str]) -> bool:
    """Return whether the files are as they were when `build_folder` recorded their sums."""
    if not files:
        return True
    try:
        with open(os.path.join(path, SUMS), encoding="ascii") as recorded:
            return recorded.read() == _compute_sums(path, files)
    except (OSError, UnicodeDecodeError):
        return False


@contextlib.contextmanager
def lock_cache(name: str) -> Iterator[None]:
    """Hold the lock of a box, waiting for other builders; raise `Unavailable` if that fails."""
    path = find_cache_path(name) + ".lock"
    with contextlib.ExitStack() as stack:
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            stack.enter_context(hold_lock(path, os.O_WRONLY | os.O_CREAT))
        except OSError as error:
            raise Unavailable(f"{path}: {error.strerror}; name a folder in MATRIX_CACHE") from None
        yield


@contextlib.contextmanager
def replace_folder(name: str, recipe: str) -> Iterator[str]:
    """Yield a folder that replaces the one in the cache if the build succeeds.

    The caller holds `lock_cache`.  OSError and CalledProcessError become `Unavailable`.
    """
    path = find_cache_path(name)
    for left in os.scandir(os.path.dirname(path)):
        # A killed builder left it: only the holder of the lock has such a folder.
        if left.name.startswith(f".{name}-"):
            shutil.rmtree(left.path, ignore_errors=True)
    folder = ""
    try:
        with block_stopping():
            folder = tempfile.mkdtemp(prefix=f".{name}-", dir=os.path.dirname(path))
        yield folder
        with open(os.path.join(folder, _RECIPE), "w", encoding="ascii") as file:
            file.write(recipe)
        # Other users may use the box too.
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
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def _compute_sums(folder: str, names: Iterable[str]) -> str:
    """Return the sums of the files as sha256sum(1) writes and checks them."""
    lines = []
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    return "".join(lines)
