"""Names of repositories."""

from __future__ import annotations

import pytest

from lambdad.services.ecr.model import RepositoryName


def test_a_repository_is_found_by_its_arn() -> None:
    name = RepositoryName("123456789012", "eu-west-1", "team/app")
    assert RepositoryName.of_arn(name.arn) == name


@pytest.mark.parametrize(
    "arn", ["", "*", "arn:aws:ecr:eu-west-1:123456789012:image/app", "arn:aws:s3:eu-west-1:123456789012:repository/app"]
)
def test_another_arn_is_no_repositorys(arn: str) -> None:
    assert RepositoryName.of_arn(arn) is None
