"""From a request's signature to a Principal. With `auth_required` the signature is verified; without, it only names.

IAM's policies are not evaluated here; see `permit.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from lambdad.model.credential import Credential
from lambdad.model.request import DEFAULT_ACCOUNT_ID, DEFAULT_REGION, Principal
from lambdad.wire import sigv2, sigv4
from lambdad.wire.auth_error import AuthError, AuthFailure
from lambdad.wire.claim import Claim
from lambdad.wire.http import HttpRequest

Lookup = Callable[[str], Credential | None]

_ACCOUNT_ID = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]{1,12}){1,3}-[0-9]{1,2}")


@dataclass(frozen=True, slots=True)
class Defaults:
    """Who an unsigned request, or one whose signature names nobody, is taken for."""

    account_id: str = DEFAULT_ACCOUNT_ID
    region: str = DEFAULT_REGION


class Caller(msgspec.Struct, frozen=True):
    """Who calls, and how the chunks of a signed stream are to be checked: None where signatures are not verified."""

    principal: Principal
    region: str
    chunk_signer: sigv4.ChunkSigner | None = None


class Target(msgspec.Struct, frozen=True):
    """What a service demands of signatures for it."""

    signing_name: str
    is_s3: bool = False
    subresources: frozenset[str] = frozenset()  #: query names that choose an operation


NO_DEFAULTS_GIVEN = Defaults()


class Authorizer:
    def __init__(
        self, lookup: Lookup, *, auth_required: bool, clock: Callable[[], float], defaults: Defaults = NO_DEFAULTS_GIVEN
    ) -> None:
        self._lookup = lookup
        self._defaults = defaults
        self._auth_required = auth_required
        self._clock = clock

    def refuse_early(self, request: HttpRequest, claim: Claim | None, target: Target) -> sigv4.Signature | None:
        """What can be refused before a byte of the body is read: no signature, an unknown key, an expired URL.

        Returns the signature that `caller_of` is to verify, if it is one of version 4.
        """
        is_v2 = target.is_s3 and sigv2.is_presigned_v2(request)
        if claim is not None and claim.is_presigned:
            (sigv2 if is_v2 else sigv4).refuse_expired(request, self._clock())
        if not self._auth_required:
            return None
        if is_v2:
            self._credential(request.query["AWSAccessKeyId"][0])
            return None
        signature = sigv4.signature_of(request)
        self._credential(signature.access_key_id)
        return signature

    def caller_of(
        self,
        request: HttpRequest,
        claim: Claim | None,
        signature: sigv4.Signature | None,
        target: Target,
        payload_digest: Callable[[], str],
    ) -> Caller:
        """The verified caller with `auth_required`, else the one the request names."""
        if not self._auth_required:
            return self._named_caller(claim)
        if signature is None:
            credential = self._credential(request.query["AWSAccessKeyId"][0])
            sigv2.verify(request, credential, subresources=target.subresources)
            return Caller(_principal(credential), self._defaults.region)
        credential = self._credential(signature.access_key_id)
        signer = sigv4.verify(
            request,
            signature,
            credential,
            now=self._clock(),
            is_s3=target.is_s3,
            signing_name=target.signing_name,
            payload_digest=payload_digest,
        )
        return Caller(_principal(credential), self._region(signature.region), signer)

    def _credential(self, access_key_id: str) -> Credential:
        credential = self._lookup(access_key_id)
        if credential is None:
            raise AuthFailure(AuthError.UNKNOWN_KEY)
        if credential.expires_at is not None and credential.expires_at <= self._clock():
            raise AuthFailure(AuthError.EXPIRED_TOKEN)
        return credential

    def _named_caller(self, claim: Claim | None) -> Caller:
        if claim is None:
            return Caller(_root(self._defaults.account_id, None), self._defaults.region)
        key = claim.access_key_id
        if _ACCOUNT_ID.fullmatch(key):
            principal = _root(key, key)
        else:
            credential = self._lookup(key)
            principal = _principal(credential) if credential else _root(self._defaults.account_id, key or None)
        return Caller(principal, self._region(claim.region))

    def _region(self, text: str) -> str:
        """S3 clients may sign for "aws-global", and anything may stand there when nothing is verified."""
        return text if _REGION.fullmatch(text) else self._defaults.region


def _principal(credential: Credential) -> Principal:
    return Principal(credential.account_id, credential.principal_arn, credential.access_key_id)


def _root(account_id: str, access_key_id: str | None) -> Principal:
    return Principal(account_id, f"arn:aws:iam::{account_id}:root", access_key_id)
