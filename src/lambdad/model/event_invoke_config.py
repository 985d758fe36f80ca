"""What a caller decides about the asynchronous invocations of a function, version or alias."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EventInvokeConfig:
    """None stands for what the caller left out: then AWS's defaults hold, and it is not printed."""

    last_modified: float  #: seconds since the epoch
    maximum_retries: int | None = None
    maximum_age_seconds: int | None = None
    on_success: str | None = None  #: ARN of the destination
    on_failure: str | None = None
