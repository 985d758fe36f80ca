"""Names and ARNs in all their forms."""

from __future__ import annotations

import pytest

from lambdad.errors import ServiceError
from lambdad.model.arn import (
    FunctionName,
    LayerName,
    is_role_arn,
    is_version,
    parse_function_name,
    parse_layer_name,
    parse_layer_version_arn,
)

ACCOUNT, REGION = "123456789012", "us-east-1"
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"


@pytest.mark.parametrize(
    ("text", "qualifier", "name", "expected"),
    [
        ("f", None, "f", None),
        ("f:1", None, "f", "1"),
        ("f", "live", "f", "live"),
        ("f:live", "live", "f", "live"),
        ("f:$LATEST", None, "f", "$LATEST"),
        (f"{ACCOUNT}:function:f", None, "f", None),
        (f"{ACCOUNT}:function:f:2", None, "f", "2"),
        (f"{ACCOUNT}:f", None, "f", None),
        ("function:f", None, "f", None),
        (ARN, None, "f", None),
        (f"{ARN}:live", None, "f", "live"),
        (f"{REGION}:{ACCOUNT}:function:f", None, "f", None),
        ("x" * 64, None, "x" * 64, None),
    ],
)
def test_function_names(text: str, qualifier: str | None, name: str, expected: str | None) -> None:
    """Every form of a name gives the function and the qualifier."""
    assert parse_function_name(text, ACCOUNT, REGION, qualifier) == FunctionName(ACCOUNT, REGION, name, expected)


@pytest.mark.parametrize(
    ("text", "qualifier", "code"),
    [
        ("", None, "InvalidParameterValueException"),
        ("a b", None, "InvalidParameterValueException"),
        ("f:1:2", None, "InvalidParameterValueException"),
        ("f\n", None, "InvalidParameterValueException"),
        ("f:$OTHER", None, "InvalidParameterValueException"),
        ("x" * 65, None, "InvalidParameterValueException"),
        ("f:1", "2", "InvalidParameterValueException"),
        ("arn:aws:lambda:eu-west-1:123456789012:function:f", None, "ResourceNotFoundException"),
        ("arn:aws:sqs:us-east-1:123456789012:f", None, "InvalidParameterValueException"),
        ("١٢٣٤٥٦٧٨٩٠١٢:function:f", None, "InvalidParameterValueException"),
    ],
)
def test_bad_function_names(text: str, qualifier: str | None, code: str) -> None:
    """What is no name of a function here is refused."""
    with pytest.raises(ServiceError) as caught:
        parse_function_name(text, ACCOUNT, REGION, qualifier)
    assert caught.value.code == code


def test_another_account_is_kept() -> None:
    """An ARN of another account keeps it, for the caller to judge."""
    name = parse_function_name(ARN.replace(ACCOUNT, "210987654321"), ACCOUNT, REGION)
    assert name.account_id == "210987654321"
    assert name.qualified_arn == ARN.replace(ACCOUNT, "210987654321")


def test_layer_names() -> None:
    """A layer is named bare, by its ARN, or by the ARN of a version."""
    layer = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l"
    assert parse_layer_name("l", ACCOUNT, REGION) == LayerName(ACCOUNT, REGION, "l")
    assert parse_layer_name(layer, "0" * 12, "eu-west-1") == LayerName(ACCOUNT, REGION, "l")
    assert parse_layer_name(f"{layer}:3", ACCOUNT, REGION) == LayerName(ACCOUNT, REGION, "l", 3)
    assert parse_layer_version_arn(f"{layer}:3") == LayerName(ACCOUNT, REGION, "l", 3)
    assert parse_layer_version_arn(layer) is None
    assert LayerName(ACCOUNT, REGION, "l").at(2).version_arn == f"{layer}:2"
    with pytest.raises(ServiceError):
        parse_layer_name("a/b", ACCOUNT, REGION)


def test_roles_and_versions() -> None:
    """Roles are IAM role ARNs; versions are $LATEST or numbers."""
    assert is_role_arn(f"arn:aws:iam::{ACCOUNT}:role/service-role/worker")
    assert not is_role_arn(f"arn:aws:iam::{ACCOUNT}:user/worker")
    assert is_version("$LATEST")
    assert is_version("12")
    assert not is_version("live")
