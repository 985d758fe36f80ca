"""Addresses of images, and what is none."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from lambdad.images.reference import LocalImage, MalformedReference, OwnImage, RemoteImage, read_reference

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("uri", "reference"),
    [
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:v1", OwnImage("123456789012", "eu-west-1", "team/app", "v1")),
        ("123456789012.dkr.ecr.eu-west-1.localhost:4566/app", OwnImage("123456789012", "eu-west-1", "app", "latest")),
        ("localhost:4566/app:v1", OwnImage(None, None, "app", "v1", "localhost:4566")),
        (f"127.0.0.1:4566/app:v1@{DIGEST}", OwnImage(None, None, "app", DIGEST, "127.0.0.1:4566")),
        ("registry.example.com/a/b-c__d.e:v_1", RemoteImage("registry.example.com", "a/b-c__d.e", "v_1")),
        ("Registry.Example.com:5000/a", RemoteImage("registry.example.com:5000", "a", "latest")),
        ("oci:/srv/images/app", LocalImage("oci", PurePosixPath("/srv/images/app"), None)),
        ("oci:/srv/images/app:v1", LocalImage("oci", PurePosixPath("/srv/images/app"), "v1")),
        ("docker-archive:/srv/app.tar:app:v1", LocalImage("docker-archive", PurePosixPath("/srv/app.tar"), "app:v1")),
    ],
)
def test_an_address_says_where_the_image_is(uri: str, reference: object) -> None:
    """In lambdad's own registry, in another one, or on this machine."""
    assert read_reference(uri) == reference


@pytest.mark.parametrize(
    "uri",
    [
        *("", "app", "app:v1", "library/app", "http://registry.example.com/app", "registry.example.com/"),
        *("registry.example.com/App", "registry.example.com/a//b", "registry.example.com/../etc", "registry.example.com/a:"),
        *("registry.example.com/a@sha256:12", "registry.example.com/a:" + "x" * 129, "user@registry.example.com/a"),
        *("oci:/srv/../etc", "oci:relative", "registry.example.com/a\n", "registry.example.com/" + "a" * 2000, "-x.com/a"),
    ],
)
def test_what_names_no_image_is_refused(uri: str) -> None:
    """With a sentence, and never taken for something near it."""
    with pytest.raises(MalformedReference):
        read_reference(uri)
