"""Signing profiles: made anew or with a new version, looked at, cancelled and revoked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from lambdad.model.request import RequestContext
from lambdad.services.signer.model import (
    ACTIVE,
    MAX_MONTHS,
    MAX_TAGS,
    PLATFORM,
    PLATFORM_NAME,
    Profile,
    ProfileRevocation,
    ProfileVersion,
    Validity,
    not_found,
    validation_error,
)
from lambdad.services.signer.page import page
from lambdad.services.signer.state import SignerState

Request = Mapping[str, Any]

_MANY = 5000  #: beyond all bounds in any unit, and yet no date after the year 9999


async def put_signing_profile(state: SignerState, context: RequestContext, request: Request) -> dict[str, Any]:
    """A name that is in use gets a new version with a new key; what earlier versions signed goes on to count."""
    if request["platformId"] != PLATFORM:
        raise validation_error(f"The signing platform is {PLATFORM}; got {request['platformId']}")
    name, now = request["profileName"], state.clock()
    validity = _validity(request.get("signatureValidityPeriod"), now)
    async with state.changing:
        standing = await state.records.profile(context.account_id, context.region, name)
        if standing is not None and standing.is_canceled:
            raise validation_error(f"The signing profile {name} is canceled. Its name cannot be used again.")
        version = await asyncio.to_thread(_new_version, state.new_version(), validity, name, now)
        profile = standing or Profile(context.account_id, context.region, name, (), tags=dict(request.get("tags", {})))
        profile = replace(profile.with_version(version), tags={**profile.tags, **request.get("tags", {})})
        if len(profile.tags) > MAX_TAGS:
            raise validation_error(f"A signing profile has at most {MAX_TAGS} tags.")
        await state.records.save_profile(profile)
    return {"arn": profile.arn, "profileVersion": version.version, "profileVersionArn": profile.version_arn(version)}


async def get_signing_profile(state: SignerState, context: RequestContext, request: Request) -> dict[str, Any]:
    check_owner(context, request.get("profileOwner"))
    profile = await existing_profile(state, context, request["profileName"])
    revocation = profile.current.revocation
    shape = {**_shape(profile), "platformDisplayName": PLATFORM_NAME}
    if revocation is not None:
        shape["revocationRecord"] = {
            "revocationEffectiveFrom": _date(revocation.effective_from),
            "revokedAt": _date(revocation.revoked_at),
            "revokedBy": revocation.revoked_by,
        }
        shape["statusReason"] = revocation.reason
    return shape


async def list_signing_profiles(state: SignerState, context: RequestContext, request: Request) -> dict[str, Any]:
    """Cancelled ones only if asked for."""
    statuses = request.get("statuses") or [ACTIVE, "Revoked", *(["Canceled"] if request.get("includeCanceled") else [])]
    profiles = [
        profile
        for profile in await state.records.profiles(context.account_id, context.region)
        if profile.status in statuses and request.get("platformId", PLATFORM) == PLATFORM
    ]
    return page("profiles", profiles, request, position=lambda profile: profile.name, shape=_shape)


async def cancel_signing_profile(state: SignerState, context: RequestContext, request: Request) -> dict[str, Any]:
    """It signs no more. What it signed goes on to count."""
    async with state.changing:
        profile = await existing_profile(state, context, request["profileName"])
        await state.records.save_profile(replace(profile, is_canceled=True))
    return {}


async def revoke_signing_profile(state: SignerState, context: RequestContext, request: Request) -> dict[str, Any]:
    """One version of it: what it signed since then no longer counts, and it signs no more."""
    now = state.clock()
    effective = request["effectiveTime"].timestamp()
    if effective > now:
        raise validation_error("The effective time of a revocation must not be in the future.")
    async with state.changing:
        profile = await existing_profile(state, context, request["profileName"])
        version = profile.version(request["profileVersion"])
        if version is None:
            raise not_found(f"The signing profile {profile.name} has no version {request['profileVersion']}.")
        if version.revocation is not None and version.revocation.effective_from <= effective:
            return {}  # what is revoked stays so
        revocation = ProfileRevocation(effective, now, context.principal.arn, request["reason"])
        await state.records.save_profile(profile.with_version(replace(version, revocation=revocation)))
    return {}


async def existing_profile(state: SignerState, context: RequestContext, name: str) -> Profile:
    profile = await state.records.profile(context.account_id, context.region, name)
    if profile is None:
        raise not_found(f"Signing profile {name} not found.")
    return profile


def check_owner(context: RequestContext, owner: str | None) -> None:
    if owner is not None and owner != context.account_id:
        raise not_found(f"Profiles and jobs of other accounts cannot be used here; got {owner}")


def _validity(period: Mapping[str, Any] | None, now: float) -> Validity:
    if period is None:
        return Validity()
    if "value" not in period or "type" not in period:
        raise validation_error("A signature's validity period has a value and a type.")
    validity = Validity(period["value"], period["type"])
    if not 1 <= validity.value <= _MANY or validity.end(now) > Validity().end(now):
        raise validation_error(f"Signatures for Lambda are valid for 1 day to {MAX_MONTHS} months.")
    return validity


def _new_version(number: str, validity: Validity, name: str, now: float) -> ProfileVersion:
    from lambdad.signature.certificate import new_key_pair

    pair = new_key_pair(name, now)
    return ProfileVersion(number, validity, pair.private_key, pair.certificate)


def _shape(profile: Profile) -> dict[str, Any]:
    version = profile.current
    shape: dict[str, Any] = {
        "profileName": profile.name,
        "profileVersion": version.version,
        "profileVersionArn": profile.version_arn(version),
        "platformId": PLATFORM,
        "signatureValidityPeriod": {"value": version.validity.value, "type": version.validity.type},
        "status": profile.status,
        "arn": profile.arn,
    }
    return {**shape, "tags": dict(profile.tags)} if profile.tags else shape


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
