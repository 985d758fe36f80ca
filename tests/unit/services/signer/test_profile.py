"""Signing profiles."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lambdad.services.signer.model import PLATFORM, Validity
from support.signer_service import OTHER, PROFILES, Signer


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path)


async def test_a_profile(signer: Signer) -> None:
    """It has a version with a key of its own, which nobody is shown, and survives a restart."""
    made = await signer.call("PutSigningProfile", profileName="p", platformId=PLATFORM, tags={"team": "a"})
    assert made == {
        "arn": f"{PROFILES}/p",
        "profileVersion": made["profileVersion"],
        "profileVersionArn": f"{PROFILES}/p/{made['profileVersion']}",
    }
    assert len(made["profileVersion"]) == 10
    shown = await signer.restarted().call("GetSigningProfile", profileName="p")
    assert shown == {
        "profileName": "p",
        "profileVersion": made["profileVersion"],
        "profileVersionArn": made["profileVersionArn"],
        "platformId": PLATFORM,
        "platformDisplayName": "AWS Lambda",
        "signatureValidityPeriod": {"value": 135, "type": "MONTHS"},
        "status": "Active",
        "arn": f"{PROFILES}/p",
        "tags": {"team": "a"},
    }
    assert (await signer.refused("GetSigningProfile", profileName="p", account=OTHER)).code == "ResourceNotFoundException"


async def test_putting_again_makes_a_version(signer: Signer) -> None:
    """With its own key and validity; tags are added to. Eight at once are eight versions."""
    first = await signer.profile(tags={"a": "1"})
    second = await signer.profile(tags={"b": "2"}, signatureValidityPeriod={"value": 3, "type": "DAYS"})
    shown = await signer.call("GetSigningProfile", profileName="p")
    assert first != second == shown["profileVersionArn"]
    assert shown["tags"] == {"a": "1", "b": "2"}
    assert shown["signatureValidityPeriod"] == {"value": 3, "type": "DAYS"}
    arns = await asyncio.gather(*(signer.profile() for _ in range(8)))
    profile = await signer.state.records.profile("111111111111", "us-east-1", "p")
    assert profile is not None
    assert {profile.version_arn(version) for version in profile.versions} == {first, second, *arns}
    assert len({version.private_key for version in profile.versions}) == 10


@pytest.mark.parametrize(
    "period",
    [
        {"value": 0, "type": "DAYS"},
        {"value": -1, "type": "MONTHS"},
        {"value": 136, "type": "MONTHS"},
        {"value": 12, "type": "YEARS"},
        {"value": 5000, "type": "DAYS"},
        {"value": 2**62, "type": "YEARS"},
        {"value": 1},
        {"type": "DAYS"},
    ],
)
async def test_validity_has_bounds(signer: Signer, period: dict[str, Any]) -> None:
    """From a day to 135 months; nothing is made beyond."""
    error = await signer.refused("PutSigningProfile", profileName="p", platformId=PLATFORM, signatureValidityPeriod=period)
    assert error.code == "ValidationException"
    assert (await signer.refused("GetSigningProfile", profileName="p")).code == "ResourceNotFoundException"


async def test_another_platform_is_refused(signer: Signer) -> None:
    """There is one."""
    error = await signer.refused("PutSigningProfile", profileName="p", platformId="AmazonFreeRTOS-Default")
    assert error.message == f"The signing platform is {PLATFORM}; got AmazonFreeRTOS-Default"


async def test_a_canceled_profile_is_not_used_again(signer: Signer) -> None:
    """It is listed where it is asked for, and its name stays taken."""
    await signer.profile()
    await signer.profile("q")
    await signer.call("CancelSigningProfile", profileName="p")
    assert (await signer.call("GetSigningProfile", profileName="p"))["status"] == "Canceled"
    listed = (await signer.call("ListSigningProfiles"))["profiles"]
    assert [profile["profileName"] for profile in listed] == ["q"]
    listed = (await signer.call("ListSigningProfiles", includeCanceled=True))["profiles"]
    assert [profile["profileName"] for profile in listed] == ["p", "q"]
    listed = (await signer.call("ListSigningProfiles", statuses=["Canceled"]))["profiles"]
    assert [profile["profileName"] for profile in listed] == ["p"]
    assert "canceled" in (await signer.refused("PutSigningProfile", profileName="p", platformId=PLATFORM)).message


async def test_a_version_is_revoked_from_a_time_on(signer: Signer) -> None:
    """Never from a later time than before, nor from one to come."""
    version = (await signer.profile()).rpartition("/")[2]
    then = datetime.fromtimestamp(signer.now - 60, UTC)
    revocation = {"profileName": "p", "profileVersion": version, "reason": "lost", "effectiveTime": then}
    later = {**revocation, "effectiveTime": datetime.fromtimestamp(signer.now + 60, UTC)}
    assert (await signer.refused("RevokeSigningProfile", **later)).code == "ValidationException"
    assert (await signer.refused("RevokeSigningProfile", **{**revocation, "profileVersion": "x" * 10})).status is None
    await signer.call("RevokeSigningProfile", **revocation)
    await signer.call("RevokeSigningProfile", **{**revocation, "effectiveTime": datetime.fromtimestamp(signer.now, UTC)})
    shown = await signer.restarted().call("GetSigningProfile", profileName="p")
    assert (shown["status"], shown["statusReason"]) == ("Revoked", "lost")
    assert shown["revocationRecord"]["revocationEffectiveFrom"] == then


async def test_profiles_come_in_pages(signer: Signer) -> None:
    """A token leads from one to the next; a made-up one is refused."""
    names = [f"p{number}" for number in range(5)]
    for name in names:
        await signer.profile(name)
    found, token = [], {}
    while True:
        page = await signer.call("ListSigningProfiles", maxResults=2, **token)
        found += [profile["profileName"] for profile in page["profiles"]]
        if "nextToken" not in page:
            break
        token = {"nextToken": page["nextToken"]}
    assert found == names
    for made_up in ("%", "//8="):
        assert (await signer.refused("ListSigningProfiles", nextToken=made_up)).code == "ValidationException"


@pytest.mark.parametrize(
    ("validity", "end"),
    [
        (Validity(1, "MONTHS"), "2024-02-29T12:00:00+00:00"),
        (Validity(13, "MONTHS"), "2025-02-28T12:00:00+00:00"),
        (Validity(11, "YEARS"), "2035-01-31T12:00:00+00:00"),
        (Validity(30, "DAYS"), "2024-03-01T12:00:00+00:00"),
        (Validity(), "2035-04-30T12:00:00+00:00"),
    ],
)
def test_the_end_of_a_validity(validity: Validity, end: str) -> None:
    """Months end with the last day that there is."""
    start = datetime(2024, 1, 31, 12, tzinfo=UTC).timestamp()
    assert datetime.fromtimestamp(validity.end(start), UTC).isoformat() == end
