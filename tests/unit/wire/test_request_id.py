"""Request ids."""

from __future__ import annotations

import uuid

from lambdad.wire.request_id import new_request_id


def test_is_a_random_uuid() -> None:
    """Each id is a version 4 UUID in its usual text form, and no two are the same."""
    ids = [new_request_id() for _ in range(1000)]
    assert all(uuid.UUID(text).version == 4 and uuid.UUID(text).variant == uuid.RFC_4122 for text in ids)
    assert all(str(uuid.UUID(text)) == text for text in ids)
    assert len(set(ids)) == 1000
