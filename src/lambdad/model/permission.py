"""What an operation asks of its caller: actions of the Service Authorization Reference, on which resources, with which keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lambdad.model.request import RequestContext

Parameters = Mapping[str, Any]
#: The ARN of what a request is about, or several.
Resource = Callable[[RequestContext, Parameters], str | Sequence[str]]
#: The values that a request has for a condition key; None when it has none.
KeyReader = Callable[[RequestContext, Parameters], tuple[str, ...] | None]


def everything(context: RequestContext, parameters: Parameters) -> str:
    """Of actions that are not about single resources."""
    return "*"


@dataclass(frozen=True, slots=True)
class Permission:
    action: str  #: "lambda:InvokeFunction"
    resource: Resource = everything
    keys: Mapping[str, KeyReader] = field(default_factory=dict)  #: condition keys in lower case
    applies: Callable[[Parameters], bool] | None = None  #: None: always
    is_optional: bool = False  #: without it the operation says less; see `RequestContext.withheld`


#: Of operations that any caller may use, whatever its policies say.
FREE: tuple[Permission, ...] = ()

Permissions = Mapping[str, tuple[Permission, ...]]


def permissions_for(
    service: str, operations: Iterable[str], resource: Resource = everything, **keys: KeyReader
) -> dict[str, tuple[Permission, ...]]:
    """Of operations whose action has their own name."""
    return {name: (Permission(f"{service}:{name}", resource, keys),) for name in operations}


def has(*path: str) -> Callable[[Parameters], bool]:
    """Whether a request gives a member."""

    def applies(parameters: Parameters) -> bool:
        return member(parameters, *path) not in (None, "", [], {})

    return applies


def member_key(*path: str) -> KeyReader:
    """A condition key that is a member of the request."""

    def read(context: RequestContext, parameters: Parameters) -> tuple[str, ...] | None:
        value = member(parameters, *path)
        if value is None:
            return None
        return tuple(map(str, value)) if isinstance(value, list) else (_text(value),)

    return read


def member(parameters: Any, *path: str) -> Any:
    for name in path:
        if not isinstance(parameters, Mapping):
            return None
        parameters = parameters.get(name)
    return parameters


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
