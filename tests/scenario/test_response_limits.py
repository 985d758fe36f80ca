"""The size of a response, to the byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.server import running

pytestmark = pytest.mark.root

LIMIT = 6_291_556

FUNCTION = """
count = 0
def handler(event, context):
    global count
    count += 1
    return count if event is None else "x" * (event - 2)
"""


def test_the_largest_response(tmp_path: Path) -> None:
    """6 MB and 100 bytes are passed on; one byte more is AWS's error, and the environment goes on as if nothing was."""
    with running(tmp_path) as server:
        server.create_function("large", FUNCTION, Timeout=20, MemorySize=256)
        client = server.client("lambda")
        answer = client.invoke(FunctionName="large", Payload=json.dumps(LIMIT))
        assert "FunctionError" not in answer
        assert len(answer["Payload"].read()) == LIMIT
        for size in (LIMIT + 1, 2 * LIMIT):
            server.wait_for_rest()
            answer = client.invoke(FunctionName="large", Payload=json.dumps(size))
            assert answer["FunctionError"] == "Unhandled"
            assert json.load(answer["Payload"]) == {
                "errorMessage": f"Response payload size exceeded maximum allowed payload size ({LIMIT} bytes).",
                "errorType": "Function.ResponseSizeTooLarge",
            }
        assert server.invoke_again("large") == 4, "the same process all along"
