"""The extensions of one environment and their conversation with the Extensions API. No I/O.

External extensions are those whose process was started from /opt/extensions; their names are known before they register. All
others run inside the runtime's process. Without extensions nothing here is asked for anything.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lambdad.model.extension_session import ExtensionEvent, ExtensionState, after
from lambdad.runtime_api.session import InvocationRequest, NextWaiter

if TYPE_CHECKING:
    from lambdad.runtime_api.subscriptions import Subscription

MAX_EXTENSIONS = 10
INVOKE, SHUTDOWN = "INVOKE", "SHUTDOWN"


class ExtensionRefusal(Exception):
    """Answered with 403 and this type."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


@dataclass(frozen=True, slots=True)
class FunctionIdentity:
    """What an extension is told of its function when it registers."""

    name: str
    version: str
    handler: str
    account_id: str


class Extension:
    def __init__(self, name: str, *, is_external: bool) -> None:
        self.name = name
        self.is_external = is_external
        self.identifier = str(uuid.uuid4())
        self.state = ExtensionState.STARTED
        self.events: tuple[str, ...] = ()
        self._waiter: NextWaiter | None = None
        self._pending: dict[str, object] | None = None  #: an event that it has not come for yet

    @property
    def is_settled(self) -> bool:
        """It waits for an event, and there is none for it."""
        return self.state is ExtensionState.READY and self._pending is None

    def to(self, event: ExtensionEvent) -> None:
        self.state = after(self.name, self.state, event)

    def next(self, waiter: NextWaiter) -> None:
        if self.state is ExtensionState.READY:  # it asks again on another connection
            self._waiter = waiter
        else:
            self.to(ExtensionEvent.NEXT)
            self._waiter = waiter
        self._deliver()

    def lose(self, waiter: NextWaiter) -> bool:
        """True if it was this one's connection. What happens next is said on another one."""
        if self._waiter is not waiter:
            return False
        self._waiter = None
        return True

    def send(self, event: dict[str, object]) -> None:
        self._pending = event
        self._deliver()

    def _deliver(self) -> None:
        if self._pending is None or self._waiter is None or self.state is not ExtensionState.READY:
            return
        event, self._pending = self._pending, None
        waiter, self._waiter = self._waiter, None
        self.to(ExtensionEvent.DISPATCH)
        body = json.dumps(event, separators=(",", ":")).encode()
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            f"Lambda-Extension-Event-Identifier: {uuid.uuid4()}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        waiter.deliver(head.encode() + body)


class ExtensionSession:
    """`on_failure` is told once, of the first extension that ends the environment: an error type and a message. Subscriptions
    to telemetry are told as they come; a later one of the same extension and API takes the place of the earlier."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        identity: FunctionIdentity,
        external: Sequence[str] = (),
        on_failure: Callable[[str, str], None] = lambda error_type, message: None,
        on_subscription: Callable[[Subscription], None] = lambda subscription: None,
        *,
        hears_of_invocations: bool = True,
    ) -> None:
        self.identity = identity
        self._loop = loop
        self._on_failure = on_failure
        self._on_subscription = on_subscription
        self._hears_of_invocations = hears_of_invocations
        self._extensions = {name: Extension(name, is_external=True) for name in external}
        self._is_open = True
        self._takes_subscriptions = True
        self._is_over = False
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[bool]]] = []

    # What the environment does

    @property
    def registered(self) -> list[Extension]:
        return [extension for extension in self._extensions.values() if self._has_come(extension)]

    @property
    def is_open(self) -> bool:
        """Extensions may still register."""
        return self._is_open and not self._is_over

    @property
    def takes_subscriptions(self) -> bool:
        """Extensions may still subscribe to telemetry: as on AWS, until the last of them has asked for its first event."""
        return self._takes_subscriptions and not self._is_over

    @property
    def is_empty(self) -> bool:
        return not self._extensions

    @property
    def is_settled(self) -> bool:
        """No extension is at work on an invocation."""
        return (
            all(extension.is_settled for extension in self._extensions.values() if INVOKE in extension.events)
            or not self._extensions
        )

    def all_registered(self) -> asyncio.Future[bool]:
        """True when every external one has registered; False when that will never be."""
        return self._when(lambda: all(self._has_come(extension) for extension in self._extensions.values()))

    def all_ready(self) -> asyncio.Future[bool]:
        """True when every one has asked for its first event; False when that will never be."""
        return self._when(lambda: all(extension.is_settled for extension in self._extensions.values()))

    def settled(self) -> asyncio.Future[bool]:
        """True when all that the last invocation was told to have asked for the next event; False when they never will."""
        return self._when(lambda: self.is_settled)

    def close_registration(self) -> None:
        self._is_open = False

    def close_subscriptions(self) -> None:
        self._takes_subscriptions = False

    def invoke(self, request: InvocationRequest) -> None:
        """Tells of an invocation whoever wants to hear of them."""
        event: dict[str, object] = {
            "eventType": INVOKE,
            "deadlineMs": request.deadline_ms,
            "requestId": request.request_id,
            "invokedFunctionArn": request.invoked_function_arn,
        }
        if request.trace_header:
            event["tracing"] = {"type": "X-Amzn-Trace-Id", "value": request.trace_header}
        for extension in self._extensions.values():
            if INVOKE in extension.events:
                extension.send(event)

    def shut_down(self, reason: str, deadline_ms: int) -> list[Extension]:
        """Tells of the end whoever wants to hear of it, and returns those: they have until the deadline to end themselves."""
        self._end()
        event: dict[str, object] = {"eventType": SHUTDOWN, "deadlineMs": deadline_ms, "shutdownReason": reason}
        told = [one for one in self._extensions.values() if SHUTDOWN in one.events and one.state is not ExtensionState.EXITED]
        for extension in told:
            extension.send(event)
        return told

    def note_exit(self, name: str, how: str) -> None:
        """The process of an external one has ended: `how` is "exit code 0", "exit status 2", "signal: killed"."""
        extension = self._extensions[name]
        if extension.state is ExtensionState.EXITED:
            return
        extension.to(ExtensionEvent.EXIT)
        self._fail("Extension.Crash", how)

    def end(self) -> None:
        """Nothing more counts; whoever waits is told so. May be repeated."""
        self._end()

    # What extensions do. Each raises ExtensionRefusal, or InvalidExtensionTransition.

    def register(self, name: str, events: Sequence[str]) -> Extension:
        """`events` are checked for whether this one may ask for them."""
        if not self.is_open:
            raise ExtensionRefusal("Extension.RegistrationClosed", "Extension registration closed already")
        extension = self._extensions.get(name)
        if extension is not None and not extension.is_external:
            raise ExtensionRefusal("Extension.InvalidExtensionState", "Extension with this name already registered")
        is_external = extension is not None
        for event in events:
            if event not in (INVOKE, SHUTDOWN):
                raise ExtensionRefusal("Extension.InvalidEventType", f"{event}: InvalidEventType")
            if event == INVOKE and not self._hears_of_invocations:
                text = "InvokeEventNotSupportedForLambdaManagedInstances"
                raise ExtensionRefusal("Extension.InvalidEventType", f"{event}: {text}")
            if event == SHUTDOWN and not is_external:
                text = "ShutdownEventNotSupportedForInternalExtension"
                raise ExtensionRefusal("Extension.InvalidEventType", f"{event}: {text}")
        if self._is_full(is_external=is_external):
            raise ExtensionRefusal("Extension.TooManyExtensions", f"Extension limit ({MAX_EXTENSIONS}) reached")
        if extension is None:
            extension = Extension(name, is_external=False)
        extension.to(ExtensionEvent.REGISTER)
        extension.events = tuple(dict.fromkeys(events))
        self._extensions[name] = extension
        self._look()
        return extension

    def find(self, identifier: str) -> Extension:
        if not identifier:
            text = "Missing Lambda-Extension-Identifier header"
            raise ExtensionRefusal("Extension.MissingExtensionIdentifier", text)
        try:
            wanted = str(uuid.UUID(identifier))
        except ValueError:
            text = "Invalid Lambda-Extension-Identifier"
            raise ExtensionRefusal("Extension.InvalidExtensionIdentifier", text) from None
        for extension in self._extensions.values():
            if extension.identifier == wanted and self._has_come(extension):
                return extension
        raise ExtensionRefusal("Extension.UnknownExtensionIdentifier", f"Unknown extension {wanted}")

    def next(self, extension: Extension, waiter: NextWaiter) -> None:
        extension.next(waiter)
        self._look()

    def next_lost(self, waiter: NextWaiter) -> None:
        """The connection of `waiter` was closed."""
        for extension in self._extensions.values():
            if extension.lose(waiter):
                return

    def fail(self, extension: Extension, event: ExtensionEvent, error_type: str) -> None:
        """`init/error` and `exit/error`: the extension gives up, and the environment with it."""
        extension.to(event)
        self._fail("Extension.InitError" if event is ExtensionEvent.INIT_ERROR else "Extension.ExitError", error_type)

    def subscribe(self, subscription: Subscription) -> None:
        self._on_subscription(subscription)

    def _is_full(self, *, is_external: bool) -> bool:
        """External ones that have not registered yet keep their places, but not against each other."""
        counted = self._extensions.values()
        if is_external:
            return sum(1 for one in counted if one.state is not ExtensionState.STARTED) >= MAX_EXTENSIONS
        return len(counted) >= MAX_EXTENSIONS

    def _has_come(self, extension: Extension) -> bool:
        return extension.state not in (ExtensionState.STARTED, ExtensionState.EXITED)

    def _when(self, condition: Callable[[], bool]) -> asyncio.Future[bool]:
        future: asyncio.Future[bool] = self._loop.create_future()
        if self._is_over:
            future.set_result(False)
        elif condition():
            future.set_result(True)
        else:
            self._waiting.append((condition, future))
        return future

    def _look(self) -> None:
        for condition, future in self._waiting:
            if not future.done() and condition():
                future.set_result(True)
        self._waiting = [(condition, future) for condition, future in self._waiting if not future.done()]

    def _fail(self, error_type: str, message: str) -> None:
        if not self._is_over:
            self._end()
            self._on_failure(error_type, message)

    def _end(self) -> None:
        self._is_over = True
        for _, future in self._waiting:
            if not future.done():
                future.set_result(False)
        self._waiting.clear()
