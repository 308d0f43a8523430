"""Writing a file's data to the disk itself, on each platform."""

from __future__ import annotations

import errno
import os
import types

import pytest

from papaya.server import data_sync, message_log


def test_data_is_synced_to_the_disk_itself_on_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[object] = []
    answer: list[OSError] = []

    def control(descriptor: int, command: int) -> None:
        called.append((descriptor, command))
        for error in answer:
            raise error

    monkeypatch.setattr(data_sync, "fcntl", types.SimpleNamespace(F_FULLFSYNC=51, fcntl=control))
    monkeypatch.setattr(os, "fsync", called.append)
    sync = data_sync.choose_data_sync()
    sync(7)
    assert called == [(7, 51)]
    answer.append(OSError(errno.ENOTSUP, "a network disk"))
    sync(8)
    assert called[1:] == [(8, 51), 8]
    answer[:] = [OSError(errno.EIO, "a broken disk")]
    with pytest.raises(OSError, match="a broken disk"):
        sync(9)
    assert called[3:] == [(9, 51)]


@pytest.mark.skipif(not hasattr(os, "fdatasync"), reason="needs fdatasync")
def test_data_is_synced_by_fdatasync() -> None:
    assert data_sync.choose_data_sync() is os.fdatasync
    assert message_log._fdatasync is os.fdatasync
