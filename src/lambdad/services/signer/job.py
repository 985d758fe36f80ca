"""Signing jobs: a zip is read from S3, signed, and written back to S3."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, BinaryIO

from lambdad.errors import ServiceError
from lambdad.model.request import RequestContext
from lambdad.services.signer.model import (
    ACTIVE,
    FAILED,
    IN_PROGRESS,
    PLATFORM,
    PLATFORM_NAME,
    SUCCEEDED,
    Job,
    Profile,
    SignatureRevocation,
    not_found,
    validation_error,
)
from lambdad.services.signer.page import page
from lambdad.services.signer.profile import check_owner, existing_profile
from lambdad.services.signer.state import SignerState
from lambdad.signature.archive import Unsignable, sign
from lambdad.signature.envelope import Claims
from lambdad.store.base import Conflict
from lambdad.store.to_the_end import to_the_end

Request = Mapping[str, Any]

_PIECE_BYTES = 1 << 20
_INTERRUPTED = "The server ended while the package was being signed. Start another job."


async def start_signing_job(state: SignerState, context: RequestContext, request: Request) -> dict[str, Any]:
    """Answers when the job has ended, whichever way: who polls sees its end at once. A token starts one job only."""
    check_owner(context, request.get("profileOwner"))
    source, destination = _places(request)
    started = await state.records.job_of_token(context.account_id, context.region, request["clientRequestToken"])
    if started is not None:
        return _started(started, request, source)
    profile = await existing_profile(state, context, request["profileName"])
    if profile.status != ACTIVE:
        raise validation_error(f"The signing profile {profile.name} is {profile.status.lower()} and signs no more.")
    now, job_id = state.clock(), state.new_id()
    job = Job(
        account_id=context.account_id,
        region=context.region,
        job_id=job_id,
        profile_name=profile.name,
        profile_version=profile.current.version,
        source=source,
        destination=(destination[0], f"{destination[1]}{job_id}.zip"),
        created_at=now,
        signature_expires_at=profile.current.validity.end(now),
        requested_by=context.principal.arn,
        token=request["clientRequestToken"],
    )
    await to_the_end(_run(state, context, job, profile))
    return {"jobId": job.job_id, "jobOwner": job.account_id}


async def describe_signing_job(state: SignerState, context: RequestContext, request: Request) -> dict[str, Any]:
    job = await _existing(state, context, request["jobId"])
    shape: dict[str, Any] = {
        **_shape(state, job),
        "requestedBy": job.requested_by,
        "statusReason": _status(state, job)[1],
        "completedAt": None if job.completed_at is None else _date(job.completed_at),
    }
    del shape["isRevoked"]
    if job.revocation is not None:
        shape["revocationRecord"] = {
            "reason": job.revocation.reason,
            "revokedAt": _date(job.revocation.revoked_at),
            "revokedBy": job.revocation.revoked_by,
        }
    return {member: value for member, value in shape.items() if value is not None}


async def list_signing_jobs(state: SignerState, context: RequestContext, request: Request) -> dict[str, Any]:
    """Newest first."""
    known = await state.records.jobs(context.account_id, context.region)
    jobs = sorted((job for job in known if _suits(state, job, request)), key=_position)
    return page("jobs", jobs, request, position=_position, shape=lambda job: _shape(state, job))


async def revoke_signature(state: SignerState, context: RequestContext, request: Request) -> dict[str, Any]:
    """The package that the job signed is no longer trusted. What is revoked stays so. A job that was
    interrupted may have stored its package before."""
    check_owner(context, request.get("jobOwner"))
    async with state.changing:
        is_running = request["jobId"] in state.running  # whose record its end is about to replace
        job = await _existing(state, context, request["jobId"])
        if is_running or job.status == FAILED:
            raise validation_error(f"Signing job {job.job_id} has signed nothing that could be revoked.")
        if job.revocation is None:
            revocation = SignatureRevocation(request["reason"], state.clock(), context.principal.arn)
            await state.records.save_job(replace(job, revocation=revocation))
    return {}


async def _run(state: SignerState, context: RequestContext, job: Job, profile: Profile) -> None:
    """The job is on record before its package is anywhere, so that there is no signature which cannot be revoked."""
    state.running.add(job.job_id)
    try:
        async with state.turns:
            await _check_signs(state, context, job)
            try:
                await state.records.add_job(job)
            except Conflict as error:
                raise ServiceError("ThrottlingException", "A job is being started with this clientRequestToken.") from error
            failure = await _signed(state, context, job, profile)
            status = SUCCEEDED if failure is None else FAILED
            ended = replace(job, status=status, status_reason=failure, completed_at=state.clock())
            await state.records.save_job(ended)
    finally:
        state.running.discard(job.job_id)


async def _check_signs(state: SignerState, context: RequestContext, job: Job) -> None:
    """The profile may have been cancelled or revoked while the job waited for its turn."""
    profile = await existing_profile(state, context, job.profile_name)
    version = profile.version(job.profile_version)
    if profile.is_canceled or version is None or version.revocation is not None:
        raise validation_error(f"The signing profile {profile.name} was cancelled or revoked, and signs no more.")


async def _signed(state: SignerState, context: RequestContext, job: Job, profile: Profile) -> str | None:
    """Why it could not be done; None when it is."""
    claims = Claims(profile.version_arn(profile.current), job.arn, job.created_at, job.signature_expires_at)
    keys = profile.current
    bucket, key, _ = job.source
    with tempfile.TemporaryFile(dir=state.scratch) as package:
        try:
            await _fetch(state, context.account_id, bucket, key, package)
            await asyncio.to_thread(
                sign, package, claims, keys.private_key, keys.certificate, max_unpacked_bytes=state.max_unpacked_bytes
            )
            await state.store_object(context, *job.destination, _Content(package))
        except Unsignable as error:
            return f"s3://{bucket}/{key} cannot be signed: {error}."
        except ServiceError as error:
            return f"S3 Error Code: {error.code}. S3 Error Message: {error.message}"
    return None


async def _fetch(state: SignerState, account_id: str, bucket: str, key: str, package: BinaryIO) -> None:
    size = 0
    async for piece in state.fetch_object(account_id, bucket, key, None):
        size += len(piece)
        if size > state.max_package_bytes:
            raise Unsignable(f"it is larger than {state.max_package_bytes} bytes")
        await asyncio.to_thread(package.write, piece)


class _Content:
    """A package as the body of an upload, read piece by piece."""

    def __init__(self, package: BinaryIO) -> None:
        self._package = package
        self.trailers: Mapping[str, str] = {}
        self.content_length: int | None = package.seek(0, os.SEEK_END)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._package.seek(0)
        while piece := await asyncio.to_thread(self._package.read, _PIECE_BYTES):
            yield piece

    async def read(self, limit: int) -> bytes:
        if self.content_length is not None and self.content_length > limit:
            raise ServiceError("RequestEntityTooLarge", f"The package is larger than {limit} bytes.", status=413)
        return b"".join([piece async for piece in self])


def _places(request: Request) -> tuple[tuple[str, str, str], tuple[str, str]]:
    source, destination = request["source"].get("s3"), request["destination"].get("s3")
    if source is None or destination is None or not destination.get("bucketName"):
        raise validation_error("A signing job has a source and a destination in S3, each with a bucketName.")
    if source["version"] != "null":
        raise validation_error(f"Objects have no versions here: the version is null; got {source['version']}")
    return (
        (source["bucketName"], source["key"], source["version"]),
        (destination["bucketName"], destination.get("prefix", "")),
    )


def _started(job: Job, request: Request, source: tuple[str, str, str]) -> dict[str, Any]:
    if (job.profile_name, job.source) != (request["profileName"], source):
        raise validation_error("The clientRequestToken was used for another signing job.")
    return {"jobId": job.job_id, "jobOwner": job.account_id}


async def _existing(state: SignerState, context: RequestContext, job_id: str) -> Job:
    job = await state.records.job(context.account_id, context.region, job_id)
    if job is None:
        raise not_found(f"Signing job {job_id} not found.")
    return job


def _status(state: SignerState, job: Job) -> tuple[str, str | None]:
    if job.status == IN_PROGRESS and job.job_id not in state.running:
        return FAILED, _INTERRUPTED
    return job.status, job.status_reason


def _shape(state: SignerState, job: Job) -> dict[str, Any]:
    bucket, key, version = job.source
    shape: dict[str, Any] = {
        "jobId": job.job_id,
        "source": {"s3": {"bucketName": bucket, "key": key, "version": version}},
        "platformId": PLATFORM,
        "platformDisplayName": PLATFORM_NAME,
        "profileName": job.profile_name,
        "profileVersion": job.profile_version,
        "createdAt": _date(job.created_at),
        "signatureExpiresAt": _date(job.signature_expires_at),
        "status": _status(state, job)[0],
        "isRevoked": job.revocation is not None,
        "jobOwner": job.account_id,
        "jobInvoker": job.account_id,
    }
    if job.status == SUCCEEDED:
        shape["signedObject"] = {"s3": {"bucketName": job.destination[0], "key": job.destination[1]}}
    return shape


def _suits(state: SignerState, job: Job, request: Request) -> bool:
    expires = _date(job.signature_expires_at)
    wanted = {
        "status": _status(state, job)[0],
        "platformId": PLATFORM,
        "requestedBy": job.requested_by,
        "isRevoked": job.revocation is not None,
        "jobInvoker": job.account_id,
    }
    if any(request.get(member, value) != value for member, value in wanted.items()):
        return False
    earliest: datetime = request.get("signatureExpiresAfter", expires)
    latest: datetime = request.get("signatureExpiresBefore", expires)
    return earliest <= expires <= latest


def _position(job: Job) -> str:
    return f"{10**13 - int(job.created_at * 1000):013d}/{job.job_id}"


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
