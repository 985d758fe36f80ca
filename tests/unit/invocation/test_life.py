"""What runs in a sandbox from one Init on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from lambdad.errors import SandboxEnded, SandboxError
from lambdad.invocation.life import Life
from lambdad.runtime_api.extension_session import FunctionIdentity


class Refusing:
    def __init__(self, error: SandboxError) -> None:
        self._error = error

    async def run(self, path: str, environment: Mapping[str, str]) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SandboxError("Permission denied"), "Extension.LaunchError"),
        (SandboxEnded("the sandbox has ended"), "Sandbox.Failure"),
    ],
)
async def test_who_is_to_blame_when_an_extension_does_not_start(error: SandboxError, told: str) -> None:
    """The extension, unless there is nothing any more in which it could start."""
    identity = FunctionIdentity("f", "1", "a.b", "000000000000")
    life = Life(asyncio.get_running_loop(), None, identity, {}, ["one"], lambda reason: None)  # type: ignore[arg-type]
    failed = await life.start(Refusing(error), None, None)  # type: ignore[arg-type]
    assert failed is not None
    assert failed.error_type.startswith(told)
