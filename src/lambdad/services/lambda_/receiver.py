"""Events that other services send to a function: let in by its resource policy, taken by the event queue."""

from __future__ import annotations

from lambdad.delivery import PLAIN, Envelope, Sender
from lambdad.model.arn import FunctionName, parse_function_name
from lambdad.model.event import QueuedEvent
from lambdad.model.function import is_latest
from lambdad.model.policy import Caller, allows, denies, service_caller
from lambdad.model.trace_header import entering
from lambdad.services.lambda_.refusal import access_denied, explicitly_denied, function_not_found, invalid_parameter
from lambdad.services.lambda_.resolve import failure_targets
from lambdad.services.lambda_.state import LambdaState
from lambdad.services.lambda_.stored_function import StoredFunction
from lambdad.services.lambda_.tenancy import check_without_tenants


class LambdaReceiver:
    """`delivery.Receiver` for ARNs of functions, versions and aliases."""

    def __init__(self, state: LambdaState) -> None:
        self._state = state

    async def check(self, target_arn: str, sender: Sender) -> None:
        name = function_of(target_arn)
        stored = await self._state.functions.find(name.key)
        if stored is None or not _has_qualifier(stored, name):
            raise function_not_found(name)
        check_without_tenants(stored.function.latest.configuration, "Invocation by another service")
        caller, policy = _caller(sender), stored.policies.get(name.qualifier or "")
        who = sender.role_arn or sender.service_principal
        if sender.role_arn is not None and sender.source_account == name.account_id:
            # It needs to be let in by no resource policy, and has been asked for its own permissions.
            if denies(policy, caller, "lambda:InvokeFunction", name.qualified_arn):
                raise explicitly_denied(who, "lambda:InvokeFunction", name.qualified_arn)
        elif not allows(policy, caller, "lambda:InvokeFunction", name.qualified_arn):
            raise access_denied(who, "lambda:InvokeFunction", name.qualified_arn)

    async def accept(
        self, target_arn: str, sender: Sender, payload: bytes, *, request_id: str, envelope: Envelope = PLAIN
    ) -> None:
        await self.check(target_arn, sender)
        name = function_of(target_arn)
        now = self._state.clock()
        await self._state.events.accept(
            QueuedEvent(
                request_id=request_id,
                account_id=name.account_id,
                region=name.region,
                function_name=name.name,
                qualifier=name.qualifier,
                invoked_function_arn=name.qualified_arn,
                payload=payload,
                trace_header=entering(envelope.trace_header, name.key, now)[0],
                accepted_at=now,
                if_function_goes=failure_targets(await self._state.functions.find(name.key), name.qualifier),
            )
        )


def function_of(target_arn: str) -> FunctionName:
    """The function that a whole ARN names, in whichever account and region."""
    fields = target_arn.split(":")
    if len(fields) not in (7, 8) or fields[:1] != ["arn"] or fields[2] != "lambda" or fields[5] != "function":
        raise invalid_parameter(f"{target_arn!r} is not the ARN of a function.")
    return parse_function_name(target_arn, fields[4], fields[3])


def _caller(sender: Sender) -> Caller:
    if sender.role_arn is not None:
        keys = {
            "aws:principalarn": sender.role_arn,
            "aws:principalaccount": sender.source_account,
            "aws:principalisawsservice": "false",
        }
        return Caller(principal_arn=sender.role_arn, account_id=sender.source_account, context=keys)
    return service_caller(sender.service_principal, sender.source_arn, sender.source_account)


def _has_qualifier(stored: StoredFunction, name: FunctionName) -> bool:
    return is_latest(name.qualifier) or name.qualifier in stored.versions or name.qualifier in stored.aliases
