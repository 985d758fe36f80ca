"""Who is named by a Principal element, and how closely."""

from __future__ import annotations

from typing import Any

import pytest

from lambdad.model.policy_principal import Named, Names, principals_of

ACCOUNT = "111111111111"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s"
CALLER = Names(ACCOUNT, exact=(SESSION,), role=(ROLE, "AROA2AAAAAAAAAAAAAAAA"))


@pytest.mark.parametrize(
    ("element", "named"),
    [
        ("*", Named.ANYONE),
        ({"AWS": "*"}, Named.ANYONE),
        ({"AWS": ROLE}, Named.ANYONE),
        ({"AWS": "AROA2AAAAAAAAAAAAAAAA"}, Named.ANYONE),
        ({"AWS": [ACCOUNT, SESSION]}, Named.EXACTLY),
        ({"AWS": ACCOUNT}, Named.ACCOUNT),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, Named.ACCOUNT),
        ({"AWS": "222222222222"}, Named.NOT),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/other"}, Named.NOT),
        ({"Service": "lambda.amazonaws.com"}, Named.NOT),
        ({"Federated": "example.com"}, Named.NOT),
        ({"Service": "lambda.amazonaws.com", "AWS": ACCOUNT}, Named.ACCOUNT),
    ],
)
def test_a_session_is_named_by_itself_its_role_or_its_account(element: Any, named: Named) -> None:
    """The closest of them counts."""
    principals = principals_of(element)
    assert principals is not None
    assert principals.naming(CALLER) is named


def test_a_service_is_named_by_its_name() -> None:
    """Not by an account."""
    service = Names(service="s3.amazonaws.com")
    for element, named in (
        ({"Service": "s3.amazonaws.com"}, Named.EXACTLY),
        ("*", Named.ANYONE),
        ({"AWS": ACCOUNT}, Named.NOT),
    ):
        principals = principals_of(element)
        assert principals is not None
        assert principals.naming(service) is named


def test_who_is_gone_is_named_by_nothing_but_everybody() -> None:
    """A credential whose user or role is no more has no names."""
    principals = principals_of({"AWS": [ACCOUNT, SESSION, ROLE]})
    assert principals is not None
    assert principals.naming(Names()) is Named.NOT


@pytest.mark.parametrize("element", [None, 5, [], {}, {"AWS": 5}, {"AWS": ""}, {"X": "*"}, {"AWS": ["x"]}, {"Service": "x"}])
def test_what_is_no_principal_is_refused(element: Any) -> None:
    """IAM stores none of these."""
    assert principals_of(element) is None


def test_names_of_unknown_form_name_nobody_else() -> None:
    """Services keep such names; they match who is called exactly so."""
    principals = principals_of({"AWS": "strange"}, lenient=True)
    assert principals is not None
    assert principals.naming(CALLER) is Named.NOT
