"""Test the provider of gVisor."""

from __future__ import annotations

import pytest

from tests.matrix.workplace import Workplace
from tests.needs import needs


@needs("runsc")
def test_gvisor_and_a_temporary_folder_with_a_blank(blank: Workplace) -> None:
    blank.cell("box", "runsc")
    doctor = blank("doctor", "box")
    if doctor.returncode:
        pytest.skip(doctor.stdout)
    done = blank.run("--no-selftest", "box")
    assert done.returncode == 0, done.stdout + done.stderr
