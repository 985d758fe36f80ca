"""ImageUri: where an image is, as its user writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

LATEST = "latest"
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[0-9]{1,5})?", re.IGNORECASE)
REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_MOST = 1024
_OWN = re.compile(
    r"(?P<account>[0-9]{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|localhost(?:\.localstack\.cloud)?)(?::[0-9]+)?"
)
_LOOPBACK = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]+)?")
_LOCAL = {"oci": "oci", "docker-archive": "docker-archive"}


class MalformedReference(ValueError):
    """It names no image; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class OwnImage:
    """In a repository of lambdad's own registry. Account and Region are None where the address leaves them open."""

    account_id: str | None
    region: str | None
    repository: str
    name: str  #: a tag, or "sha256:..."
    host: str = ""  #: as it was written, where it is one of this machine's own names: a registry of another program, perhaps


@dataclass(frozen=True, slots=True)
class RemoteImage:
    """In a registry elsewhere."""

    host: str  #: with the port, if the address has one
    repository: str
    name: str  #: a tag, or "sha256:..."


@dataclass(frozen=True, slots=True)
class LocalImage:
    """In a folder or file of this machine."""

    kind: str  #: "oci", an OCI layout, or "docker-archive", what `docker save` writes
    path: PurePosixPath  #: absolute
    name: str | None  #: its name in there; None where it is the only one


Reference = OwnImage | RemoteImage | LocalImage


def read_reference(uri: str) -> Reference:
    """MalformedReference for what names no image."""
    if not uri or len(uri) > _MOST or not uri.isprintable():
        raise MalformedReference(f"{uri[:80]!r} is not the address of an image")
    kind, colon, rest = uri.partition(":")
    if colon and kind in _LOCAL and rest.startswith("/"):
        return _local(kind, rest)
    host, slash, path = uri.partition("/")
    if not slash:
        raise MalformedReference(f"{uri!r} names no registry: REGISTRY/REPOSITORY:TAG")
    repository, name = _named(path)
    own = _OWN.fullmatch(host)
    if own:
        return OwnImage(own["account"], own["region"], repository, name)
    if _LOOPBACK.fullmatch(host):
        return OwnImage(None, None, repository, name, host.lower())
    if not _HOST.fullmatch(host) or ("." not in host and ":" not in host):
        raise MalformedReference(f"{host!r} is not the host of a registry")
    return RemoteImage(host.lower(), repository, name)


def _local(kind: str, rest: str) -> LocalImage:
    path, _, name = rest.partition(":")
    place = PurePosixPath(path)
    if ".." in place.parts:
        raise MalformedReference(f"{path!r} must not contain ..")
    return LocalImage(kind, place, name or None)


def _named(path: str) -> tuple[str, str]:
    """Repository, and tag or digest. A digest wins over a tag beside it, as everywhere."""
    rest, at, digest = path.partition("@")
    repository, colon, tag = rest.partition(":")
    if len(repository) > 256 or not REPOSITORY.fullmatch(repository):
        raise MalformedReference(f"{repository!r} is not the name of a repository")
    if at and not DIGEST.fullmatch(digest):
        raise MalformedReference(f"{digest!r} is not a digest: sha256: and 64 hexadecimal digits")
    if colon and not TAG.fullmatch(tag):
        raise MalformedReference(f"{tag!r} is not a tag")
    return repository, digest or tag or LATEST
