"""Fixtures of the wire's tests; the small services themselves are in `serving.py`."""

from __future__ import annotations

import pytest

from unit.wire.serving import Recorder


@pytest.fixture
def state() -> Recorder:
    return Recorder()
