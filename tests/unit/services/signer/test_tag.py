"""Tags of signing profiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.services.signer.model import PLATFORM
from support.signer_service import ACCOUNT, OTHER, PROFILES, Signer


async def test_tags(tmp_path: Path) -> None:
    """Added to, replaced, taken away, and kept over a restart."""
    signer = Signer(tmp_path)
    await signer.profile(tags={"a": "1"})
    await signer.call("TagResource", resourceArn=f"{PROFILES}/p", tags={"a": "2", "b": "3"})
    await signer.call("UntagResource", resourceArn=f"{PROFILES}/p", tagKeys=["b", "none"])
    assert await signer.restarted().call("ListTagsForResource", resourceArn=f"{PROFILES}/p") == {"tags": {"a": "2"}}


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        (f"{PROFILES}/q", "NotFoundException"),
        (f"{PROFILES}/p/0123456789", "BadRequestException"),
        (f"{PROFILES}/p".replace(ACCOUNT, OTHER), "BadRequestException"),
        (f"{PROFILES}/p".replace("us-east-1", "eu-west-1"), "BadRequestException"),
        ("p", "BadRequestException"),
    ],
)
async def test_what_has_no_tags(tmp_path: Path, arn: str, code: str) -> None:
    """Other profiles, versions, jobs, and what is none of the account's."""
    signer = Signer(tmp_path)
    await signer.profile()
    assert (await signer.refused("TagResource", resourceArn=arn, tags={"a": "b"})).code == code
    assert (await signer.refused("ListTagsForResource", resourceArn=arn)).code == code


async def test_tags_have_a_bound(tmp_path: Path) -> None:
    """Fifty, and a refused change leaves them."""
    signer = Signer(tmp_path)
    await signer.profile(tags={"a": "1"})
    many = {f"k{number}": "v" for number in range(50)}
    assert (await signer.refused("TagResource", resourceArn=f"{PROFILES}/p", tags=many)).code == "BadRequestException"
    error = await signer.refused("PutSigningProfile", profileName="p", platformId=PLATFORM, tags=many)
    assert error.code == "ValidationException"
    assert await signer.call("ListTagsForResource", resourceArn=f"{PROFILES}/p") == {"tags": {"a": "1"}}
