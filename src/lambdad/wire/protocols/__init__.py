"""The wire formats of AWS, driven by the service models."""

from __future__ import annotations

from lambdad.wire.dialect import Dialect
from lambdad.wire.protocols.base import Codec
from lambdad.wire.protocols.json import Json
from lambdad.wire.protocols.query import QueryProtocol
from lambdad.wire.protocols.rest_json import RestJson
from lambdad.wire.protocols.rest_xml import RestXml
from lambdad.wire.spec import ServiceSpec


def codec_for(spec: ServiceSpec, dialect: Dialect) -> Codec:
    if spec.protocol == "rest-json":
        return RestJson(spec)
    if spec.protocol == "rest-xml":
        return RestXml(spec, dialect)
    if spec.protocol == "json":
        return Json(spec)
    if spec.protocol == "query":
        return QueryProtocol(spec)
    raise ValueError(f"{spec.name} speaks {spec.protocol}, which is not served")
