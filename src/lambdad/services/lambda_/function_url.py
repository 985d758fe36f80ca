"""Function URLs: one for a function and one for each of its aliases. What comes to them is `url_site.py`'s."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from lambdad.model.arn import FunctionName
from lambdad.model.function_url import BUFFERED, METHODS, Cors, FunctionUrl, url_id_of
from lambdad.model.request import RequestContext, Response
from lambdad.model.version import LATEST
from lambdad.services.lambda_.lookup import named
from lambdad.services.lambda_.page import page_of
from lambdad.services.lambda_.refusal import conflict, invalid_parameter, not_found
from lambdad.services.lambda_.state import LambdaState
from lambdad.services.lambda_.stored_function import StoredFunction
from lambdad.services.lambda_.tenancy import check_without_tenants
from lambdad.services.lambda_.url_address import url_for

Request = Mapping[str, Any]

_NO_FUNCTION = "Function does not exist"
_NO_URL = "The resource you requested does not exist."
_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^\s/,?#]+", re.IGNORECASE)
_HEADER_NAME = re.compile(r"\*|[!#$%&'*+.^_`|~0-9A-Za-z-]+")


async def create_function_url_config(state: LambdaState, context: RequestContext, request: Request) -> Response:
    name = _named(context, request)
    cors = _cors(request.get("Cors"))
    secret = await state.records.url_secret()
    async with state.functions.change(name.key) as change:
        stored = _existing(change.stored, name)
        check_without_tenants(stored.function.latest.configuration, "Function URL")
        qualifier = name.qualifier or LATEST
        if qualifier in stored.urls:
            raise conflict(
                f"Failed to create function url config for [functionArn = {name.qualified_arn}]. "
                "Error message:  FunctionUrlConfig exists for this Lambda function"
            )
        now = state.clock()
        mode = request.get("InvokeMode", BUFFERED)
        url = FunctionUrl(url_id_of(secret, *name.key, qualifier), request["AuthType"], now, now, mode, cors)
        await change.save(replace(stored, urls={**stored.urls, qualifier: url}))
    shape = _shape(context, name, url)
    del shape["LastModifiedTime"]
    return Response(shape, status=201)


async def get_function_url_config(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = _named(context, request)
    return _shape(context, name, _standing(await state.functions.find(name.key), name))


async def update_function_url_config(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """A member that is left out stays; `Cors` is one member, and empty it is none."""
    name = _named(context, request)
    cors = _cors(request.get("Cors"))
    async with state.functions.change(name.key) as change:
        old = _standing(change.stored, name)
        assert change.stored is not None
        url = replace(
            old,
            modified=state.clock(),
            auth_type=request.get("AuthType", old.auth_type),
            invoke_mode=request.get("InvokeMode", old.invoke_mode),
            cors=cors if "Cors" in request else old.cors,
        )
        await change.save(replace(change.stored, urls={**change.stored.urls, name.qualifier or LATEST: url}))
    return _shape(context, name, url)


async def delete_function_url_config(state: LambdaState, context: RequestContext, request: Request) -> Response:
    name = _named(context, request)
    async with state.functions.change(name.key) as change:
        _standing(change.stored, name)
        assert change.stored is not None
        gone = name.qualifier or LATEST
        kept = {qualifier: url for qualifier, url in change.stored.urls.items() if qualifier != gone}
        await change.save(replace(change.stored, urls=kept))
    return Response({}, status=204)


async def list_function_url_configs(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = named(context, request["FunctionName"])
    stored = await state.functions.find(name.key)
    if stored is None:
        raise not_found(_NO_FUNCTION)

    def shape(qualifier: str) -> dict[str, Any]:
        return _shape(context, _qualified(name, qualifier), stored.urls[qualifier])

    return page_of("FunctionUrlConfigs", sorted(stored.urls), request, str, shape)


def _named(context: RequestContext, request: Request) -> FunctionName:
    """The model's patterns leave an alias or nothing as qualifier."""
    return named(context, request["FunctionName"], request.get("Qualifier"))


def _qualified(name: FunctionName, qualifier: str) -> FunctionName:
    return FunctionName(*name.key, None if qualifier == LATEST else qualifier)


def _existing(stored: StoredFunction | None, name: FunctionName) -> StoredFunction:
    if stored is None or not (name.qualifier is None or name.qualifier in stored.aliases):
        raise not_found(_NO_FUNCTION)
    return stored


def _standing(stored: StoredFunction | None, name: FunctionName) -> FunctionUrl:
    url = stored.urls.get(name.qualifier or LATEST) if stored else None
    if url is None:
        raise not_found(_NO_URL)
    return url


def _cors(given: Mapping[str, Any] | None) -> Cors | None:
    if not given:
        return None
    _check(given, "AllowMethods", lambda method: method == "*" or method in METHODS)
    _check(given, "AllowOrigins", lambda origin: _ORIGIN.fullmatch(origin) is not None)
    _check(given, "AllowHeaders", lambda header: _HEADER_NAME.fullmatch(header) is not None)
    _check(given, "ExposeHeaders", lambda header: _HEADER_NAME.fullmatch(header) is not None)

    def texts(member: str) -> tuple[str, ...] | None:
        return tuple(given[member]) if member in given else None

    return Cors(
        allow_credentials=given.get("AllowCredentials"),
        allow_headers=texts("AllowHeaders"),
        allow_methods=texts("AllowMethods"),
        allow_origins=texts("AllowOrigins"),
        expose_headers=texts("ExposeHeaders"),
        max_age=given.get("MaxAge"),
    )


def _check(given: Mapping[str, Any], member: str, is_good: Callable[[str], bool]) -> None:
    """What would stand in a header of answers must be one; the model takes any text."""
    for value in given.get(member, ()):
        if not is_good(value):
            raise invalid_parameter(f"Invalid value in Cors.{member}: {value}")


def _shape(context: RequestContext, name: FunctionName, url: FunctionUrl) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "FunctionUrl": url_for(context.endpoint, url.url_id, name.region),
        "FunctionArn": name.qualified_arn,
        "AuthType": url.auth_type,
        "CreationTime": _timestamp(url.created),
        "LastModifiedTime": _timestamp(url.modified),
        "InvokeMode": url.invoke_mode,
    }
    if url.cors is not None:
        shape["Cors"] = _cors_shape(url.cors)
    return shape


def _cors_shape(cors: Cors) -> dict[str, Any]:
    members = {
        "AllowCredentials": cors.allow_credentials,
        "AllowHeaders": cors.allow_headers,
        "AllowMethods": cors.allow_methods,
        "AllowOrigins": cors.allow_origins,
        "ExposeHeaders": cors.expose_headers,
        "MaxAge": cors.max_age,
    }
    return {
        member: list(value) if isinstance(value, tuple) else value for member, value in members.items() if value is not None
    }


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
