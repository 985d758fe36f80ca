"""Whom the end of an event is told, and in which words. Pure rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lambdad.delivery import Envelope, Sender, service_of
from lambdad.event_queue.outbox import Notice
from lambdad.model.destination import dead_letter_attributes, invocation_record, object_key, qualified_arn
from lambdad.model.event import QueuedEvent
from lambdad.model.event_state import EventState
from lambdad.model.invocation import InvocationResult
from lambdad.model.retry import EventPolicy, Verdict

SERVICE_PRINCIPAL = "lambda.amazonaws.com"


def notices_of(
    event: QueuedEvent,
    verdict: Verdict,
    result: InvocationResult | None,
    policy: EventPolicy,
    *,
    now: float,
    new_id: Callable[[], str],
    record_limits: Mapping[str, int],
) -> list[Notice]:
    """A destination is told of the outcome it is for; the dead-letter queue gets the event of a failure as it came.

    `record_limits` says how many bytes a service takes at most ("sqs": 262144).
    """
    sender = Sender(SERVICE_PRINCIPAL, qualified_arn(event), event.account_id, policy.role or None)
    has_failed = verdict.state is EventState.FAILED
    notices = []
    target = policy.on_failure if has_failed else policy.on_success
    if target is not None:
        service = service_of(target)
        address = f"{target}/{object_key(event.function_name, now, new_id())}" if service == "s3" else target
        outcome = "Failure" if has_failed else "Success"
        notices.append(
            Notice(
                kind="destination",
                target_arn=target,
                address=address,
                sender=sender,
                envelope=Envelope(
                    detail_type=f"Lambda Function Invocation Result - {outcome}",
                    resources=(target, qualified_arn(event)),
                    trace_header=event.trace_header,
                ),
                event_id=event.request_id,
                request_id=new_id(),
                created_at=now,
                payload=invocation_record(event, verdict, result, now, limit=record_limits.get(service)),
            )
        )
    if has_failed and policy.dead_letter is not None:
        notices.append(
            Notice(
                kind="dead-letter",
                target_arn=policy.dead_letter,
                address=policy.dead_letter,
                sender=sender,
                envelope=Envelope(attributes=dead_letter_attributes(event, verdict.history), trace_header=event.trace_header),
                event_id=event.request_id,
                request_id=new_id(),
                created_at=now,
                payload=event.payload,
            )
        )
    return notices
