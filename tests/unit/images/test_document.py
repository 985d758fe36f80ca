"""Manifests, indexes and configurations: read, and refused with the reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambdad.images.document import DOCKER_LIST, Index, MalformedImage, Manifest, check_image, read_config, read_document
from lambdad.model.image import ImageCommand
from support.image_layers import Entry
from support.images import MANIFEST, described, image

TAR = "application/vnd.oci.image.layer.v1.tar"
DOCKER_TAR = "application/vnd.docker.image.rootfs.diff.tar"
MADE = image([Entry("a")], Entrypoint=["/e"], Cmd=["c"], Env=["A=1=2", "B="], WorkingDir="/w")


def changed(data: bytes, **members: Any) -> bytes:
    return json.dumps({**json.loads(data), **members}).encode()


@pytest.mark.parametrize("settings", [{"Cmd": ["x" * 70_000]}, {"Env": [f"A{n}=x" for n in range(9000)]}])
def test_what_starts_an_image_has_a_bounded_length(settings: dict[str, Any]) -> None:
    """It goes to every sandbox in one record."""
    with pytest.raises(MalformedImage, match="more than 65536 bytes"):
        read_config(image([Entry("a")], **settings).config)


def test_a_manifest_names_its_parts() -> None:
    """With digests and sizes, in the order of the layers."""
    manifest = read_document(MADE.manifest)
    assert isinstance(manifest, Manifest)
    assert [manifest.config.digest, *(layer.digest for layer in manifest.layers)] == list(MADE.blobs)


@pytest.mark.parametrize("kind", [TAR, f"{TAR}+zstd", DOCKER_TAR, f"{DOCKER_TAR}.gzip", f"{DOCKER_TAR}.zstd"])
def test_a_layer_may_be_compressed(kind: str) -> None:
    """In the ways that builders write, by the names of OCI and of Docker."""
    manifest = read_document(changed(MADE.manifest, layers=[described(b"x", kind)]))
    assert isinstance(manifest, Manifest)
    assert [layer.media_type for layer in manifest.layers] == [kind]


def test_an_index_chooses_by_platform() -> None:
    """Linux, and the architecture of the machine; another one is refused by name."""
    arm = described(b"arm", MANIFEST, platform={"os": "linux", "architecture": "arm64"})
    amd = described(b"amd", MANIFEST, platform={"os": "linux", "architecture": "amd64"})
    windows = described(b"win", MANIFEST, platform={"os": "windows", "architecture": "amd64"})
    index = read_document(json.dumps({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [windows, arm, amd]}).encode())
    assert isinstance(index, Index)
    assert index.chosen("x86_64").digest == amd["digest"]
    assert index.chosen("arm64").digest == arm["digest"]
    alone = read_document(json.dumps({"schemaVersion": 2, "manifests": [arm]}).encode())
    assert isinstance(alone, Index)
    with pytest.raises(MalformedImage, match="for arm64, and not for amd64"):
        alone.chosen("x86_64")


def test_a_configuration_says_what_is_run() -> None:
    """Entry point, command, folder and variables; nothing else of it has an effect."""
    config = read_config(MADE.config)
    assert config.command == ImageCommand(("/e",), ("c",), "/w", {"A": "1=2", "B": ""})
    assert config.architecture == "x86_64"
    assert len(config.diff_ids) == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cannot be read"),
        (b"[]", "cannot be read"),
        (b"\xff{}", "cannot be read"),
        (b"[" * 200_000, "cannot be read"),
        (b"{}", "old schema"),
        (changed(MADE.manifest, schemaVersion=1), "old schema"),
        (changed(MADE.manifest, layers=None), "no configuration and layers"),
        (changed(MADE.manifest, layers=[{**described(b"x", TAR), "digest": "md5:1"}]), "md5"),
        (changed(MADE.manifest, layers=[json.loads(MADE.manifest)["layers"][0]] * 5000), "5000 layers"),
        (json.dumps({"schemaVersion": 2, "manifests": [described(b"x", MANIFEST)] * 5000}).encode(), "5000 manifests"),
        (changed(MADE.manifest, manifests=[]), "two in one"),
        (changed(MADE.manifest, mediaType=DOCKER_LIST), "no configuration and layers"),
        (changed(MADE.manifest, layers=[{**described(b"x", TAR), "size": -1}]), "less than no bytes"),
        (b" " * (5 << 20), "more than"),
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_refused(data: bytes, reason: str) -> None:
    """With the reason."""
    with pytest.raises(MalformedImage, match=reason):
        read_document(data)


def test_a_manifest_is_what_it_came_as() -> None:
    """Else what one reader has checked is not what another runs."""
    with pytest.raises(MalformedImage, match="came as"):
        read_document(MADE.manifest, DOCKER_LIST)
    assert isinstance(read_document(MADE.manifest, "application/json"), Manifest)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (changed(MADE.manifest, layers=[]), "no layers"),
        (changed(MADE.manifest, layers=[described(b"x", f"{TAR}+lz4")]), "tar\\+lz4"),
        (changed(MADE.manifest, layers=[json.loads(MADE.manifest)["layers"][0]] * 200), "200 layers"),
        (changed(MADE.manifest, config=described(b"x", "application/vnd.cncf.helm.config.v1+json")), "helm"),
    ],
)
def test_not_everything_with_a_manifest_can_be_run(data: bytes, reason: str) -> None:
    """Registries keep attestations, charts and more."""
    manifest = read_document(data)
    assert isinstance(manifest, Manifest)
    with pytest.raises(MalformedImage, match=reason):
        check_image(manifest)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{}", "no operating system"),
        (changed(MADE.config, os="windows"), "windows"),
        (changed(MADE.config, architecture="riscv64"), "riscv64"),
        (changed(MADE.config, rootfs={}), "what its layers are"),
        (changed(MADE.config, rootfs={"diff_ids": ["sha256:1"]}), "what its layers are"),
        (changed(MADE.config, config={"Env": ["novalue"]}), "novalue"),
        (changed(MADE.config, config={"Cmd": ["a\0b"]}), "zero byte"),
        (changed(MADE.config, config={"Cmd": "text"}), "cannot be read"),
    ],
)
def test_what_is_no_configuration_is_refused(data: bytes, reason: str) -> None:
    """With the reason."""
    with pytest.raises(MalformedImage, match=reason):
        read_config(data)
