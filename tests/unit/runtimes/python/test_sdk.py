"""boto3 for each Python."""

from __future__ import annotations

from lambdad.runtimes.python.family import FAMILY


def test_every_python_has_an_sdk() -> None:
    """Each Python gets boto3; those for which the newest no longer runs get an older one."""
    for runtime in FAMILY.runtimes:
        sdk = FAMILY.sdk(runtime)
        assert sdk is not None and sdk.requirements[0].startswith("boto3")
        if runtime == "python2.7":
            assert sdk.requirements[0] == "boto3<1.18"
