"""What SnapStart adds to an environment: a template's memory is kept, and a clone begins from it."""

from __future__ import annotations

from collections.abc import Callable

from lambdad.errors import CannotSnapshot, ServiceError
from lambdad.invocation.environment_variables import FunctionCredentials
from lambdad.invocation.failure import Failure
from lambdad.invocation.life import Life
from lambdad.invocation.logs import FunctionLog
from lambdad.model.runtime_session import RuntimeState
from lambdad.runtime_api import answers
from lambdad.runtime_api.credentials import ContainerCredentials
from lambdad.sandbox.base import Sandbox, Snapshot


async def take_snapshot(life: Life, sandbox: Sandbox, log: FunctionLog) -> Snapshot:
    """Of a template whose Init went well. Raises CannotSnapshot, or SandboxError."""
    session = life.session
    if session.state is not RuntimeState.RESTORE_READY:
        raise CannotSnapshot("the function asked for an invocation during its init, or its process has ended")
    if any(not extension.is_external for extension in life.extensions.registered):
        raise CannotSnapshot("the function's init registered an internal extension, which a clone would not have")
    log.drain()

    def let_go() -> None:
        session.fork(answers.FORK)
        life.end()  # what it was is over with the fork, and that is no failure

    return await sandbox.take_snapshot(let_go)


def container_credentials(
    token: str | None, credentials: FunctionCredentials | None, clock: Callable[[], float]
) -> ContainerCredentials | None:
    """The environment's own: all clones know the same token, and none has keys in its memory. None without a snapshot."""
    if token is None or credentials is None:
        return None
    key, secret, session = credentials.access_key_id, credentials.secret_access_key, credentials.session_token
    return ContainerCredentials(token, key, secret, session, clock)


def check_restored(failed: Failure | None, limit_seconds: float) -> None:
    """Raises what the invoker is told of a restore that failed."""
    if failed is None:
        return
    if failed.status == "timeout":
        raise ServiceError("SnapStartTimeoutException", f"The function was not restored within {limit_seconds:g} seconds.")
    raise ServiceError("SnapStartException", failed.told)
