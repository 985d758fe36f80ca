"""Signing jobs, and what Lambda is told of their signatures."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lambdad.errors import ServiceError
from lambdad.model.code_signature import CodeSignature, Standing
from lambdad.services.signer.model import IN_PROGRESS
from lambdad.signature.archive import examine
from support.lambda_service import zip_of
from support.signer_service import ACCOUNT, OTHER, REGION, Signer, job_request

PACKAGE = zip_of({"app.py": "def handler(event, context): return event"})


@pytest.fixture
async def signer(tmp_path: Path) -> Signer:
    made = Signer(tmp_path)
    await made.profile()
    return made


def signature_in(package: bytes) -> CodeSignature:
    found = examine(io.BytesIO(package))
    assert found is not None
    return found


async def test_a_package_is_signed(signer: Signer) -> None:
    """The signed one lies under the job's id and names profile and job; the source stays as it was."""
    job = await signer.sign(PACKAGE)
    profile = await signer.call("GetSigningProfile", profileName="p")
    assert (job["status"], job["requestedBy"]) == ("Succeeded", f"arn:aws:iam::{ACCOUNT}:root")
    assert job["signedObject"] == {"s3": {"bucketName": "b", "key": f"signed/{job['jobId']}.zip"}}
    found = signature_in(signer.objects["b", f"signed/{job['jobId']}.zip"])
    assert found.is_intact
    assert found.profile_version_arn == profile["profileVersionArn"]
    assert found.job_arn == f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-jobs/{job['jobId']}"
    assert (found.signed_at, found.expires_at) == (signer.now, job["signatureExpiresAt"].timestamp())
    assert signer.objects["b", "source.zip"] == PACKAGE
    assert await signer.trust.standing(found) == Standing(is_known=True, is_genuine=True)
    assert not list(signer.scratch.iterdir())


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        (b"no zip", "s3://b/source.zip cannot be signed: it is not a zip that can be read: File is not a zip file."),
        (zip_of({}), "cannot be signed: the zip is empty."),
        (b"x" * 100_001, "cannot be signed: it is larger than 100000 bytes."),
        (zip_of({"a": b"x" * 1_000_001}), "larger than 1000000 bytes unpacked"),
    ],
)
async def test_a_package_that_cannot_be_signed_fails_the_job(signer: Signer, package: bytes, reason: str) -> None:
    """With the reason, and nothing is written."""
    job = await signer.sign(package)
    assert job["status"] == "Failed"
    assert reason in job["statusReason"]
    assert "signedObject" not in job
    assert list(signer.objects) == [("b", "source.zip")]


async def test_a_signed_package_is_not_signed_again(signer: Signer) -> None:
    """As with AWS."""
    job = await signer.sign(PACKAGE)
    again = await signer.sign(signer.objects["b", f"signed/{job['jobId']}.zip"], token="again")
    assert again["statusReason"].endswith("the zip is already signed.")


async def test_what_s3_refuses_fails_the_job(signer: Signer) -> None:
    """A source or a destination that is not there."""
    for token, place in (("a", "source"), ("b", "destination")):
        request = job_request(token=token)
        signer.objects["b", "source.zip"] = PACKAGE
        request[place]["s3"] |= {"key": "none"} if place == "source" else {"bucketName": "none"}
        job = await signer.call("StartSigningJob", **request)
        described = await signer.call("DescribeSigningJob", jobId=job["jobId"])
        assert described["status"] == "Failed"
        assert described["statusReason"].startswith("S3 Error Code: NoSuch")


async def test_a_token_starts_one_job(signer: Signer) -> None:
    """Repeated it answers the same job; with another package it is refused; of several at once one starts."""
    first = await signer.sign(PACKAGE)
    assert (await signer.sign(PACKAGE))["jobId"] == first["jobId"]
    other = job_request()
    other["source"]["s3"]["key"] = "other.zip"
    assert "was used for another" in (await signer.refused("StartSigningJob", **other)).message
    racing = [signer.call("StartSigningJob", **job_request(token="race")) for _ in range(6)]
    outcomes = await asyncio.gather(*racing, return_exceptions=True)
    started = {outcome["jobId"] for outcome in outcomes if isinstance(outcome, dict)}
    assert len(started) == 1
    assert {outcome.code for outcome in outcomes if isinstance(outcome, ServiceError)} <= {"ThrottlingException"}
    assert len((await signer.call("ListSigningJobs"))["jobs"]) == 2


async def test_who_signs_no_more(signer: Signer) -> None:
    """A cancelled and a revoked profile, one that is not there, and another account's."""
    version = (await signer.profile("q")).rpartition("/")[2]
    effective = datetime.fromtimestamp(signer.now, UTC)
    await signer.call("RevokeSigningProfile", profileName="q", profileVersion=version, reason="r", effectiveTime=effective)
    await signer.call("CancelSigningProfile", profileName="p")
    for name, code in (("p", "ValidationException"), ("q", "ValidationException"), ("r", "ResourceNotFoundException")):
        assert (await signer.refused("StartSigningJob", **job_request(name))).code == code
    assert (await signer.refused("StartSigningJob", **job_request(), profileOwner=OTHER)).code == "ResourceNotFoundException"


@pytest.mark.parametrize(
    "change",
    [
        {"source": {}},
        {"destination": {}},
        {"destination": {"s3": {"prefix": "x"}}},
        {"source": {"s3": {"bucketName": "b", "key": "source.zip", "version": "3HL4kqtJvjVBH40Nrjfkd"}}},
    ],
)
async def test_places_that_are_refused(signer: Signer, change: dict[str, object]) -> None:
    """Without a bucket, or with a version that objects do not have here."""
    assert (await signer.refused("StartSigningJob", **{**job_request(), **change})).code == "ValidationException"
    assert (await signer.call("ListSigningJobs"))["jobs"] == []


async def test_an_interrupted_job_has_failed(signer: Signer) -> None:
    """After a restart nobody works on it any more."""
    job = await signer.sign(PACKAGE)
    stored = await signer.state.records.job(ACCOUNT, REGION, job["jobId"])
    assert stored is not None
    await signer.state.records.save_job(replace(stored, status=IN_PROGRESS, completed_at=None))
    again = signer.restarted()
    described = await again.call("DescribeSigningJob", jobId=job["jobId"])
    assert (described["status"], "Start another job" in described["statusReason"]) == ("Failed", True)
    assert [each["status"] for each in (await again.call("ListSigningJobs", status="Failed"))["jobs"]] == ["Failed"]


async def test_what_an_interrupted_job_signed_can_be_revoked(signer: Signer) -> None:
    """It may have stored its package before the server ended."""
    job = await signer.sign(PACKAGE)
    stored = await signer.state.records.job(ACCOUNT, REGION, job["jobId"])
    assert stored is not None
    await signer.state.records.save_job(replace(stored, status=IN_PROGRESS, completed_at=None))
    again = signer.restarted()
    await again.call("RevokeSignature", jobId=job["jobId"], reason="r")
    found = signature_in(signer.objects["b", job["signedObject"]["s3"]["key"]])
    assert (await again.trust.standing(found)).is_revoked


async def test_a_job_that_runs_cannot_be_revoked_yet(signer: Signer) -> None:
    """Its end would put the revocation out of the records."""
    job = await signer.sign(PACKAGE)
    signer.state.running.add(job["jobId"])
    assert (await signer.refused("RevokeSignature", jobId=job["jobId"], reason="r")).code == "ValidationException"


@pytest.mark.parametrize("ending", ["CancelSigningProfile", "RevokeSigningProfile"])
async def test_a_job_that_waited_is_not_signed_by_a_profile_that_ended(signer: Signer, ending: str) -> None:
    """Nothing is recorded and nothing is written."""
    signer.objects["b", "source.zip"] = PACKAGE
    profile = await signer.call("GetSigningProfile", profileName="p")
    how = {"profileVersion": profile["profileVersion"], "reason": "r", "effectiveTime": datetime.fromtimestamp(signer.now, UTC)}
    async with signer.state.turns, signer.state.turns:
        waiting = asyncio.create_task(signer.refused("StartSigningJob", **job_request()))
        while not signer.state.running:
            await asyncio.sleep(0)
        await signer.call(ending, profileName="p", **(how if ending == "RevokeSigningProfile" else {}))
    assert (await waiting).code == "ValidationException"
    assert list(signer.objects) == [("b", "source.zip")]
    assert (await signer.call("ListSigningJobs"))["jobs"] == []


async def test_a_revoked_signature_stays_revoked(signer: Signer) -> None:
    """That of the one job, whoever says so again; a failed job has none."""
    job, other = await signer.sign(PACKAGE), await signer.sign(PACKAGE, token="other")
    failed = await signer.sign(b"", token="failed")
    await signer.call("RevokeSignature", jobId=job["jobId"], reason="first")
    await signer.call("RevokeSignature", jobId=job["jobId"], reason="second")
    again = signer.restarted()
    assert (await again.call("DescribeSigningJob", jobId=job["jobId"]))["revocationRecord"]["reason"] == "first"
    assert [each["jobId"] for each in (await again.call("ListSigningJobs", isRevoked=True))["jobs"]] == [job["jobId"]]
    standings = [
        await again.trust.standing(signature_in(signer.objects["b", each["signedObject"]["s3"]["key"]]))
        for each in (job, other)
    ]
    assert [standing.is_revoked for standing in standings] == [True, False]
    assert (await signer.refused("RevokeSignature", jobId=failed["jobId"], reason="r")).code == "ValidationException"
    assert (await signer.refused("RevokeSignature", jobId="none", reason="r")).code == "ResourceNotFoundException"


async def test_a_revoked_profile_takes_what_it_signed_since(signer: Signer) -> None:
    """And leaves what it signed before, and what its other versions signed."""
    before = await signer.sign(PACKAGE, token="before")
    signer.now += 100
    after = await signer.sign(PACKAGE, token="after")
    version = after["profileVersion"]
    await signer.profile()
    newer = await signer.sign(PACKAGE, token="newer")
    effective = datetime.fromtimestamp(signer.now - 50, UTC)
    await signer.call("RevokeSigningProfile", profileName="p", profileVersion=version, reason="r", effectiveTime=effective)
    revoked = [
        (await signer.trust.standing(signature_in(signer.objects["b", job["signedObject"]["s3"]["key"]]))).is_revoked
        for job in (before, after, newer)
    ]
    assert revoked == [False, True, False]


async def test_signatures_of_strangers(signer: Signer) -> None:
    """A profile that is not here, no profile at all, and a known one's name on another certificate."""
    job = await signer.sign(PACKAGE)
    found = signature_in(signer.objects["b", job["signedObject"]["s3"]["key"]])
    for arn in (found.profile_version_arn[:-1], found.profile_version_arn.replace(ACCOUNT, OTHER), "", "a:b:c:d:e:f/g/h/i"):
        assert not (await signer.trust.standing(replace(found, profile_version_arn=arn))).is_known
    assert await signer.trust.standing(replace(found, certificate_digest="00")) == Standing(is_known=True, is_genuine=False)


async def test_jobs_are_listed_newest_first(signer: Signer) -> None:
    """In pages, by what is asked for."""
    made = []
    for number in range(3):
        signer.now += 1
        made.insert(0, (await signer.sign(PACKAGE, token=f"{number}"))["jobId"])
    first = await signer.call("ListSigningJobs", maxResults=2)
    second = await signer.call("ListSigningJobs", maxResults=2, nextToken=first["nextToken"])
    assert [job["jobId"] for job in first["jobs"] + second["jobs"]] == made
    assert "nextToken" not in second
    assert (
        len((await signer.call("ListSigningJobs", signatureExpiresAfter=first["jobs"][1]["signatureExpiresAt"]))["jobs"]) == 2
    )
    for narrowed in ({"platformId": "x"}, {"requestedBy": "x"}, {"jobInvoker": OTHER}, {"status": "InProgress"}):
        assert (await signer.call("ListSigningJobs", **narrowed))["jobs"] == []
