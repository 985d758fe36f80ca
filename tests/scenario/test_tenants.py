"""Tenant isolation as its users see it; with boto3 against full isolation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.server import Server, running, wait_until

pytestmark = pytest.mark.root

REMEMBERS = """
import logging, os, time

SEEN = []

def handler(event, context):
    SEEN.append(context.tenant_id)
    left = os.listdir("/tmp")
    open("/tmp/" + context.tenant_id.encode().hex(), "w").close()
    logging.getLogger().warning("working")
    if event == "raise":
        raise ValueError("as asked")
    if event == "slow":
        time.sleep(3)
    return {"tenant": context.tenant_id, "seen": SEEN, "left": left}
"""
PER_TENANT = {"TenantIsolationMode": "PER_TENANT"}


def call(server: Server, name: str, tenant: str, event: Any = None) -> Any:
    server.wait_for_rest()
    answer = server.client("lambda").invoke(FunctionName=name, TenantId=tenant, Payload=json.dumps(event).encode())
    return json.load(answer["Payload"])


def test_no_tenant_finds_anything_of_another(server: Server) -> None:
    """Memory and /tmp of an environment know one tenant, also after an error; the function knows whom it works for."""
    server.create_function("tenants", REMEMBERS, TenancyConfig=PER_TENANT, LoggingConfig={"LogFormat": "JSON"})
    lambda_ = server.client("lambda")
    for number in range(3):
        for tenant in ("blue", "green", "a:b/c=d+e@f g"):
            answer = call(server, "tenants", tenant)
            assert answer["tenant"] == tenant and set(answer["seen"]) == {tenant}
            assert answer["left"] == ([tenant.encode().hex()] if number else [])
    assert call(server, "tenants", "blue", "raise")["errorType"] == "ValueError"
    assert call(server, "tenants", "blue")["seen"] == ["blue"] * 5
    events = list(lambda_.invoke_with_response_stream(FunctionName="tenants", TenantId="green")["EventStream"])
    assert json.loads(events[0]["PayloadChunk"]["Payload"])["seen"] == ["green"] * 4
    for arguments in ({}, {"TenantId": "x" * 257}, {"TenantId": "a,b"}):
        with pytest.raises(ClientError) as refused:
            lambda_.invoke(FunctionName="tenants", **arguments)
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400

    def records() -> list[dict[str, Any]]:
        return [json.loads(line) for line in server.messages("/aws/lambda/tenants")]

    wait_until(lambda: sum(record.get("type") == "platform.report" for record in records()) == 12, 10, "all reports")
    told = [
        (record.get("type") or record["level"], record.get("tenantId") or record.get("record", {}).get("tenantId"))
        for record in records()
    ]
    for kind, times in (("platform.start", 5), ("platform.report", 5), ("WARNING", 5), ("ERROR", 1)):
        assert told.count((kind, "blue")) == times, kind
    assert {tenant for kind, tenant in told if kind == "platform.initStart"} == {None}


def test_an_event_keeps_its_tenant_through_a_kill(tmp_path: Path) -> None:
    """An event that was acknowledged runs for its tenant, also when the server was killed while it ran."""
    with running(tmp_path) as server:
        server.create_function("queued", REMEMBERS, TenancyConfig=PER_TENANT, Timeout=30)
        server.client("lambda").invoke(FunctionName="queued", TenantId="blue", InvocationType="Event", Payload=b'"slow"')
        wait_until(lambda: server.health()["environments"]["busy"] == 1, 20, "the event to run")
        server.kill()
        server.start()

        def has_ended() -> bool:
            return any("REPORT" in line for line in server.messages("/aws/lambda/queued"))

        wait_until(has_ended, 60, "the event to have run again")
        assert set(call(server, "queued", "blue")["seen"]) == {"blue"}
        assert call(server, "queued", "green")["seen"] == ["green"]
