"""Event source mappings, looked for: none can be made here yet, so that there is none to find."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdad.model.request import RequestContext
from lambdad.services.lambda_.lookup import named
from lambdad.services.lambda_.page import read_marker
from lambdad.services.lambda_.refusal import not_found
from lambdad.services.lambda_.state import LambdaState

NO_MAPPING = "The resource you requested does not exist."

Request = Mapping[str, Any]


async def get_event_source_mapping(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    raise not_found(NO_MAPPING)


async def list_event_source_mappings(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """Deployment tools ask before they change or remove a function. As with AWS, the function need not exist."""
    if "FunctionName" in request:
        named(context, request["FunctionName"])
    read_marker(request, "EventSourceMappings")
    return {"EventSourceMappings": []}
