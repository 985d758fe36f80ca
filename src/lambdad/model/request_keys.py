"""The condition keys of one request. Each is made only when a policy asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from lambdad.model.permission import KeyReader, Parameters
from lambdad.model.policy import Caller
from lambdad.model.policy_evaluation import Subject
from lambdad.model.request import RequestContext

Values = tuple[str, ...] | None

#: Of who has not signed. AWS says "anonymous" for `aws:userid` too: a policy that asks for that would be public in disguise.
_ANYBODY = {"aws:principaltype": "Anonymous", "aws:principalisawsservice": "false"}


class RequestKeys:
    """`get` gives the values of a key, by its name in lower case. Of the caller first: a request cannot say who it is from."""

    __slots__ = ("_clock", "_context", "_extra", "_parameters", "_readers", "_resource_account", "_subject")

    def __init__(
        self,
        subject: Subject,
        context: RequestContext,
        resource_account: str | None,
        extra: Mapping[str, tuple[str, ...]] | None = None,
        *,
        readers: Mapping[str, KeyReader] | None = None,
        parameters: Parameters | None = None,
        clock: Callable[[], float],
    ) -> None:
        self._subject = subject
        self._context = context
        self._resource_account = resource_account
        self._extra = extra or {}
        self._readers = readers or {}
        self._parameters = parameters or {}
        self._clock = clock

    def get(self, key: str) -> Values:
        of_subject = self._subject.keys.get(key) if self._subject.keys else None
        if of_subject is not None:
            return of_subject
        if key in self._extra:
            return self._extra[key]
        reader = self._readers.get(key)
        if reader is not None:
            return reader(self._context, self._parameters)
        make = _OF_ANY_REQUEST.get(key)
        if make is not None:
            return make(self._context, self._clock)
        if key == "aws:resourceaccount" and self._resource_account:
            return (self._resource_account,)
        return self._tag_of_request(key)

    def _tag_of_request(self, key: str) -> Values:
        """Tags that a request sets: `aws:RequestTag/KEY` and `aws:TagKeys`."""
        if key != "aws:tagkeys" and not key.startswith("aws:requesttag/"):
            return None
        tags = _tags_in(self._parameters)
        if key == "aws:tagkeys":
            names = tuple(tags) or tuple(map(str, _tag_keys_in(self._parameters)))
            return names or None
        wanted = key.removeprefix("aws:requesttag/")
        return next(((value,) for name, value in tags.items() if name.lower() == wanted), None)


def caller_of(context: RequestContext, clock: Callable[[], float], more: Mapping[str, str]) -> Caller:
    """Who asks, to a resource's policy alone: anybody, where the context's principal has no ARN."""
    made = {key: make(context, clock) for key, make in _OF_ANY_REQUEST.items()}
    keys = {key: values[0] for key, values in made.items() if values}
    arn, account_id = context.principal.arn, context.principal.account_id
    if not arn:
        return Caller(context={**keys, **_ANYBODY, **more})
    named = {"aws:principalarn": arn, "aws:principalaccount": account_id, "aws:principalisawsservice": "false"}
    return Caller(principal_arn=arn, account_id=account_id, context={**keys, **named, **more})


def resource_tag_keys(service: str, tags: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The condition keys for the tags of a resource: `aws:ResourceTag/KEY`, and the service's own name for them."""
    return {f"{prefix}:resourcetag/{key.lower()}": (value,) for key, value in tags.items() for prefix in ("aws", service)}


def _tags_in(parameters: Parameters) -> dict[str, str]:
    given = parameters.get("Tags") or parameters.get("tags") or {}
    if isinstance(given, Mapping):
        return {str(key): str(value) for key, value in given.items()}
    return {str(tag["Key"]): str(tag.get("Value", "")) for tag in given if isinstance(tag, Mapping) and "Key" in tag}


def _tag_keys_in(parameters: Parameters) -> list[object]:
    for name in ("TagKeys", "tagKeys", "tags"):
        given = parameters.get(name)
        if isinstance(given, list):
            return [each for each in given if isinstance(each, str)]
    return []


def _header(name: str) -> Callable[[RequestContext, Callable[[], float]], Values]:
    def read(context: RequestContext, clock: Callable[[], float]) -> Values:
        value = context.headers.get(name)
        return None if value is None else (value,)

    return read


_OF_ANY_REQUEST: Mapping[str, Callable[[RequestContext, Callable[[], float]], Values]] = {
    "aws:sourceip": lambda context, clock: (context.source_ip,) if context.source_ip else None,
    "aws:currenttime": lambda context, clock: (datetime.fromtimestamp(clock(), UTC).isoformat(),),
    "aws:epochtime": lambda context, clock: (str(int(clock())),),
    "aws:requestedregion": lambda context, clock: (context.region,),
    "aws:securetransport": lambda context, clock: (str(context.endpoint.startswith("https:")).lower(),),
    "aws:viaawsservice": lambda context, clock: ("false",),
    "aws:useragent": _header("user-agent"),
    "aws:referer": _header("referer"),
}
