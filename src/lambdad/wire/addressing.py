"""What a host name says: a bucket, a service, or nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Under these names a service or a bucket may stand; "localhost" resolves below itself in browsers and most resolvers.
_DOMAINS = r"(?:localhost\.localstack\.cloud|localhost|lambdad\.internal|amazonaws\.com(?:\.cn)?)"
_BUCKET = r"(?P<bucket>[a-z0-9][a-z0-9._-]{1,61}[a-z0-9])"
_S3_HOST = re.compile(rf"{_BUCKET}\.s3[.-](?:dualstack\.)?(?:[a-z0-9-]+\.)?(?P<domain>{_DOMAINS})")
_PLAIN_HOST = re.compile(rf"{_BUCKET}\.(?P<domain>localhost|localhost\.localstack\.cloud)")
_SERVICE_HOST = re.compile(rf"(?P<service>[a-z0-9-]+)(?:\.dualstack)?(?:\.[a-z0-9-]+)?\.{_DOMAINS}")


@dataclass(frozen=True, slots=True)
class HostMeaning:
    bucket: str | None = None
    service: str | None = None  #: the endpoint prefix: "lambda", "s3"
    base: str = ""  #: the host without the bucket, with its port


def meaning_of(host: str, endpoint_prefixes: frozenset[str]) -> HostMeaning:
    """Reads `bucket.s3.REGION.domain`, `bucket.localhost` and `service.REGION.domain`; a served service's name wins."""
    name, _, port = host.lower().partition(":")
    suffix = f":{port}" if port else ""
    if found := _S3_HOST.fullmatch(name):
        return HostMeaning(found["bucket"], "s3", name[len(found["bucket"]) + 1 :] + suffix)
    if (found := _SERVICE_HOST.fullmatch(name)) and found["service"] in endpoint_prefixes:
        return HostMeaning(None, found["service"], host)
    if found := _PLAIN_HOST.fullmatch(name):
        return HostMeaning(found["bucket"], "s3", found["domain"] + suffix)
    return HostMeaning(base=host)
