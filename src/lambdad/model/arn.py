"""Names and ARNs of functions and layers, in all the forms that the API takes."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from lambdad.errors import ServiceError
from lambdad.model.managed import LATEST_PUBLISHED, ProviderKey
from lambdad.model.version import LATEST

MAX_BARE_NAME = 64

_REGION = r"(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d"
_FUNCTION = re.compile(
    rf"(?:arn:aws[a-zA-Z-]*:lambda:)?(?:(?P<region>{_REGION}):)?(?:(?P<account>\d{{12}}):)?(?:function:)?"
    r"(?P<name>[a-zA-Z0-9-_]+)(?::(?P<qualifier>\$LATEST(?:\.PUBLISHED)?|[a-zA-Z0-9-_]+))?",
    re.ASCII,
)
_LAYER = re.compile(
    rf"arn:aws[a-zA-Z-]*:lambda:(?P<region>{_REGION}):(?P<account>\d{{12}}):layer:(?P<name>[a-zA-Z0-9-_]+)(?::(?P<version>\d+))?",
    re.ASCII,
)
_PROVIDER = re.compile(
    rf"(?:arn:aws[a-zA-Z-]*:lambda:(?P<region>{_REGION}):(?P<account>\d{{12}}):capacity-provider:)?(?P<name>[a-zA-Z0-9-_]+)",
    re.ASCII,
)
_ROLE = re.compile(r"arn:aws[a-zA-Z-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+", re.ASCII)


class FunctionName(msgspec.Struct, frozen=True):
    """A function, and the version or alias of it that was asked for, if any."""

    account_id: str
    region: str
    name: str
    qualifier: str | None = None

    @property
    def arn(self) -> str:
        """Without the qualifier."""
        return function_arn(self.account_id, self.region, self.name)

    @property
    def qualified_arn(self) -> str:
        """With the qualifier where one was asked for."""
        return function_arn(self.account_id, self.region, self.name, self.qualifier)

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.account_id, self.region, self.name)


@dataclass(frozen=True, slots=True)
class LayerName:
    account_id: str
    region: str
    name: str
    version: int | None = None

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account_id}:layer:{self.name}"

    @property
    def version_arn(self) -> str:
        return f"{self.arn}:{self.version}"

    def at(self, version: int) -> LayerName:
        return LayerName(self.account_id, self.region, self.name, version)


def function_arn(account_id: str, region: str, name: str, qualifier: str | None = None) -> str:
    suffix = f":{qualifier}" if qualifier else ""
    return f"arn:aws:lambda:{region}:{account_id}:function:{name}{suffix}"


def parse_function_name(text: str, account_id: str, region: str, qualifier: str | None = None) -> FunctionName:
    """Reads `name`, `name:qualifier`, `account:function:name[:qualifier]` or an ARN, beside a `Qualifier` parameter."""
    match = _FUNCTION.fullmatch(text)
    if match is None:
        raise ServiceError(
            "InvalidParameterValueException",
            f"1 validation error detected: Value '{text}' at 'functionName' failed to satisfy constraint: Member must satisfy "
            r"regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?"
            r"(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?",
        )
    name = match["name"]
    if len(name) > MAX_BARE_NAME:
        raise ServiceError(
            "InvalidParameterValueException",
            f"1 validation error detected: Value '{text}' at 'functionName' failed to satisfy constraint: "
            f"Member must have length less than or equal to {MAX_BARE_NAME}",
        )
    if match["region"] and match["region"] != region:
        raise ServiceError(
            "ResourceNotFoundException",
            f"Functions from '{match['region']}' are not reachable in this region ('{region}')",
        )
    named = match["qualifier"]
    if named and qualifier and named != qualifier:
        raise ServiceError(
            "InvalidParameterValueException",
            "The derived qualifier from the function name does not match the specified qualifier.",
        )
    return FunctionName(match["account"] or account_id, region, name, qualifier or named)


def parse_layer_name(text: str, account_id: str, region: str, version: int | None = None) -> LayerName:
    """Reads a layer's bare name or its ARN; a version in the ARN is kept unless `version` is given."""
    match = _LAYER.fullmatch(text)
    if match is not None:
        named = int(match["version"]) if match["version"] else None
        return LayerName(match["account"], match["region"], match["name"], version if version is not None else named)
    if not re.fullmatch(r"[a-zA-Z0-9-_]{1,140}", text):
        raise ServiceError(
            "InvalidParameterValueException",
            f"1 validation error detected: Value '{text}' at 'layerName' failed to satisfy constraint: Member must be a "
            "layer's name ([a-zA-Z0-9-_]{1,140}) or its ARN",
        )
    return LayerName(account_id, region, text, version)


def parse_layer_version_arn(text: str) -> LayerName | None:
    """A layer version's ARN, or None for anything else."""
    match = _LAYER.fullmatch(text)
    if match is None or not match["version"]:
        return None
    return LayerName(match["account"], match["region"], match["name"], int(match["version"]))


def parse_provider_name(text: str, account_id: str, region: str) -> ProviderKey:
    """Reads a capacity provider's name or its ARN."""
    match = _PROVIDER.fullmatch(text)
    if match is None or len(match["name"]) > MAX_BARE_NAME:
        raise ServiceError(
            "InvalidParameterValueException",
            f"A capacity provider is named by [a-zA-Z0-9-_]+, at most {MAX_BARE_NAME} characters, or by its ARN; got {text}",
        )
    if match["region"] and match["region"] != region:
        raise ServiceError("ResourceNotFoundException", f"Capacity provider not found: {text}")
    return match["account"] or account_id, region, match["name"]


def is_role_arn(text: str) -> bool:
    return _ROLE.fullmatch(text) is not None


def is_version(qualifier: str) -> bool:
    """Whether the qualifier names a version rather than an alias."""
    return qualifier in (LATEST, LATEST_PUBLISHED) or qualifier.isdecimal()
