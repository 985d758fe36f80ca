"""What an invoker is told when a function failed without an answer of its own, in AWS's words."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from signal import Signals

from lambdad.runtime_api.answers import MAX_RESPONSE_BYTES
from lambdad.sandbox.base import ExitStatus

# The operating system's names of signals as AWS prints them; others are numbered.
_SIGNAL_NAMES: dict[int, str] = {
    Signals.SIGHUP: "hangup",
    Signals.SIGINT: "interrupt",
    Signals.SIGQUIT: "quit",
    Signals.SIGILL: "illegal instruction",
    Signals.SIGTRAP: "trace/breakpoint trap",
    Signals.SIGABRT: "aborted",
    Signals.SIGBUS: "bus error",
    Signals.SIGFPE: "floating point exception",
    Signals.SIGKILL: "killed",
    Signals.SIGUSR1: "user defined signal 1",
    Signals.SIGSEGV: "segmentation fault",
    Signals.SIGUSR2: "user defined signal 2",
    Signals.SIGPIPE: "broken pipe",
    Signals.SIGALRM: "alarm clock",
    Signals.SIGTERM: "terminated",
    Signals.SIGXCPU: "CPU time limit exceeded",
    Signals.SIGXFSZ: "file size limit exceeded",
    Signals.SIGSYS: "bad system call",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer. `payload` is what the invoker gets, with `X-Amz-Function-Error: Unhandled`."""

    error_type: str
    message: str  #: follows "RequestId: <id> Error: " in the payload
    status: str = "error"  #: of the REPORT line
    reported_type: str = ""  #: error type of the REPORT line
    body: bytes = b""  #: what the runtime posted, in place of the two above
    content_type: str = "application/json"

    @property
    def told(self) -> str:
        """In one sentence, for people."""
        if self.body:
            with contextlib.suppress(ValueError, AttributeError, RecursionError):
                posted = json.loads(self.body)
                return f"{posted.get('errorType', self.error_type)}: {posted.get('errorMessage', '')}"[:1000]
        return self.message[:1000]

    def payload(self, request_id: str) -> bytes:
        if self.body:
            return self.body
        message = f"RequestId: {request_id} Error: {self.message}"
        return json.dumps({"errorType": self.error_type, "errorMessage": message}, separators=(",", ":")).encode()


def timed_out(timeout_seconds: float) -> Failure:
    return Failure("Sandbox.Timedout", f"Task timed out after {timeout_seconds:.2f} seconds", status="timeout")


def exited(status: ExitStatus) -> Failure:
    """The invoker of a function that ran out of memory is told of the kill alone; the REPORT line says why."""
    reported = "Runtime.OutOfMemory" if status.out_of_memory else "Runtime.ExitError"
    return Failure("Runtime.ExitError", _exit_text(status), reported_type=reported)


#: What is said by that which starts a runtime's program.
_OF_THE_START = ("Runtime.InvalidEntrypoint", "Runtime.InvalidWorkingDir")


def posted(error_type: str, body: bytes, content_type: str) -> Failure:
    """An error that the runtime reported. Its body goes to the invoker as it is; without one, the type speaks."""
    reported = normalized_type(error_type)
    if error_type in _OF_THE_START and content_type == "text/plain":
        return Failure(error_type, body.decode("utf-8", "replace"), "error", reported)
    return Failure(error_type or reported, error_type or reported, "error", reported, body, content_type)


def stopped() -> Failure:
    """The server took the environment down under a running invocation, as when it shuts down."""
    return Failure("Sandbox.Failure", "The execution environment was stopped", reported_type="Sandbox.Failure")


def broken(why: str) -> Failure:
    """The sandbox itself did not do what it should."""
    return Failure("Sandbox.Failure", why, reported_type="Sandbox.Failure")


def _exit_text(status: ExitStatus) -> str:
    if status.signal is not None or status.out_of_memory:
        number = Signals.SIGKILL.value if status.signal is None else status.signal
        return f"Runtime exited with error: {signal_text(number)}"
    if status.code:
        return f"Runtime exited with error: exit status {status.code}"
    return "Runtime exited without providing a reason"


def signal_text(number: int) -> str:
    return f"signal: {_SIGNAL_NAMES.get(number, f'signal {number}')}"


def normalized_type(error_type: str) -> str:
    """The error type as logs and telemetry have it; the payload keeps what the runtime said."""
    if re.fullmatch(r"(Runtime|Function)\.[A-Z][a-zA-Z]+", error_type):
        return error_type
    return "Function.Unknown" if error_type.startswith("Function.") else "Runtime.Unknown"


RESPONSE_TOO_LARGE = json.dumps(
    {
        "errorMessage": f"Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes).",
        "errorType": "Function.ResponseSizeTooLarge",
    },
    separators=(",", ":"),
).encode()
