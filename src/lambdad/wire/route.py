"""Which service and which operation a request is for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from lambdad.errors import ServiceError
from lambdad.wire.addressing import HostMeaning, meaning_of
from lambdad.wire.claim import Claim
from lambdad.wire.dialect import Dialect
from lambdad.wire.http import HttpRequest, Query
from lambdad.wire.rest_table import Match, RestTable
from lambdad.wire.spec import ServiceSpec, SpecLibrary

FORM = "application/x-www-form-urlencoded"


class Router:
    """Chooses by the signature's scope, the target header, the host, the path, in this order; S3 is what remains."""

    def __init__(self, specs: SpecLibrary, dialects: Mapping[str, Dialect]) -> None:
        self._specs = specs
        self._dialects = dialects
        self._tables: dict[str, RestTable] = {}
        self._by_signing_name: dict[str, list[ServiceSpec]] = {}
        for spec in specs:
            self._by_signing_name.setdefault(spec.signing_name, []).append(spec)
        self._by_target = {spec.target_prefix: spec for spec in specs if spec.target_prefix}
        self._by_endpoint = {spec.endpoint_prefix: spec for spec in specs}
        self._by_first_segment = {
            segment: spec
            for spec in specs
            if spec.protocol == "rest-json"
            for segment in spec.first_path_segments
        }  # fmt: skip
        self._fallback = next((spec for spec in specs if dialects[spec.name].is_s3), None)
        prefixes = frozenset(self._by_endpoint)
        self._meaning_of = lru_cache(1024)(lambda host: meaning_of(host, prefixes))

    def service_of(self, request: HttpRequest, claim: Claim | None, form: Query | None) -> ServiceSpec:
        """The service, and with a bucket in the host name `request.path` in path style."""
        meaning: HostMeaning = self._meaning_of(request.host)
        spec = self._named_service(request, claim, meaning, form) or self._fallback
        if spec is None:
            raise ServiceError("UnknownService", "No service is served under this address.", status=404)
        if meaning.bucket and self._dialects[spec.name].is_s3:
            request.path = f"/{meaning.bucket}{request.raw_path}"
            request.host = meaning.base
        return spec

    def likely_service(self, request: HttpRequest, claim: Claim | None) -> str:
        """For errors that come before the service is known, or because it is not."""
        try:
            return self.service_of(request, claim, None).name
        except ServiceError:
            if request.headers.get("x-amz-target"):
                wanted = "json"
            else:
                wanted = "query" if request.headers.get("content-type", "").startswith(FORM) else "rest-json"
            return next((spec.name for spec in self._specs if spec.protocol == wanted), self._specs.names[0])

    def operation_of(self, spec: ServiceSpec, request: HttpRequest, form: Query | None) -> Match:
        if spec.protocol == "json":
            name = request.headers.get("x-amz-target", "").rpartition(".")[2]
        elif spec.protocol == "query":
            name = _action(form) or _action(request.query)
        else:
            return self._rest_operation(spec, request)
        if not name or not spec.has_operation(name):
            raise self._unknown(spec, request, name)
        return Match(name, {})

    def _named_service(
        self, request: HttpRequest, claim: Claim | None, meaning: HostMeaning, form: Query | None
    ) -> ServiceSpec | None:
        target = request.headers.get("x-amz-target", "").rpartition(".")[0]
        if target in self._by_target:
            return self._by_target[target]
        if claim and claim.service:
            candidates = self._by_signing_name.get(claim.service)
            if not candidates:
                # Not a status of 5xx: version 2 of the SDK for JavaScript would ask ten times, for half a minute.
                raise ServiceError("UnknownService", f"The service '{claim.service}' is not served here.", status=400)
            return candidates[0]
        if meaning.service in self._by_endpoint:
            return self._by_endpoint[meaning.service]
        if form is not None and (spec := self._by_action(form)):
            return spec
        return self._by_first_segment.get(request.raw_path.partition("/")[2].partition("/")[0])

    def _by_action(self, form: Query) -> ServiceSpec | None:
        """Unsigned calls such as AssumeRoleWithWebIdentity say only what they want and the API's version."""
        version = form.get("Version", [""])[0]
        queried = [spec for spec in self._specs if spec.protocol == "query" and spec.has_operation(_action(form))]
        return next((spec for spec in queried if not version or spec.api_version == version), None)

    def _rest_operation(self, spec: ServiceSpec, request: HttpRequest) -> Match:
        table = self._table(spec)
        match = table.match(request.method, request.path, request.query, request.headers)
        if match is None:
            raise self._unknown(spec, request, f"{request.method} {request.path}")
        if self._dialects[spec.name].is_s3 and request.query:
            stray = table.stray_subresource(match.operation, request.query)
            if stray is not None:
                message = f"This operation does not accept the query parameter '{stray}'."
                members = {"ArgumentName": stray, "ArgumentValue": request.query[stray][0]}
                raise ServiceError("InvalidArgument", message, status=400, members=members)
        return match

    def _table(self, spec: ServiceSpec) -> RestTable:
        table = self._tables.get(spec.name)
        if table is None:
            is_s3 = self._dialects[spec.name].is_s3
            table = self._tables[spec.name] = RestTable(spec, needs_subresource=is_s3)
        return table

    def _unknown(self, spec: ServiceSpec, request: HttpRequest, what: str) -> ServiceError:
        dialect = self._dialects[spec.name]
        if dialect.is_s3:
            members = {"Method": request.method, "ResourceType": "OBJECT" if request.path.count("/") > 1 else "SERVICE"}
            message = "The specified method is not allowed against this resource."
            return ServiceError("MethodNotAllowed", message, status=405, members=members)
        message = f"Unknown operation: {what[:200]}" if what else "The request names no operation."
        return ServiceError(dialect.unknown_operation_code, message, status=dialect.unknown_operation_status)


def _action(form: Query | None) -> str:
    return form.get("Action", [""])[0] if form else ""
