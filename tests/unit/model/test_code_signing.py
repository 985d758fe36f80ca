"""Code signing configurations."""

from __future__ import annotations

import pytest

from lambdad.model.code_signing import CodeSigningConfig, is_profile_version

PROFILE = "arn:aws:signer:us-east-1:111111111111:/signing-profiles/p_1/0123456789"


@pytest.mark.parametrize(
    ("arn", "is_one"),
    [
        (PROFILE, True),
        (PROFILE.replace("aws:signer", "aws-cn:signer"), True),
        (PROFILE.rpartition("/")[0], False),
        (PROFILE + "x", False),
        (PROFILE.replace("p_1", "p-1"), False),
        (PROFILE.replace("signer", "lambda"), False),
        (PROFILE + "\n", False),
    ],
)
def test_versions_of_profiles(arn: str, is_one: bool) -> None:
    """A publisher is one version of a profile, not the profile."""
    assert is_profile_version(arn) is is_one


def test_its_arn() -> None:
    """Region, account and id."""
    config = CodeSigningConfig("111111111111", "us-east-1", "csc-0123456789abcdefg", (PROFILE,), 0.0)
    assert config.arn == "arn:aws:lambda:us-east-1:111111111111:code-signing-config:csc-0123456789abcdefg"
