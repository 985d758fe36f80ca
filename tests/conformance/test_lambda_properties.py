"""Any calls of the Lambda API, sound ones and others between them, in any order: no 5xx, and every answer is of the model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lambdad.wire.pattern import compiled
from support.answers import assert_of_the_model
from support.lambda_account import (
    CODE,
    MODEL,
    OTHER_CODE,
    PUBLISHERS,
    SERVED,
    call,
    kept,
    make_code_signing_config,
    sound_values,
    wait_active,
)
from support.model_cases import broken_values
from support.model_request import request_of
from support.server import RUNTIME, Server
from support.wire_client import WireClient

pytestmark = pytest.mark.root

ACCOUNT = "{account}"  #: stands for the example's account in drawn values
SIGNING = "{signing}"  #: for its code signing configuration
_FUNCTIONS = ["a", "a", "a", "a", "a", "b", "b", "c", "a:1", "a:live", f"{ACCOUNT}:function:a"]
_ARNS = [f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{name}" for name in ("a", "a", "b", "a:1", "a:live", "missing")]
_LAYER_ARNS = [f"arn:aws:lambda:us-east-1:{ACCOUNT}:layer:{name}" for name in ("l:1", "l:2", "m:1", "l")]
#: Values that mean something to an account in which other calls have meant the same.
_POOL: Mapping[str, list[Any]] = {
    "FunctionName": _FUNCTIONS, "Name": ["live", "live", "beta", "gamma"], "Qualifier": ["live", "live", "1", "2", "$LATEST"],
    "FunctionVersion": ["1", "1", "2", "$LATEST", "ALL"], "StatementId": ["s1", "s2"], "LayerName": ["l", "m", *_LAYER_ARNS],
    "VersionNumber": [1, 2, 0], "Role": ["arn:aws:iam::000000000000:role/r"], "Runtime": [RUNTIME] * 4 + ["nodejs"],
    "Handler": ["app.handler"], "ZipFile": [CODE, OTHER_CODE] * 3 + ["UEsDBA=="],
    "Code": [{"ZipFile": CODE}, {"ZipFile": OTHER_CODE}], "Content": [{"ZipFile": CODE}], "Publish": [True, False],
    "Principal": ["123456789012", "*", "s3.amazonaws.com"],
    "Action": ["lambda:InvokeFunction", "lambda:GetLayerVersion", "lambda:InvokeFunctionUrl", "*"], "Resource": _ARNS,
    "Arn": _LAYER_ARNS, "Layers": [[], [_LAYER_ARNS[0]]], "ReservedConcurrentExecutions": [0, 1, 5, 900, 2**31 - 1],
    "ProvisionedConcurrentExecutions": [0, 1, 2**31 - 1], "Payload": [b"{}", b"", b"{", b'"\xff"', b"[" * 9000],
    "InvokeArgs": [b"{}", b"{"], "Tags": [{"k": "v"}, {"aws:k": "v"}, {}], "TagKeys": [["k"], ["k", "l"]],
    "AdditionalVersionWeights": [{"1": 0.5}, {"2": 0.0}, {"1": 1, "2": 1}], "SnapStart": [{"ApplyOn": "None"}],
    "CodeSigningConfigArn": [SIGNING], "UpdateRuntimeOn": ["Auto", "FunctionUpdate"],
    "AllowedPublishers": [PUBLISHERS], "MinExecutionEnvironments": [0, 1], "MaxExecutionEnvironments": [1, 2],
    "Marker": ["YTow", "YQ==", "!", ""], "TargetArn": ["arn:aws:sqs:us-east-1:123456789012:q", ""], "Destination": _ARNS,
    "SourceArn": ["arn:aws:s3:::bucket"], "S3Bucket": ["missing"], "S3Key": ["k"], "MasterRegion": ["ALL", "us-east-1"],
    "Timeout": [1, 900, 3], "MemorySize": [128, 256, 1], "Size": [512, 1024, 10240],
    "Variables": [{"A": "b"}, {"A": "\0"}, {"AWS_REGION": "x"}, {"A": "x" * 5000}, {"": ""}, {"=": "="}],
}  # fmt: skip
#: Bounded to what the pool has: the number of environments that a draw may start.
_ONLY_POOL = frozenset({"ProvisionedConcurrentExecutions", "MinExecutionEnvironments", "MaxExecutionEnvironments"})
#: Collections of the store in which nothing may stand when all functions are gone.
OF_FUNCTIONS = frozenset(
    {"lambda-function", "lambda-version", "lambda-alias", "lambda-policy", "lambda-event-invoke-config", "lambda-url"}
    | {"lambda-url-owner", "lambda-provisioned-concurrency", "lambda-reserved-concurrency", "lambda-unsettled"}
    | {"lambda-code-signing-use"}
)
_EXAMPLES = itertools.count(700_100_000_000)


@cache
def _sound(name: str, shape_name: str) -> st.SearchStrategy[Any]:
    shape = MODEL.shape_for(shape_name)
    if name not in _POOL:
        return _from_model(shape)
    pool = st.sampled_from(_POOL[name])
    return pool if name in _ONLY_POOL else _one_in_ten(_from_model(shape), pool)


def _one_in_ten(seldom: st.SearchStrategy[Any], mostly: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 9).flatmap(lambda drawn: seldom if drawn == 7 else mostly)


def _from_model(shape: Any) -> st.SearchStrategy[Any]:
    kind, least, most = shape.type_name, shape.metadata.get("min"), shape.metadata.get("max")
    if kind == "structure":
        required = {name: _member(name, shape) for name in shape.required_members}
        optional = {name: _member(name, shape) for name in shape.members if name not in required}
        return st.fixed_dictionaries(required, optional=optional)
    if kind == "list":
        return st.lists(st.deferred(lambda: _sound("", shape.member.name)), min_size=least or 0, max_size=min(most or 3, 3))
    if kind == "map":
        key, value = _sound("", shape.key.name), st.deferred(lambda: _sound("", shape.value.name))
        return st.dictionaries(key, value, max_size=3)
    if kind == "string":
        return _texts(shape, least or 0, most)
    if kind in ("integer", "long"):
        bits = 31 if kind == "integer" else 63
        return st.integers(-(2**bits) if least is None else least, 2**bits - 1 if most is None else most)
    simple: Mapping[str, st.SearchStrategy[Any]] = {
        "boolean": st.booleans(), "blob": st.sampled_from([CODE, "", "AAAA"]), "timestamp": st.integers(0, 2**33),
        "float": st.floats(0, 1), "double": st.floats(least or 0, most if most is not None else 1),
    }  # fmt: skip
    return simple[kind]


def _member(name: str, structure: Any) -> st.SearchStrategy[Any]:
    shape_name = structure.members[name].name
    return st.deferred(lambda: _sound(name, shape_name))


def _texts(shape: Any, least: int, most: int | None) -> st.SearchStrategy[Any]:
    if shape.enum:
        return st.sampled_from(list(shape.enum))
    expression = compiled(shape.metadata["pattern"]) if "pattern" in shape.metadata else None
    size = min(most if most is not None else 300, max(least, 300))
    if expression is None:
        return st.text(min_size=least, max_size=size)
    return st.from_regex(expression, fullmatch=True).filter(lambda text: least <= len(text) <= size)


@cache
def _anything(shape_name: str) -> st.SearchStrategy[Any]:
    """What the model forbids, or what no model knows."""
    forbidden = [value for _, value in broken_values(MODEL.shape_for(shape_name), _plain) if not isinstance(value, bytes)]
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50)
    nested = st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    )
    return st.one_of(st.sampled_from(forbidden), nested) if forbidden else nested


def _plain(name: str, shape: Any) -> Any:
    return {"structure": {}, "list": [], "map": {}, "string": "a", "boolean": True, "blob": "", "timestamp": 0}.get(
        shape.type_name, 1
    )


@st.composite
def calls(draw: Callable[..., Any]) -> tuple[str, dict[str, Any]]:
    """An operation with its members, one call in ten with a member that is not sound.

    Members besides the required ones are mostly those that the pool has values for, so that many calls come through.
    """
    operation = draw(st.sampled_from(SERVED))
    shape = MODEL.operation_model(operation).input_shape
    members = shape.members if shape else {}
    wanted = [name for name in members if name in shape.required_members]
    wanted += ["Runtime", "Handler"] if operation == "CreateFunction" else []
    others = sorted(set(members) - set(wanted))
    if pooled := [name for name in others if name in _POOL]:
        wanted += draw(st.lists(st.sampled_from(pooled), max_size=2, unique=True))
    if strange := [name for name in others if name not in _POOL]:
        wanted += draw(_one_in_ten(st.lists(st.sampled_from(strange), max_size=2, unique=True), st.just([])))
    values = {name: draw(_sound(name, members[name].name)) for name in wanted}
    if members and draw(st.integers(0, 9)) == 7:
        name = draw(st.sampled_from(sorted(set(members) - _ONLY_POOL)))
        if members[name].type_name != "blob" or not shape.serialization.get("payload"):
            values[name] = draw(_anything(members[name].name))
    for name in values:
        if values[name] == "" and members[name].serialization.get("location") == "uri":
            values[name] = "!"  # a path with nothing in that place is the address of another operation
    return operation, values


class Place(NamedTuple):
    """What placeholders in drawn values stand for."""

    account_id: str
    signing: str

    def fill(self, value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(ACCOUNT, self.account_id).replace(SIGNING, self.signing)
        if isinstance(value, list):
            return [self.fill(each) for each in value]
        if isinstance(value, dict):
            return {self.fill(key): self.fill(each) for key, each in value.items()}
        return value


def _run(server: Server, histories: list[list[tuple[str, dict[str, Any]]]]) -> None:
    """Each history is one caller's. All have an account of their own, so that an example fails the same way again."""
    account_id = str(next(_EXAMPLES))
    with WireClient(server, account_id) as client:
        assert (
            call(client, "CreateFunction", **sound_values("CreateFunction", account_id) | {"FunctionName": "a"}).status == 201
        )
        wait_active(client, "a")
        assert call(client, "PublishVersion", FunctionName="a").status == 201
        assert call(client, "CreateAlias", FunctionName="a", Name="live", FunctionVersion="1").status == 201
        place = Place(account_id, make_code_signing_config(client))
        with ThreadPoolExecutor(len(histories)) as callers:
            for done in [callers.submit(_call_all, server, place, history) for history in histories]:
                done.result()
        _take_away(client)
    assert {(collection, key) for collection, key in kept(server, account_id) if collection in OF_FUNCTIONS} == set()


def _call_all(server: Server, place: Place, history: list[tuple[str, dict[str, Any]]]) -> None:
    with WireClient(server, place.account_id) as client:
        for operation, values in history:
            answer = client.send(request_of(MODEL.operation_model(operation), place.fill(values)))
            assert_of_the_model(operation, answer)


def _take_away(client: WireClient) -> None:
    """What is listed is there and can be deleted, whatever the calls have made of it; then nothing is listed."""
    names = [each["FunctionName"] for each in call(client, "ListFunctions").json()["Functions"]]
    for name in names:
        assert call(client, "GetFunction", FunctionName=name).status == 200
        assert call(client, "DeleteFunction", FunctionName=name).status == 204
    assert call(client, "ListFunctions").json() == {"Functions": []}


QUIET = {"deadline": None, "database": None, "phases": [Phase.generate], "suppress_health_check": list(HealthCheck)}


@settings(max_examples=10, derandomize=True, **QUIET)
@given(history=st.lists(calls(), min_size=10, max_size=30))
def test_any_calls_are_answered_in_the_models_words(server: Server, history: list[tuple[str, dict[str, Any]]]) -> None:
    """Status below 500, errors that are declared, outputs whose required members, types and choices are those of the model."""
    _run(server, [history])


@pytest.mark.long
@settings(max_examples=500, **QUIET)
@given(history=st.lists(calls(), min_size=1, max_size=60))
def test_many_more_calls(server: Server, history: list[tuple[str, dict[str, Any]]]) -> None:
    """As above, for minutes and with other calls each time."""
    _run(server, [history])


@settings(max_examples=3, derandomize=True, **QUIET)
@given(histories=st.lists(st.lists(calls(), min_size=5, max_size=10), min_size=12, max_size=12))
def test_any_calls_at_once(server: Server, histories: list[list[tuple[str, dict[str, Any]]]]) -> None:
    """The same by twelve callers at a time; when the functions are deleted, nothing is left of them."""
    _run(server, histories)


@pytest.mark.long
@settings(max_examples=200, **QUIET)
@given(histories=st.lists(st.lists(calls(), min_size=1, max_size=20), min_size=16, max_size=16))
def test_many_more_calls_at_once(server: Server, histories: list[list[tuple[str, dict[str, Any]]]]) -> None:
    """As above, for minutes and with other calls each time."""
    _run(server, histories)
