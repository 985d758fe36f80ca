"""Which layer versions a function may use, and keeping them in place until its record names them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from lambdad.model.arn import LayerName, parse_layer_version_arn
from lambdad.model.layer import LayerUse, LayerVersion
from lambdad.model.policy import Caller, allows
from lambdad.model.request import RequestContext
from lambdad.services.lambda_.refusal import access_denied, invalid_parameter
from lambdad.services.lambda_.state import LambdaState

MISSING = "Layer version ARN does not exist."


@asynccontextmanager
async def using_layers(state: LambdaState, context: RequestContext, arns: Sequence[str]) -> AsyncIterator[tuple[LayerUse, ...]]:
    """The layers that a request names, in its order. Commit what refers to them inside the block."""
    if len(arns) > state.quotas.layers:
        raise invalid_parameter(f"Cannot reference more than {state.quotas.layers} layers.")
    names = [_name_of(context, arn) for arn in arns]
    _check_distinct(names)
    layers = [await _find(state, context, name) for name in names]
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(state.archives.holding(layer.code.digest for layer in layers))
        except KeyError as error:
            raise invalid_parameter(MISSING) from error
        yield tuple(LayerUse(layer.version_arn, layer.code) for layer in layers)


async def is_admitted(state: LambdaState, context: RequestContext, layer: LayerVersion) -> bool:
    caller = Caller(principal_arn=context.principal.arn, account_id=context.account_id)
    return allows(await state.records.layer_policy(layer), caller, "lambda:GetLayerVersion", layer.version_arn)


def _name_of(context: RequestContext, arn: str) -> LayerName:
    name = parse_layer_version_arn(arn)
    if name is None:
        raise invalid_parameter(f"{MISSING} A layer is named by the ARN of one of its versions; got {arn}")
    if name.region != context.region:
        raise invalid_parameter(
            f"Layers are not in the same region as the function. Layers are expected to be in region {context.region}."
        )
    return name


def _check_distinct(names: Sequence[LayerName]) -> None:
    seen: dict[str, LayerName] = {}
    for name in names:
        other = seen.setdefault(name.arn, name)
        if other is not name:
            raise invalid_parameter(
                "Two different versions of the same layer are not allowed to be referenced in the same function. "
                f"{other.version_arn} and {name.version_arn} are versions of the same layer."
            )


async def _find(state: LambdaState, context: RequestContext, name: LayerName) -> LayerVersion:
    assert name.version is not None
    layer = await state.records.layer_version((name.account_id, name.region, name.name), name.version)
    if layer is None and name.account_id == context.account_id:
        raise invalid_parameter(MISSING)
    if layer is None or (layer.account_id != context.account_id and not await is_admitted(state, context, layer)):
        raise access_denied(context.principal.arn, "lambda:GetLayerVersion", name.version_arn)
    return layer
