"""The key: 128 hexadecimal digits in a file that only its owner can read."""

from __future__ import annotations

import hmac
import os
import re
import stat

from probes.errors import CommandError

LENGTH = 128
"""Characters of a key, which is 64 random bytes in hexadecimal."""


def create(path: str) -> None:
    """Write a new key to ``path``, which must not exist, with mode 0600."""
    import secrets  # Not above: it imports random, whose fork handler costs each child memory.

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise CommandError(f"{path}: already exists; remove it first to make a new key") from None
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", 3) from None
    try:
        os.fchmod(descriptor, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(LENGTH // 2) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        os.unlink(path)
        raise CommandError(f"{path}: {error.strerror}", 3) from None


def load(path: str, owner: int = 0) -> bytes:
    """Return the key in ``path``, which belongs to this user, root, or the user id ``owner``.

    Raise CommandError if the file cannot be read, is not a key, or is accessible to other users.
    """
    try:
        # Without blocking, so that a FIFO is refused below instead of waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise CommandError(
            f"{path}: {error.strerror}; make a key with papaya key new FILE"
        ) from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise CommandError(f"{path}: not a regular file")
        # systemd gives the unit's user access to a credential by an access control list, whose
        # mask shows as the mode of the group (systemd.exec(5), LoadCredential=).
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        is_credential = credentials and os.path.dirname(os.path.abspath(path)) == credentials
        if found.st_mode & (0o037 if is_credential else 0o077):
            raise CommandError(
                f"{path}: others can read or write it (mode {found.st_mode & 0o777:04o}); "
                f"chmod 600 {path}, and make a new key if others may have read it"
            )
        if found.st_uid not in (os.geteuid(), 0, owner):
            raise CommandError(
                f"{path}: belongs to user {found.st_uid}; chown it to yourself, or to the user "
                "that papaya runs as (--user)"
            )
        text = os.read(descriptor, LENGTH + 3)  # One byte more than a key and its line's end.
    finally:
        os.close(descriptor)
    if not re.fullmatch(rb"[0-9a-fA-F]{%d}\r?\n?" % LENGTH, text):
        raise CommandError(
            f"{path}: not {LENGTH} hexadecimal digits; make a key with papaya key new FILE"
        )
    return text[:LENGTH]


def is_same(given: bytes, key: bytes) -> bool:
    """Return whether ``given`` is the key, in a time that does not depend on the difference."""
    return hmac.compare_digest(given, key)
