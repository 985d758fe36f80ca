"""Container images made by hand, as a layout in a folder, as a `docker save` file, and pushed to a registry."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.image_layers import Entry, diff_id, in_zstd, layer_tar, zipped

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
#: How the tar of a layer may be kept, by the media type's end.
COMPRESSIONS: Mapping[str, Callable[[bytes], bytes]] = {"tar": bytes, "tar+gzip": zipped, "tar+zstd": in_zstd}


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True, slots=True)
class HandMade:
    """An image: its manifest, and everything that it names."""

    manifest: bytes
    config: bytes
    tars: Sequence[bytes]
    blobs: Mapping[str, bytes] = field(default_factory=dict)  #: by "sha256:...", without the manifest

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)


def image(
    *layers: Sequence[Entry], architecture: str = "amd64", compressions: Sequence[str] = (), **settings: Any
) -> HandMade:  # fmt: skip
    """`settings` are those of the configuration: Entrypoint, Cmd, Env, WorkingDir. `compressions` are those of the first
    layers; the others are in gzip."""
    tars = [layer_tar(entries) for entries in layers]
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id(tar)}" for tar in tars]},
        }
    ).encode()
    kinds = [*compressions, *["tar+gzip"] * (len(tars) - len(compressions))]
    parts = [COMPRESSIONS[kind](tar) for kind, tar in zip(kinds, tars, strict=True)]
    types = [LAYER.replace("tar+gzip", kind) for kind in kinds]
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described(config, CONFIG),
            "layers": [described(part, media_type) for part, media_type in zip(parts, types, strict=True)],
        }
    ).encode()
    return HandMade(manifest, config, tars, {digest_of(part): part for part in (config, *parts)})


def described(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), **more}


def write_layout(folder: Path, images: Mapping[str, HandMade]) -> Path:
    """An OCI image layout with images by name."""
    (folder / "blobs/sha256").mkdir(parents=True)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    described_images = []
    for name, made in images.items():
        for data in (made.manifest, *made.blobs.values()):
            (folder / "blobs/sha256" / digest_of(data)[7:]).write_bytes(data)
        described_images.append(described(made.manifest, MANIFEST, annotations={"org.opencontainers.image.ref.name": name}))
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": described_images}))
    return folder


def write_archive(file: Path, images: Mapping[str, HandMade]) -> Path:
    """What `docker save` writes, with images by "repository:tag"."""
    listed, members = [], {}
    for name, made in images.items():
        config = f"{digest_of(made.config)[7:]}.json"
        layers = [f"{digest_of(tar)[7:]}/layer.tar" for tar in made.tars]
        members |= {config: made.config, **dict(zip(layers, made.tars, strict=True))}
        listed.append({"Config": config, "RepoTags": [name], "Layers": layers})
    with tarfile.open(file, "w") as tar:
        for path, data in {**members, "manifest.json": json.dumps(listed).encode()}.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return file


class RegistryClient:
    """A client of the distribution API that keeps to its letter; each call returns status, headers and body."""

    def __init__(self, endpoint: str, repository: str, authorization: str = "") -> None:
        self.endpoint = endpoint
        self._base = f"/v2/{repository}/"
        self._authorization = authorization

    def ask(
        self, method: str, path: str, data: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:  # fmt: skip
        url = self.endpoint + (path if path.startswith("/") else self._base + path)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self._authorization:
            sent["Authorization"] = self._authorization
        request = urllib.request.Request(url, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, {key.lower(): value for key, value in answer.headers.items()}, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {key.lower(): value for key, value in error.headers.items()}, error.read()

    def upload(self, data: bytes, piece_bytes: int = 1 << 20) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = self.ask("POST", "blobs/uploads/", b"")
        if status != 202:
            return status, headers, body
        for start in range(0, len(data), piece_bytes):
            piece = data[start : start + piece_bytes]
            status, headers, body = self.ask(
                "PATCH", headers["location"], piece, Content_Range=f"{start}-{start + len(piece) - 1}"
            )
            assert status == 202, body
        return self.ask("PUT", f"{headers['location']}?digest={digest_of(data)}", b"")

    def push(self, made: HandMade, tag: str) -> None:
        for data in made.blobs.values():
            status, _, body = self.upload(data)
            assert status == 201, body
        status, _, body = self.ask("PUT", f"manifests/{tag}", made.manifest, Content_Type=MANIFEST)
        assert status == 201, body


def error_code(body: bytes) -> str:
    return json.loads(body)["errors"][0]["code"]
