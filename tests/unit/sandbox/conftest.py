"""Backends that a test opens for itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from lambdad.sandbox.oci import OciSandboxes
from support.oci import RUNTIMES, remains
from support.sandbox import Opened


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """Opens a backend, which is closed after the test, also where that has failed: what is left of it would be other tests'
    trouble."""
    async with AsyncExitStack() as stack:

        async def open_backend(backend: Any) -> Any:
            stack.push_async_callback(backend.close)
            await backend.open()
            return backend

        yield open_backend


@pytest.fixture(params=RUNTIMES)
async def oci_sandboxes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OciSandboxes]:
    backend = request.param.make(tmp_path / "state")
    await backend.open()
    yield backend
    await backend.close()
    assert remains(tmp_path / "state") == []


@pytest.fixture
def runc(tmp_path: Path) -> str:
    found = shutil.which("runc", path=os.environ["PATH"] + ":/usr/sbin")
    if found is None:
        pytest.skip("runc is not installed (Debian: apt-get install runc)")
    return found
