"""Whether the packages of a deployment are signed as the function's code signing configuration wants it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from lambdad.errors import ServiceError
from lambdad.model.code_signature import CodeSignature, Standing, Verdict, judge
from lambdad.model.code_signing import ENFORCE, CodeSigningConfig
from lambdad.model.function import Configuration
from lambdad.model.version import CodeArchive
from lambdad.signature.archive import examine

logger = logging.getLogger(__name__)


class SignatureTrust(Protocol):
    """The keeper of the signing profiles."""

    async def standing(self, signature: CodeSignature, /) -> Standing:
        """Of an intact signature: whose it is, and whether it was revoked."""
        ...


async def signature_of(trust: SignatureTrust, package: Path) -> CodeSignature | None:
    """The signature in a package that has been unpacked already. What it says is vouched for where the certificate is the
    profile's."""
    signature = await asyncio.to_thread(_examined, package)
    if signature is None or not signature.is_intact:
        return signature
    return replace(signature, is_vouched_for=(await trust.standing(signature)).is_genuine)


async def check_signatures(
    trust: SignatureTrust, config: CodeSigningConfig | None, arn: str, configuration: Configuration, now: float
) -> None:
    """Of the package and of each layer. A broken signature is refused, an untrusted one where the policy is to enforce."""
    if config is None:
        return
    for what, code in _packages(arn, configuration):
        signature = code.signature
        standing = await trust.standing(signature) if signature is not None and signature.is_intact else None
        verdict, reason = judge(signature, standing, config.publishers, now)
        if verdict is Verdict.BROKEN:
            raise ServiceError(
                "InvalidCodeSignatureException",
                f"Lambda cannot deploy the function. The code signature of {what} failed the integrity check: {reason}.",
            )
        if verdict is Verdict.UNTRUSTED and config.policy == ENFORCE:
            raise ServiceError(
                "CodeVerificationFailedException",
                "Lambda cannot deploy the function. The function or layer might be signed using a signature that the client is "
                f"not configured to accept. Check the provided signature for {what}. ({reason[0].upper()}{reason[1:]}.)",
            )
        if verdict is Verdict.UNTRUSTED:
            logger.warning("Code signing: %s is deployed to %s although %s (%s warns only).", what, arn, reason, config.arn)


def _packages(arn: str, configuration: Configuration) -> Iterable[tuple[str, CodeArchive]]:
    yield arn, configuration.code
    for layer in configuration.layers:
        yield layer.arn, layer.code


def _examined(package: Path) -> CodeSignature | None:
    with package.open("rb") as content:
        return examine(content)
