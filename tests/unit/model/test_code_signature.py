"""Which packages a code signing configuration trusts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lambdad.model.code_signature import CodeSignature, Standing, Verdict, judge

PROFILE = "arn:aws:signer:us-east-1:111111111111:/signing-profiles/p/0123456789"
SIGNATURE = CodeSignature(PROFILE, "arn:job", signed_at=100.0, expires_at=200.0, certificate_digest="00")
GOOD = Standing(is_known=True, is_genuine=True)


@pytest.mark.parametrize(
    ("signature", "standing", "allowed", "now", "verdict", "reason"),
    [
        (SIGNATURE, GOOD, {PROFILE}, 199.9, Verdict.TRUSTED, ""),
        (SIGNATURE, GOOD, {PROFILE}, 200.0, Verdict.UNTRUSTED, "expired"),
        (SIGNATURE, GOOD, {f"{PROFILE}x"}, 150.0, Verdict.UNTRUSTED, "not an allowed publisher"),
        (SIGNATURE, replace(GOOD, is_revoked=True), {PROFILE}, 150.0, Verdict.UNTRUSTED, "revoked"),
        (SIGNATURE, Standing(is_known=False), {PROFILE}, 150.0, Verdict.UNTRUSTED, "not known here"),
        (SIGNATURE, Standing(is_known=False), set(), 150.0, Verdict.UNTRUSTED, "not an allowed publisher"),
        (SIGNATURE, Standing(is_known=True), {PROFILE}, 150.0, Verdict.BROKEN, f"certificate of {PROFILE}"),
        (SIGNATURE, Standing(is_known=True), set(), 500.0, Verdict.BROKEN, "not signed with the certificate"),
        (CodeSignature(problem="it was changed"), None, {PROFILE}, 150.0, Verdict.BROKEN, "it was changed"),
        (None, None, {PROFILE}, 150.0, Verdict.UNTRUSTED, "it is not signed"),
    ],
)
def test_verdicts(
    signature: CodeSignature | None, standing: Standing | None, allowed: set[str], now: float, verdict: Verdict, reason: str
) -> None:
    """Only a whole, known, allowed, unrevoked and unexpired signature is trusted, and a false one is worse than none."""
    found, why = judge(signature, standing, allowed, now)
    assert found is verdict
    assert reason in why
