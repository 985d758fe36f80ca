"""Queued events: their bytes and their waits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lambdad.model.event import FailureTargets, QueuedEvent, backoff_seconds, decode_event, encode_event

EVENT = QueuedEvent(
    request_id="r",
    account_id="000000000000",
    region="eu-west-1",
    function_name="f",
    qualifier=None,
    invoked_function_arn="arn:aws:lambda:eu-west-1:000000000000:function:f",
    payload=b"{}",
    trace_header="Root=1-0-0",
    accepted_at=1.5,
)


@given(payload=st.binary(), qualifier=st.none() | st.text(st.characters(exclude_categories=["Cs"])))
def test_round_trip(payload: bytes, qualifier: str | None) -> None:
    """An event is read as it was written, its payload byte for byte."""
    event = replace(EVENT, payload=payload, qualifier=qualifier)
    assert decode_event(encode_event(event)) == event


def test_whom_to_tell_goes_along() -> None:
    """Targets are kept with the event; one that was written without them is read as having none."""
    event = replace(EVENT, if_function_goes=FailureTargets("arn:t", "arn:d", "arn:r"))
    assert decode_event(encode_event(event)) == event
    assert b"if_function_goes" not in encode_event(EVENT)
    assert decode_event(encode_event(EVENT)) == EVENT


@pytest.mark.parametrize("data", [b"", b"{}", b"{}\n{}", b"[]\n", b"\n", b"\xff\n{}"])
def test_unreadable(data: bytes) -> None:
    """Bytes that are no event are a ValueError."""
    with pytest.raises(ValueError):
        decode_event(data)


def test_backoff() -> None:
    """Waits double from 1 second to 5 minutes."""
    assert [backoff_seconds(attempts) for attempts in (1, 2, 3, 8, 9, 10, 10_000)] == [1, 2, 4, 128, 256, 300, 300]


def test_the_tenant_goes_along() -> None:
    """An event keeps whose it is; one of a server that knew no tenants is nobody's."""
    event = replace(EVENT, tenant_id="blue")
    assert decode_event(encode_event(event)) == event
    older = (
        b'{"request_id":"r","account_id":"000000000000","region":"eu-west-1","function_name":"f","qualifier":null,'
        b'"invoked_function_arn":"arn:aws:lambda:eu-west-1:000000000000:function:f","trace_header":"Root=1-0-0",'
        b'"accepted_at":1.5}\n{}'
    )
    assert decode_event(older) == EVENT
