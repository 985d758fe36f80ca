"""Which pages may use a function's URL, and what its id is made of."""

from __future__ import annotations

import re

import pytest

from lambdad.model.function_url import Cors, is_preflight, url_id_of

PAGE = "https://page.example"
ALLOW_ORIGIN = "access-control-allow-origin"


def preflight(origin: str = PAGE, method: str = "PUT", headers: str = "") -> dict[str, str]:
    asked = {"origin": origin, "access-control-request-method": method}
    return {**asked, "access-control-request-headers": headers} if headers else asked


@pytest.mark.parametrize(
    ("cors", "origin", "expected"),
    [
        (Cors(), PAGE, {}),
        (Cors(allow_origins=("*",)), None, {"vary": "Origin"}),
        (Cors(allow_origins=("*",)), PAGE, {ALLOW_ORIGIN: "*"}),
        (Cors(allow_origins=(PAGE,)), PAGE, {ALLOW_ORIGIN: PAGE, "vary": "Origin"}),
        (Cors(allow_origins=("https://PAGE.example",)), PAGE, {ALLOW_ORIGIN: PAGE, "vary": "Origin"}),
        (Cors(allow_origins=(PAGE,)), PAGE + ".evil.example", {"vary": "Origin"}),
        (Cors(allow_origins=(PAGE,)), "null", {"vary": "Origin"}),
        (
            Cors(allow_origins=("*",), allow_credentials=True, expose_headers=("x-a", "x-b")),
            PAGE,
            {
                ALLOW_ORIGIN: PAGE,
                "vary": "Origin",
                "access-control-allow-credentials": "true",
                "access-control-expose-headers": "x-a,x-b",
            },
        ),
    ],
)
def test_answers_name_an_origin_that_is_allowed(cors: Cors, origin: str | None, expected: dict[str, str]) -> None:
    """A page that is not allowed is told nothing; the star is never given together with credentials."""
    assert cors.answer_headers(origin) == expected


def test_a_preflight_is_told_what_the_settings_grant() -> None:
    """Methods, headers and age are those of the settings; exposed headers belong to the answer itself."""
    cors = Cors(False, ("x-a", "x-b"), ("GET", "PUT"), (PAGE,), ("x-c",), 300)
    assert cors.preflight_headers(preflight()) == {
        ALLOW_ORIGIN: PAGE,
        "vary": "Origin",
        "access-control-allow-methods": "GET,PUT",
        "access-control-allow-headers": "x-a,x-b",
        "access-control-max-age": "300",
    }
    assert cors.preflight_headers(preflight(origin="https://other.example")) == {"vary": "Origin"}


def test_a_star_grants_what_was_asked_for() -> None:
    """With credentials browsers take no star, so what it means is said in full."""
    cors = Cors(True, ("*",), ("*",), ("*",))
    headers = cors.preflight_headers(preflight(headers="x-one, x-two"))
    assert headers["access-control-allow-methods"] == "PUT"
    assert headers["access-control-allow-headers"] == "x-one,x-two"
    assert "access-control-allow-headers" not in cors.preflight_headers(preflight())


def test_a_preflight_asks_about_a_method() -> None:
    """OPTIONS alone is a request like any other."""
    assert is_preflight("OPTIONS", preflight())
    assert not is_preflight("OPTIONS", {"origin": PAGE})
    assert not is_preflight("GET", preflight())


def test_ids_are_stable_and_their_own() -> None:
    """The same name gives the same id in one installation, another name or another installation another one."""
    given = ("123456789012", "us-east-1", "f", "$LATEST")
    assert url_id_of(b"secret", *given) == url_id_of(b"secret", *given)
    others = {
        url_id_of(b"secret", *given[:3], "live"),
        url_id_of(b"secret", *given[:2], "g", "$LATEST"),
        url_id_of(b"s", *given),
    }
    assert len(others | {url_id_of(b"secret", *given)}) == 4
    assert all(re.fullmatch("[a-z0-9]{32}", each) for each in others)
