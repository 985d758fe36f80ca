"""Where function URLs are, and that nothing with the look of one is taken for something else."""

from __future__ import annotations

import pytest

from lambdad.services.lambda_.url_address import address_of, owns, url_for

ID = "a" * 32


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        (f"{ID}.lambda-url.us-east-1.localhost:4566", "/a%2Fb", (ID, "us-east-1", "/a%2Fb")),
        (f"{ID}.lambda-url.eu-west-1.localhost.localstack.cloud", "/", (ID, "eu-west-1", "/")),
        (f"{ID}.lambda-url.us-east-1.on.aws", "/_lambdad/health", (ID, "us-east-1", "/_lambdad/health")),
        (f"{ID}.lambda-url.us-east-1.localhost", f"/_lambdad/url/{'b' * 32}/", (ID, "us-east-1", f"/_lambdad/url/{'b' * 32}/")),
        ("localhost:4566", f"/_lambdad/url/{ID}", (ID, None, "/")),
        ("localhost:4566", f"/_lambdad/url/{ID}/a//b/../c", (ID, None, "/a//b/../c")),
        ("169.254.100.1:4566", f"/_lambdad/url/{ID}/%00", (ID, None, "/%00")),
    ],
)
def test_hosts_and_paths_name_a_url(host: str, path: str, expected: tuple[str, str | None, str]) -> None:
    """A host says id and region, a path the id; what is below passes undecoded, and the host counts first."""
    address = address_of(host, path)
    assert address is not None
    assert (address.url_id, address.region, address.path) == expected
    assert owns(host, path)


@pytest.mark.parametrize(
    ("host", "path"),
    [
        (f"x.{ID}.lambda-url.us-east-1.localhost", "/2015-03-31/functions"),
        (f"{ID}.lambda-url.us-east-1", "/"),
        (f"{ID}.lambda-url..localhost", "/"),
        (f"{ID}.lambda-url.us-east-1.localhost:99999999", "/"),
        (f"{ID}.lambda-url.us-east-1.localhost/../", "/"),
        (f"-{ID}.lambda-url.us-east-1.localhost", "/"),
        (".lambda-url.us-east-1.localhost", "/"),
        ("%61.lambda-url.us-east-1.localhost", "/"),
        ("é.lambda-url.us-east-1.localhost", "/"),
        (f"{ID}.lambda-url.us-east-1.localhost, localhost", "/"),
        ("localhost", "/_lambdad/url"),
        ("localhost", "/_lambdad/url/"),
        ("localhost", "/_lambdad/url/..%2Fhealth"),
        ("localhost", "/_lambdad/url/../health"),
        ("localhost", f"/_lambdad/url/{ID.upper()}/"),
        ("localhost", f"/_lambdad/url/{ID}?x"),
    ],
)
def test_what_only_looks_like_a_url_is_none_and_not_the_apis(host: str, path: str) -> None:
    """It is owned, so that the API does not get it, and has no address."""
    assert owns(host, path)
    assert address_of(host, path) is None


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("localhost:4566", "/2015-03-31/functions"),
        ("lambda-url.us-east-1.localhost", "/key"),
        ("my-lambda-url.s3.us-east-1.localhost", "/key"),
        ("lambda.us-east-1.localhost", "/_lambdad/urls"),
        ("", "/"),
    ],
)
def test_other_requests_are_not_for_urls(host: str, path: str) -> None:
    """Buckets and APIs keep their hosts and paths."""
    assert not owns(host, path)


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("http://localhost:4566", f"http://{ID}.lambda-url.us-east-1.localhost:4566/"),
        ("http://127.0.0.1:4566", f"http://{ID}.lambda-url.us-east-1.localhost:4566/"),
        ("http://[::1]:4566", f"http://{ID}.lambda-url.us-east-1.localhost:4566/"),
        ("http://lambda.us-east-1.localhost:4566", f"http://{ID}.lambda-url.us-east-1.localhost:4566/"),
        (
            "https://localhost.localstack.cloud:4566",
            f"https://{ID}.lambda-url.us-east-1.localhost.localstack.cloud:4566/",
        ),
        ("http://LOCALHOST:99999", f"http://{ID}.lambda-url.us-east-1.localhost:99999/"),
        ("http://[fe80::1]", f"http://[fe80::1]/_lambdad/url/{ID}/"),
        ("http://169.254.100.1:4566", f"http://169.254.100.1:4566/_lambdad/url/{ID}/"),
        ("http://build-machine.example", f"http://build-machine.example/_lambdad/url/{ID}/"),
    ],
)
def test_the_url_given_is_one_that_its_asker_can_use(endpoint: str, expected: str) -> None:
    """Names below localhost are the asker's own machine only where localhost was."""
    assert url_for(endpoint, ID, "us-east-1") == expected
    assert 40 <= len(expected) <= 100  # the model's bounds
