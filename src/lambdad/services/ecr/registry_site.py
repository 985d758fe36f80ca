"""The registry: what docker, podman, skopeo and crane push to and pull from (OCI distribution specification 1.1).

Repositories have to be there before something is pushed to them, as with ECR, and nothing is deleted by this way.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

import msgspec

from lambdad.errors import ServiceError
from lambdad.images.account_share import Arriving
from lambdad.images.document import MOST_BYTES
from lambdad.images.reference import DIGEST, REPOSITORY
from lambdad.model.permission import Parameters, Permission
from lambdad.model.request import Principal, RequestContext
from lambdad.model.site import SiteCaller, SiteRequest, SiteResponse
from lambdad.services.ecr.image import document_of, find, keep_manifest
from lambdad.services.ecr.model import RepositoryName, StoredManifest
from lambdad.services.ecr.repository import existing
from lambdad.services.ecr.state import EcrState
from lambdad.services.ecr.token import USER, read_basic
from lambdad.services.ecr.upload import Upload, Uploads

logger = logging.getLogger(__name__)

_PATH = re.compile(r"/v2/(?P<name>[^?]{1,300}?)/(?P<what>manifests|blobs/uploads|blobs|tags)/(?P<rest>[^/?]*)")
_HOST = re.compile(r"(?P<account>[0-9]{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.")
_VERSION = ("docker-distribution-api-version", "registry/2.0")
_RANGE = re.compile(r"([0-9]{1,15})-([0-9]{1,15})")
#: The right that each kind of request asks for; the rest needs none.
_ACTIONS: Mapping[tuple[str, str], str] = {
    ("manifests", "GET"): "BatchGetImage",
    ("manifests", "HEAD"): "BatchGetImage",
    ("manifests", "PUT"): "PutImage",
    ("blobs", "GET"): "GetDownloadUrlForLayer",
    ("blobs", "HEAD"): "BatchCheckLayerAvailability",
    ("blobs/uploads", "POST"): "InitiateLayerUpload",
    ("blobs/uploads", "GET"): "UploadLayerPart",
    ("blobs/uploads", "PATCH"): "UploadLayerPart",
    ("blobs/uploads", "PUT"): "CompleteLayerUpload",
    ("blobs/uploads", "DELETE"): "UploadLayerPart",
    ("tags", "GET"): "ListImages",
}
#: ECR's errors in the registry's words.
_CODES = {
    "RepositoryNotFoundException": ("NAME_UNKNOWN", 404),
    "InvalidParameterException": ("MANIFEST_INVALID", 400),
    "LayersNotFoundException": ("MANIFEST_BLOB_UNKNOWN", 404),
    "ReferencedImagesNotFoundException": ("MANIFEST_UNKNOWN", 404),
    "ImageTagAlreadyExistsException": ("TAG_INVALID", 400),
    "AccessDeniedException": ("DENIED", 403),
    "RequestEntityTooLargeException": ("MANIFEST_INVALID", 413),
    "LimitExceededException": ("DENIED", 403),
}


@dataclass(frozen=True, slots=True)
class _Asked:
    request: SiteRequest
    caller: SiteCaller
    name: RepositoryName
    rest: str
    query: Mapping[str, str]


class RegistrySite:
    """`model.site.Site` for everything below /v2/ that is a registry's."""

    def __init__(self, state: EcrState, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._state = state
        self._uploads = Uploads(state.blobs, monotonic, state.records.shares, state.quotas.image_layer_bytes)
        self._answers: Mapping[tuple[str, str], Callable[[_Asked], Awaitable[SiteResponse]]] = {
            ("manifests", "GET"): self._get_manifest,
            ("manifests", "HEAD"): self._get_manifest,
            ("manifests", "PUT"): self._put_manifest,
            ("blobs", "GET"): self._get_blob,
            ("blobs", "HEAD"): self._get_blob,
            ("blobs/uploads", "POST"): self._begin_upload,
            ("blobs/uploads", "GET"): self._show_upload,
            ("blobs/uploads", "PATCH"): self._add_to_upload,
            ("blobs/uploads", "PUT"): self._finish_upload,
            ("blobs/uploads", "DELETE"): self._cancel_upload,
            ("tags", "GET"): self._list_tags,
        }

    def owns(self, host: str, raw_path: str) -> bool:
        return raw_path in ("/v2", "/v2/") or _PATH.fullmatch(raw_path) is not None

    async def answer(self, request: SiteRequest) -> SiteResponse:
        try:
            return await self._answered(request)
        except ServiceError as error:
            code, status = _CODES.get(error.code, (error.code, error.status or 400))
            return _refusal(status, code, error.message)

    async def close(self) -> None:
        await self._uploads.close()

    async def end_idle_uploads(self) -> None:
        await self._uploads.end_idle()

    async def _answered(self, request: SiteRequest) -> SiteResponse:
        caller = self._caller(request)
        if caller is None:
            message = f"Log in as {USER}, with a password of GetAuthorizationToken."
            return _refusal(401, "UNAUTHORIZED", message, [("www-authenticate", 'Basic realm="lambdad"')])
        matched = _PATH.fullmatch(request.raw_path)
        if matched is None:
            return SiteResponse(200, [_VERSION, ("content-type", "application/json")], b"{}")
        answer = self._answers.get((matched["what"], request.method))
        if answer is None:
            return _refusal(405, "UNSUPPORTED", f"{request.method} is not possible here: use the API of ECR.")
        if not REPOSITORY.fullmatch(matched["name"]):
            raise ServiceError("NAME_INVALID", "That is not the name of a repository.", status=400)
        name = self._named(request, caller, matched["name"])
        await request.permit(caller, (_permission(_ACTIONS[matched["what"], request.method], name),))
        await existing(self._state, name)
        query = {key: values[-1] for key, values in parse_qs(request.raw_query).items()}
        return await answer(_Asked(request, caller, name, unquote(matched["rest"]), query))

    def _caller(self, request: SiteRequest) -> SiteCaller | None:
        """Who asks; None where that has to be said, and was not."""
        state = self._state
        given = read_basic(request.headers.get("authorization", ""))
        key = state.tokens.access_key_of(given[1]) if given and given[0] == USER else None
        principal = state.principal_of(key) if key is not None else None
        if principal is None and state.is_enforced:
            return None
        account_id = key if key is not None and re.fullmatch("[0-9]{12}", key) else state.account_id
        return SiteCaller(principal or Principal(account_id, f"arn:aws:iam::{account_id}:root"), state.region)

    def _named(self, request: SiteRequest, caller: SiteCaller, name: str) -> RepositoryName:
        host = _HOST.match(request.host)
        if host:
            return RepositoryName(host["account"], host["region"], name)
        return RepositoryName(caller.principal.account_id, self._state.region, name)

    # Manifests

    async def _get_manifest(self, asked: _Asked) -> SiteResponse:
        manifest = await find(self._state, asked.name, asked.rest)
        try:
            data = await document_of(self._state, manifest) if manifest is not None else b""
        except KeyError:  # it went in this moment
            manifest = None
        if manifest is None:
            raise ServiceError("MANIFEST_UNKNOWN", f"There is no image {asked.rest[:140]} in {asked.name.name}.", status=404)
        return SiteResponse(200, [*_manifest_headers(manifest), ("content-type", manifest.media_type)], data)

    async def _put_manifest(self, asked: _Asked) -> SiteResponse:
        data = await asked.request.body(MOST_BYTES)
        tag = None
        if asked.rest.startswith("sha256:"):
            if asked.rest != f"sha256:{hashlib.sha256(data).hexdigest()}":
                raise ServiceError("DIGEST_INVALID", "The manifest is not the one that its address names.", status=400)
        else:
            tag = asked.rest
        media_type = asked.request.headers.get("content-type", "")
        manifest = await keep_manifest(self._state, asked.name, data, media_type, tag)
        location = f"/v2/{asked.name.name}/manifests/sha256:{manifest.digest}"
        return SiteResponse(201, [*_manifest_headers(manifest), ("location", location)])

    async def _list_tags(self, asked: _Asked) -> SiteResponse:
        if asked.rest != "list":
            raise ServiceError("NAME_UNKNOWN", "Tags are at tags/list.", status=404)
        tags = [tag for tag in await self._state.records.tags(asked.name) if tag > asked.query.get("last", "")]
        wanted = asked.query.get("n", "")
        shown = tags[: int(wanted)] if wanted.isdecimal() and len(wanted) < 9 else tags
        headers = [_VERSION, ("content-type", "application/json")]
        if len(shown) < len(tags) and shown:
            headers.append(("link", f'</v2/{asked.name.name}/tags/list?n={wanted}&last={shown[-1]}>; rel="next"'))
        return SiteResponse(200, headers, msgspec.json.encode({"name": asked.name.name, "tags": shown}))

    # Parts

    async def _get_blob(self, asked: _Asked) -> SiteResponse:
        digest, records = _digest(asked.rest), self._state.records
        if asked.request.method == "HEAD":  # whoever pushes asks so what need not be sent
            is_there = await records.has_part_for_push(asked.name, digest, self._state.clock())
        else:
            is_there = await records.has_part(asked.name, digest)
        if not is_there:
            raise ServiceError("BLOB_UNKNOWN", f"There is no part {asked.rest} in {asked.name.name}.", status=404)
        size = self._state.blobs.path(digest).stat().st_size
        headers = [
            _VERSION,
            ("content-type", "application/octet-stream"),
            ("content-length", str(size)),
            ("docker-content-digest", f"sha256:{digest}"),
        ]
        return SiteResponse(200, headers, self._pieces(digest))

    async def _pieces(self, digest: str) -> AsyncIterator[bytes]:
        async with self._state.blobs.pin(digest):
            async for piece in self._state.blobs.read(digest):
                yield piece

    async def _begin_upload(self, asked: _Asked) -> SiteResponse:
        if "mount" in asked.query and await self._mount(asked):
            return _created(asked.name, _digest(asked.query["mount"]))
        if "digest" in asked.query:
            _digest(asked.query["digest"])  # before anything is begun
        upload = await self._uploads.begin(asked.name)
        if "digest" in asked.query:
            async with upload.turn:
                return await self._complete(upload, asked)
        return _under_way(202, upload)

    async def _mount(self, asked: _Asked) -> bool:
        """What another repository of the same account and Region has need not be sent by who may pull it from there."""
        digest, source = _digest(asked.query["mount"]), asked.query.get("from", "")
        if not REPOSITORY.fullmatch(source):
            return False
        other = RepositoryName(asked.name.account_id, asked.name.region, source)
        if not await self._state.records.has_part(other, digest):
            return False
        try:
            await asked.request.permit(asked.caller, (_permission(_ACTIONS["blobs", "GET"], other),))
        except ServiceError:
            return False
        try:
            async with self._state.blobs.pin(digest):
                await self._keep(asked.name, digest)
        except KeyError:  # it went in this moment
            return False
        return True

    async def _show_upload(self, asked: _Asked) -> SiteResponse:
        return _under_way(204, self._uploads.find(asked.name, asked.rest))

    async def _add_to_upload(self, asked: _Asked) -> SiteResponse:
        async with self._uploads.turn(asked.name, asked.rest) as upload:
            _check_range(upload, asked.request.headers)
            await upload.add(asked.request.stream())
        return _under_way(202, upload)

    async def _finish_upload(self, asked: _Asked) -> SiteResponse:
        async with self._uploads.turn(asked.name, asked.rest) as upload:
            if "digest" not in asked.query:
                raise ServiceError("DIGEST_INVALID", "The digest of the part is missing.", status=400)
            _check_range(upload, asked.request.headers)
            return await self._complete(upload, asked)

    async def _complete(self, upload: Upload, asked: _Asked) -> SiteResponse:
        """For who holds it."""
        wanted = _digest(asked.query["digest"])
        try:
            await upload.add(asked.request.stream())
            digest = await upload.finish()
            if digest != wanted:
                raise ServiceError("DIGEST_INVALID", f"What was sent is sha256:{digest}.", status=400)
            await self._keep(asked.name, digest, upload.arriving)
        finally:
            await self._uploads.end(upload)
        return _created(asked.name, digest)

    async def _cancel_upload(self, asked: _Asked) -> SiteResponse:
        async with self._uploads.turn(asked.name, asked.rest) as upload:
            await self._uploads.end(upload)
        return SiteResponse(204, [_VERSION])

    async def _keep(self, name: RepositoryName, digest: str, arriving: Arriving | None = None) -> None:
        async with self._state.records.changing(name):
            await existing(self._state, name)
            await self._state.records.add_part(name, digest, self._state.clock(), arriving)


def _permission(action: str, name: RepositoryName) -> Permission:
    def resource(context: RequestContext, parameters: Parameters) -> str:
        return name.arn

    return Permission(f"ecr:{action}", resource)


def _digest(text: str) -> str:
    matched = DIGEST.fullmatch(text)
    if matched is None:
        raise ServiceError("DIGEST_INVALID", f"{text[:80]!r} is not a digest: sha256: and 64 hexadecimal digits.", status=400)
    return matched[1]


def _check_range(upload: Upload, headers: Mapping[str, str]) -> None:
    """Pieces come in order; one that was sent again after its answer was lost begins where none is awaited."""
    text = headers.get("content-range")
    if text is None:
        return
    matched = _RANGE.fullmatch(text)
    if matched is None or int(matched[1]) != upload.received:
        raise ServiceError("BLOB_UPLOAD_INVALID", f"The next piece begins at {upload.received}.", status=416)


def _manifest_headers(manifest: StoredManifest) -> list[tuple[str, str]]:
    return [_VERSION, ("docker-content-digest", f"sha256:{manifest.digest}")]


def _under_way(status: int, upload: Upload) -> SiteResponse:
    headers = [
        _VERSION,
        ("location", f"/v2/{upload.name.name}/blobs/uploads/{upload.upload_id}"),
        ("range", f"0-{max(0, upload.received - 1)}"),
        ("docker-upload-uuid", upload.upload_id),
    ]
    return SiteResponse(status, headers)


def _created(name: RepositoryName, digest: str) -> SiteResponse:
    location = f"/v2/{name.name}/blobs/sha256:{digest}"
    return SiteResponse(201, [_VERSION, ("location", location), ("docker-content-digest", f"sha256:{digest}")])


def _refusal(status: int, code: str, message: str, headers: list[tuple[str, str]] | None = None) -> SiteResponse:
    body = msgspec.json.encode({"errors": [{"code": code, "message": message}]})
    return SiteResponse(status, [_VERSION, ("content-type", "application/json"), *(headers or [])], body)
