"""Where function URLs are: under hosts of their own, and under one path for clients that cannot resolve those."""

from __future__ import annotations

import re
from dataclasses import dataclass

PATH = "/_lambdad/url"

_LABEL = ".lambda-url."
_HOST = re.compile(r"(?P<id>[a-z0-9]{1,63})\.lambda-url\.(?P<region>[a-z0-9-]{1,40})\.[a-z0-9.-]{1,200}(?::\d{1,5})?")
_PATH = re.compile(rf"{PATH}/(?P<id>[a-z0-9]{{1,63}})(?P<path>/.*)?", re.DOTALL)
_LOOPBACK = re.compile(r"localhost|127(?:\.\d{1,3}){3}|\[::1\]|(?:.+\.)?localhost")
_WITH_PORT = re.compile(r"(?:[^:]*|\[.*\]):\d+")
#: Domains below which every name is this machine.
_OPEN_DOMAIN = "localhost.localstack.cloud"


@dataclass(frozen=True, slots=True)
class UrlAddress:
    url_id: str
    region: str | None  #: None where the path named the URL
    path: str  #: undecoded, below the URL

    @property
    def is_in_path(self) -> bool:
        return self.region is None


def owns(host: str, raw_path: str) -> bool:
    """Whatever has the look of a function URL is none of the API's, also where it turns out to be none."""
    return _LABEL in host or raw_path == PATH or raw_path.startswith(PATH + "/")


def address_of(host: str, raw_path: str) -> UrlAddress | None:
    """The host counts before the path, so that a function may have paths that look like lambdad's own."""
    if _LABEL in host:
        named = _HOST.fullmatch(host)
        return UrlAddress(named["id"], named["region"], raw_path or "/") if named else None
    below = _PATH.fullmatch(raw_path)
    return UrlAddress(below["id"], None, below["path"] or "/") if below else None


def host_of(url_id: str, region: str) -> str:
    return f"{url_id}{_LABEL}{region}.localhost"


def url_for(endpoint: str, url_id: str, region: str) -> str:
    """The URL as the client that came by `endpoint` can use it: names below an address or a stranger's host do not resolve."""
    scheme, _, netloc = endpoint.partition("://")
    host, colon, port = netloc.rpartition(":") if _WITH_PORT.fullmatch(netloc) else (netloc, "", "")
    host = host.lower()
    if host == _OPEN_DOMAIN or host.endswith("." + _OPEN_DOMAIN):
        return f"{scheme}://{url_id}{_LABEL}{region}.{_OPEN_DOMAIN}{colon}{port}/"
    if _LOOPBACK.fullmatch(host):
        return f"{scheme}://{host_of(url_id, region)}{colon}{port}/"
    return f"{endpoint}{PATH}/{url_id}/"
