"""Nonsense sent to IAM, STS, Signer and ECR is refused in a readable form, and never as a fault of the server's."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lambdad.services.ecr import SERVICE as ECR
from lambdad.services.iam import SERVICE as IAM
from lambdad.services.signer import SERVICE as SIGNER
from lambdad.services.sts import SERVICE as STS
from support.server import Server

pytestmark = pytest.mark.root

_POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})
_TRUST = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:*"}]})
_SOUND = {
    "UserName": "a", "RoleName": "a", "GroupName": "a", "PolicyName": "a", "PolicyDocument": _POLICY,
    "AssumeRolePolicyDocument": _TRUST, "RoleArn": "arn:aws:iam::999988887777:role/a", "RoleSessionName": "abc",
    "PolicyArn": "arn:aws:iam::999988887777:policy/a", "repositoryName": "nonsense",
}  # fmt: skip
_TEXTS = (
    "", "a", "x" * 21, "u" * 65, "u" * 5000, "../../etc", "a/b", "%00", "\x00", "\x1b", "é" * 10, "arn:aws:iam::aws:policy/x",
    "/", "//", "*", "${aws:username}", "{" * 5000, '{"a":' * 3000, "[]", "null", "AAAA", "Active", _POLICY, _TRUST,
    json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": {"a": 1}, "Resource": [[]]}}),
    json.dumps({"Version": [], "Statement": [{"Effect": [], "Condition": {"IpAddress": {"a:b": [{}]}}}]}),
)  # fmt: skip
_TIMES = 4


@pytest.mark.parametrize("service", [IAM, STS, SIGNER, ECR], ids=["iam", "sts", "signer", "ecr"])
def test_nonsense_is_refused_in_a_readable_form(server: Server, service: Any) -> None:
    """Values drawn from the model's shapes: below, at and above limits, hostile texts, sound ones between them."""
    draw = random.Random(20261125)
    client = botocore.session.get_session().create_client(
        service.name, region_name="us-east-1", endpoint_url=server.endpoint, aws_access_key_id="999988887777",
        aws_secret_access_key="x", config=Config(retries={"max_attempts": 0}, parameter_validation=False),
    )  # fmt: skip
    outcomes: Counter[int] = Counter()
    try:
        for operation in service.operations:
            shape = client.meta.service_model.operation_model(operation).input_shape
            for _ in range(_TIMES):
                status = _status(client, operation, _parameters(draw, shape))
                if status == 413:  # lists of whole policies may be longer than a form
                    assert shape is not None and "PolicyInputList" in shape.members
                outcomes[status] += 1
    finally:
        client.close()
    assert set(outcomes) <= {200, 400, 403, 404, 409, 413}
    assert outcomes[400] > 100 or service is not IAM


def _status(client: Any, operation: str, parameters: dict[str, Any]) -> int:
    try:
        answer = client._make_api_call(operation, parameters)
    except ClientError as error:
        answer = error.response
        assert error.response["Error"]["Code"]
    return int(answer["ResponseMetadata"]["HTTPStatusCode"])


def _parameters(draw: random.Random, shape: Any) -> dict[str, Any]:
    given = {}
    for name, member in (shape.members if shape else {}).items():
        in_path = member.serialization.get("location") == "uri"  # without it there is no request
        if draw.random() < (1 if in_path else 0.95 if name in shape.required_members else 0.4):
            given[name] = _SOUND[name] if name in _SOUND and draw.random() < 0.5 else _value(draw, member)
    return given


def _value(draw: random.Random, shape: Any) -> Any:
    if shape.type_name == "list":
        return [_value(draw, shape.member) for _ in range(draw.choice((0, 1, 2, 60)))]
    if shape.type_name == "structure":
        return {name: _value(draw, member) for name, member in shape.members.items() if draw.random() < 0.8}
    if shape.type_name in ("integer", "long"):
        return draw.choice((-1, 0, 1, 900, 3600, 43200, 10**9, 2**40))
    if shape.type_name == "map":
        return {draw.choice(_TEXTS): _value(draw, shape.value) for _ in range(draw.choice((0, 1, 60)))}
    if shape.type_name == "timestamp":
        return draw.choice((0, 1, 2**31, "2026-01-01T00:00:00Z", datetime.max.replace(tzinfo=UTC)))
    return draw.random() < 0.5 if shape.type_name == "boolean" else draw.choice(_TEXTS)
