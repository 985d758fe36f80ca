"""One runtime process of an execution environment, with its session: an environment has several if it is reset."""

from __future__ import annotations

import asyncio

from lambdad.invocation import failure
from lambdad.invocation.failure import Failure
from lambdad.runtime_api.session import RuntimeSession
from lambdad.sandbox.base import ExitStatus, SandboxProcess


class RuntimeLife:
    def __init__(self, process: SandboxProcess, session: RuntimeSession) -> None:
        self.process = process
        self.session = session
        self.exit: ExitStatus | None = None

    async def initialize(self, limit_seconds: float | None) -> Failure | None:
        """Waits until the runtime asks for work; None if it does, else why it never will. Without a limit somebody else has
        to end the session, and gets to say why."""
        try:
            async with asyncio.timeout(limit_seconds):
                is_ready = await self.session.wait_ready()
        except TimeoutError:
            return failure.timed_out(limit_seconds or 0.0)
        if is_ready and self.exit is None:
            return None
        posted = self.session.init_error
        if posted is not None:
            return failure.posted(posted.error_type, posted.body, posted.content_type)
        return failure.exited(self.exit) if self.exit is not None else failure.stopped()
