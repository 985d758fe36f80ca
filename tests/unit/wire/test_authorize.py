"""wire/authorize.py with auth off: whom a request names."""

from __future__ import annotations

import pytest

from lambdad.model.credential import Credential
from lambdad.wire.auth_error import AuthFailure
from lambdad.wire.authorize import Authorizer, Caller, Defaults, Target
from lambdad.wire.claim import Claim
from lambdad.wire.dialect import dialect_of
from lambdad.wire.http import request_from_scope

KNOWN = Credential("AKIAKNOWN", "secret", "111122223333", "arn:aws:iam::111122223333:user/alice", "token")


def caller_of(claim: Claim | None) -> Caller:
    defaults = Defaults("999900001111", "eu-north-1")
    authorizer = Authorizer({KNOWN.access_key_id: KNOWN}.get, auth_required=False, clock=lambda: 0.0, defaults=defaults)
    request = request_from_scope({"method": "GET", "raw_path": b"/", "query_string": b"", "headers": []})
    signature = authorizer.refuse_early(request, claim, Target("s3", is_s3=True))
    assert signature is None
    return authorizer.caller_of(request, claim, signature, Target("s3", is_s3=True), lambda: "")


@pytest.mark.parametrize(
    ("claim", "account_id", "region", "arn"),
    [
        (None, "999900001111", "eu-north-1", "arn:aws:iam::999900001111:root"),
        (Claim("AKIAKNOWN", "", "us-west-2", "s3", False), "111122223333", "us-west-2", KNOWN.principal_arn),
        (Claim("AKIAOTHER", "", "us-west-2", "s3", False), "999900001111", "us-west-2", "arn:aws:iam::999900001111:root"),
        (Claim("444455556666", "", "us-gov-west-1", "s3", False), "444455556666", "us-gov-west-1", "arn:aws:iam::444455556666:root"),  # noqa: E501 - one case a line
        (Claim("44445555666", "", "aws-global", "s3", False), "999900001111", "eu-north-1", "arn:aws:iam::999900001111:root"),
        (Claim("", "", "../../etc", "s3", False), "999900001111", "eu-north-1", "arn:aws:iam::999900001111:root"),
    ],
    ids=range(6),
)  # fmt: skip
def test_caller(claim: Claim | None, account_id: str, region: str, arn: str) -> None:
    """A known key names its owner, twelve digits an account, anything else the default; odd regions the default one."""
    caller = caller_of(claim)
    assert (caller.principal.account_id, caller.region, caller.principal.arn) == (account_id, region, arn)
    assert caller.chunk_signer is None


@pytest.mark.parametrize(
    ("service", "protocol", "code", "status"),
    [
        ("s3", "rest-xml", "ExpiredToken", 400),
        ("lambda", "rest-json", "ExpiredTokenException", 403),
        ("logs", "json", "ExpiredTokenException", 400),
        ("sts", "query", "ExpiredToken", 403),
    ],
)
def test_an_expired_token_is_told_from_an_unknown_one(service: str, protocol: str, code: str, status: int) -> None:
    """From the second on at which it ends, before anything of the body is read, in each service's words."""
    header = (
        "AWS4-HMAC-SHA256 Credential=ASIAX/20261125/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature="
        + "0" * 64
    )
    session = Credential("ASIAX", "secret", "111122223333", "arn:aws:sts::111122223333:assumed-role/r/s", "t", expires_at=100.0)
    headers = [(b"host", b"localhost"), (b"authorization", header.encode()), (b"x-amz-date", b"20261125T000000Z")]
    request = request_from_scope({"method": "GET", "raw_path": b"/", "query_string": b"", "headers": headers})
    for now, expired in ((99.9, False), (100.0, True)):
        authorizer = Authorizer({"ASIAX": session}.get, auth_required=True, clock=lambda now=now: now)
        if not expired:
            assert authorizer.refuse_early(request, None, Target("s3")) is not None
            continue
        with pytest.raises(AuthFailure) as failure:
            authorizer.refuse_early(request, None, Target("s3"))
        refusal = failure.value.as_service_error(dialect_of(service, protocol), protocol)
        assert (refusal.code, refusal.status) == (code, status)


def test_secrets_are_not_printed() -> None:
    """A credential in a log line or a traceback shows neither its secret nor its token."""
    assert "secret" not in repr(KNOWN)
    assert "token" not in repr(KNOWN)
