"""Where the service's records are: collections, keys and encodings, for `records.py` and `function_changes.py` alone."""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec

from lambdad.model.code_signing import CodeSigningConfig
from lambdad.model.layer import LayerVersion
from lambdad.services.lambda_.stored_function import FunctionKey, Stack
from lambdad.store.base import Record

FUNCTIONS = "lambda-function"  #: account/region/name
VERSIONS = "lambda-version"  #: account/region/name/0000000001
ALIASES = "lambda-alias"  #: account/region/name/alias
POLICIES = "lambda-policy"  #: account/region/name/qualifier, the qualifier empty for the function itself
EVENT_CONFIGS = "lambda-event-invoke-config"  #: account/region/name/qualifier, "$LATEST" for the function itself
URLS = "lambda-url"  #: account/region/name/qualifier, "$LATEST" for the function itself
URL_OWNERS = "lambda-url-owner"  #: a URL's id: whose it is, as the key in URLS
SECRETS = "lambda-secret"  #: what this installation makes things from that nobody should guess
PROVISIONED = "lambda-provisioned-concurrency"  #: account/region/name/qualifier
RESERVES = "lambda-reserved-concurrency"  #: account/region/name of functions that have a reserve: how much
UNSETTLED = "lambda-unsettled"  #: account/region/name of functions that wait to become ready
LAYERS = "lambda-layer"  #: account/region/name: highest version number given, kept for ever
LAYER_VERSIONS = "lambda-layer-version"  #: account/region/name/0000000001
LAYER_POLICIES = "lambda-layer-policy"  #: as layer versions
SCALING = "lambda-function-scaling"  #: account/region/name/version of managed instances
LAST_USES = "lambda-last-use"  #: account/region/name/version that holds what can be taken back: the time, if it is known
PROVIDERS = "lambda-capacity-provider"  #: account/region/name
PROVIDER_USES = "lambda-capacity-provider-use"  #: account/region/provider/function/version
STACKS = "lambda-layer-stack"  #: SHA-256 of the digests/owner: who needs several layers unpacked one over the other

SIGNING_CONFIGS = "lambda-code-signing-config"  #: account/region/id
SIGNING_USES = "lambda-code-signing-use"  #: account/region/id of a code signing configuration/name of a function that has it

T = TypeVar("T")


def key_text(key: FunctionKey) -> str:
    return "/".join(key)


def function_of(record: Record) -> FunctionKey:
    """Whose record it is, where the key begins with the function's."""
    account_id, region, name, *_ = record.key.split("/")
    return account_id, region, name


def version_of(record: Record) -> str:
    """Where the key ends with a version."""
    number = record.key.rpartition("/")[2]
    return str(int(number)) if number.isdecimal() else number


def provider_use(record: Record) -> tuple[FunctionKey, str]:
    """The version that uses a capacity provider."""
    account_id, region, _, function, _ = record.key.split("/")
    return (account_id, region, function), version_of(record)


def layer_key(layer: LayerVersion) -> str:
    return f"{layer.account_id}/{layer.region}/{layer.name}/{number_text(layer.version)}"


def number_text(version: str | int) -> str:
    """Version numbers in the order of their text, behind the versions that have none."""
    return f"{int(version):010d}" if isinstance(version, int) or version.isdecimal() else version


def stack_key(stack: Stack) -> str:
    return hashlib.sha256("\n".join(stack).encode()).hexdigest()


def signing_key(config: CodeSigningConfig) -> str:
    return f"{config.account_id}/{config.region}/{config.id}"


def encode(value: object) -> bytes:
    return msgspec.json.encode(value)


def decode(record: Record, kind: type[T]) -> T:
    return msgspec.json.decode(record.value, type=kind)
