"""The execution role of a function: with `--auth on` it must be there and trust Lambda."""

from __future__ import annotations

from lambdad.services.lambda_.refusal import invalid_parameter
from lambdad.services.lambda_.state import LambdaState


def check_role(state: LambdaState, role_arn: str) -> None:
    if state.can_assume is not None and not state.can_assume(role_arn):
        raise invalid_parameter("The role defined for the function cannot be assumed by Lambda.")
