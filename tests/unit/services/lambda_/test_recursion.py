"""Recursive loops: the setting, and what it does to callers and events."""

from __future__ import annotations

import pytest

from lambdad.delivery import PLAIN, Envelope, Sender
from lambdad.model.event import decode_event
from lambdad.model.trace_header import entering, times_invoked
from lambdad.services.lambda_.receiver import LambdaReceiver
from lambdad.services.lambda_.resolve import EventFunctions
from support.lambda_service import ACCOUNT, REGION, ROLE, World, refused

KEY = (ACCOUNT, REGION, "f")
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"


def chain(length: int) -> dict[str, str]:
    """The headers of a request that the chain's last invocation of the function sends."""
    header = ""
    for _ in range(length):
        header, _ = entering(header, KEY, 0.0)
    return {"x-amzn-trace-id": header}


async def test_the_setting_is_kept_and_goes_with_its_function(world: World) -> None:
    """Terminate until it is set; durable through a restart and an update; a new function of the name begins anew."""
    await world.create(Publish=True)
    assert await world.call("GetFunctionRecursionConfig", FunctionName="f") == {"RecursiveLoop": "Terminate"}
    for _ in range(2):
        answer = await world.call("PutFunctionRecursionConfig", FunctionName="f", RecursiveLoop="Allow")
        assert answer == {"RecursiveLoop": "Allow"}
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
    await world.settled()
    stored = await world.restarted().functions.find(KEY)
    assert stored is not None
    assert stored.function.recursive_loop == "Allow"
    assert await world.call("GetFunctionRecursionConfig", FunctionName=ARN) == {"RecursiveLoop": "Allow"}
    await world.call("DeleteFunction", FunctionName="f")
    assert (await refused(world.call("GetFunctionRecursionConfig", FunctionName="f"))).code == "ResourceNotFoundException"
    await world.create()
    assert await world.call("GetFunctionRecursionConfig", FunctionName="f") == {"RecursiveLoop": "Terminate"}


@pytest.mark.parametrize("name, code", [("f:1", "InvalidParameterValueException"), ("nobody", "ResourceNotFoundException")])
async def test_refusals(world: World, name: str, code: str) -> None:
    """Versions have no setting of their own, and functions that are not there have none."""
    await world.create(Publish=True)
    for operation, more in (("PutFunctionRecursionConfig", {"RecursiveLoop": "Allow"}), ("GetFunctionRecursionConfig", {})):
        assert (await refused(world.call(operation, FunctionName=name, **more))).code == code


async def test_a_caller_is_refused_at_the_seventeenth(world: World) -> None:
    """Sixteen invocations by one chain run; then the caller has an error, whatever the qualifier, and it is counted."""
    await world.create(Publish=True)
    await world.call("Invoke", FunctionName="f", headers=chain(15))
    assert times_invoked(world.invoker.invocations[0].trace_header, KEY) == 16
    for name in ("f", "f:1"):
        error = await refused(world.call("Invoke", FunctionName=name, headers=chain(16)))
        assert error.code == "RecursiveInvocationException"
        assert error.message.startswith("Lambda has detected your function being invoked in a recursive loop")
    assert len(world.invoker.invocations) == 1
    assert world.state.counters.recursive_invocations_dropped == 2
    await world.call("Invoke", FunctionName="f", InvocationType="DryRun", headers=chain(16))
    await world.call("PutFunctionRecursionConfig", FunctionName="f", RecursiveLoop="Allow")
    await world.call("Invoke", FunctionName="f", headers=chain(40))
    assert times_invoked(world.invoker.invocations[1].trace_header, KEY) == 41


async def test_another_function_in_the_chain_runs(world: World) -> None:
    """The function that recurs is stopped, not what it invokes besides."""
    await world.create()
    await world.create("g")
    await world.call("Invoke", FunctionName="g", headers=chain(16))
    header = world.invoker.invocations[0].trace_header
    assert (times_invoked(header, KEY), times_invoked(header, (ACCOUNT, REGION, "g"))) == (16, 1)


async def test_events_are_accepted_and_carry_the_count(world: World) -> None:
    """An Event is let in however long its chain is, and one of another service; the policy says that loops are stopped."""
    await world.create()
    await world.call("Invoke", FunctionName="f", InvocationType="Event", headers=chain(16))
    sender = Sender("lambda.amazonaws.com", f"{ARN}2", ACCOUNT, ROLE)
    envelope = Envelope(trace_header=chain(3)["x-amzn-trace-id"])
    await LambdaReceiver(world.state).accept(ARN, sender, b"{}", request_id="two", envelope=envelope)
    first, second = [decode_event(body) for body in await world.events()]
    assert [times_invoked(event.trace_header, KEY) for event in (first, second)] == [17, 4]
    functions = EventFunctions(world.state)
    assert (await functions.event_policy(first, None)).stops_loops
    await world.call("PutFunctionRecursionConfig", FunctionName="f", RecursiveLoop="Allow")
    assert not (await functions.event_policy(first, None)).stops_loops


async def test_a_forged_lineage_harms_its_own_chain_alone(world: World) -> None:
    """A caller that says its chain is too long is refused; the next one is not."""
    await world.create()
    assert (await refused(world.call("Invoke", FunctionName="f", headers=chain(99)))).code == "RecursiveInvocationException"
    await world.call("Invoke", FunctionName="f")
    assert times_invoked(world.invoker.invocations[0].trace_header, KEY) == 1


async def test_events_of_what_is_gone_know_whom_to_tell(world: World) -> None:
    """A deleted function's or alias's event is told to those that were configured when it was accepted."""
    target, queue = "arn:aws:s3:::told", f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"
    world.delivery.register("s3", AnyTarget())
    world.delivery.register("sqs", AnyTarget())
    await world.create(Publish=True, DeadLetterConfig={"TargetArn": queue})
    await world.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    config = {"DestinationConfig": {"OnFailure": {"Destination": target}}}
    await world.call("PutFunctionEventInvokeConfig", FunctionName="f", Qualifier="live", **config)
    await world.call("Invoke", FunctionName="f", InvocationType="Event")
    sender = Sender("lambda.amazonaws.com", f"{ARN}2", ACCOUNT, ROLE)
    await LambdaReceiver(world.state).accept(f"{ARN}:live", sender, b"{}", request_id="two")
    latest, live = [decode_event(body) for body in await world.events()]
    functions = EventFunctions(world.state)
    await world.call("DeleteAlias", FunctionName="f", Name="live")
    policy = await functions.event_policy(live, None)
    assert (policy.on_failure, policy.dead_letter, policy.on_success) == (target, queue, None)
    await world.call("DeleteFunction", FunctionName="f")
    for event, on_failure in ((latest, None), (live, target)):
        policy = await functions.event_policy(event, None)
        assert (policy.on_failure, policy.dead_letter, policy.role) == (on_failure, queue, ROLE)


class AnyTarget:
    async def check(self, target_arn: str, sender: Sender) -> None:
        return None

    async def accept(
        self, target_arn: str, sender: Sender, payload: bytes, *, request_id: str, envelope: Envelope = PLAIN
    ) -> None:
        raise AssertionError("nothing is to be sent here")
