"""Any values for an operation's members as the HTTP request that carries them, with no check of what they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from support.wire_client import WireRequest


def request_of(operation: Any, values: Mapping[str, Any]) -> WireRequest:
    """Members of the body stand in it as JSON prints them: bytes are for payloads, base64 for others is the caller's."""
    members = operation.input_shape.members if operation.input_shape else {}
    path, _, fixed = operation.http["requestUri"].partition("?")
    query = [fixed] if fixed else []
    headers: dict[str, str] = {}
    body: dict[str, Any] = {}
    payload = operation.input_shape.serialization.get("payload") if operation.input_shape else None
    raw = b""
    for member, value in values.items():
        place = members[member].serialization.get("location") if member in members else None
        name = members[member].serialization.get("name", member) if member in members else member
        if member == payload:
            raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        elif place == "uri":
            path = path.replace("{" + name + "}", quoted(_text(value)))
        elif place == "querystring":
            query += [f"{name}={quoted(_text(each))}" for each in (value if isinstance(value, list) else [value])]
        elif place == "header":
            headers[name] = _text(value).replace("\r", " ").replace("\n", " ")  # which end a header, and are no part of it
        else:
            body[name] = value
    if not payload and operation.http["method"] in ("POST", "PUT"):
        raw = json.dumps(body).encode("utf-8", "surrogatepass")
    return WireRequest(operation.http["method"], path + ("?" + "&".join(query) if query else ""), raw, headers)


def has_json_body(operation: Any) -> bool:
    shape = operation.input_shape
    if shape is None or shape.serialization.get("payload") is not None:
        return False
    return any(member.serialization.get("location") is None for member in shape.members.values())


def quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
