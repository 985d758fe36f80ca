"""The process that makes and removes cgroups, at its end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from lambdad.sandbox.cgroup_keeper import CgroupKeeper

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux")


class Frozen:
    """Cgroups that hear of the launcher's end a second time, by a signal, while they are being thawed."""

    def __init__(self, told: int) -> None:
        self._told = told

    def thaw(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        os.write(self._told, b"thawed")


def test_the_sandboxes_are_thawed_though_the_end_is_told_twice() -> None:
    """Else those that are frozen would outlive the launcher."""
    hear, told = os.pipe()
    keeper = CgroupKeeper(Frozen(told))  # type: ignore[arg-type]
    os.close(told)
    keeper.close()
    with open(hear, "rb") as heard:
        assert heard.read() == b"thawed"
