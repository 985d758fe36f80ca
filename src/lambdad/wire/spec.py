"""botocore's service models: operations, shapes and errors of the served services, loaded when first needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, StructureShape

#: Of the protocols a service speaks, the first of these is served.
PROTOCOLS = ("rest-json", "rest-xml", "json", "query")
_LOADER = Loader()  #: one, for each looks through botocore's whole folder first


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """How one of a service's errors looks: `code` is what goes on the wire."""

    code: str
    status: int
    shape: Any  #: its botocore structure
    query_code: str | None = None  #: the older code of services that moved from query to json
    is_sender_fault: bool = True


class ServiceSpec:
    """One service's model. Operations are resolved lazily; documentation is dropped, it is half of the memory."""

    def __init__(self, name: str) -> None:
        description = _LOADER.load_service_model(name, "service-2")
        _drop_documentation(description)
        self.name = name
        self.model = ServiceModel(description, name)
        self._operations: dict[str, OperationModel] = {}
        self._errors: dict[str, ErrorSpec] | None = None
        metadata = self.model.metadata
        spoken = metadata.get("protocols") or [metadata["protocol"]]
        self.protocol = next((protocol for protocol in PROTOCOLS if protocol in spoken), metadata["protocol"])
        self.endpoint_prefix: str = metadata["endpointPrefix"]
        self.signing_name: str = metadata.get("signingName", self.endpoint_prefix)
        self.target_prefix: str | None = metadata.get("targetPrefix")
        self.json_version: str = metadata.get("jsonVersion", "1.0")
        self.api_version: str = metadata["apiVersion"]
        self.is_query_compatible = "awsQueryCompatible" in metadata
        namespace = metadata.get("xmlNamespace", "")
        self.xml_namespace: str = namespace["uri"] if isinstance(namespace, Mapping) else namespace

    @property
    def operation_names(self) -> list[str]:
        return list(self.model.operation_names)

    @property
    def first_path_segments(self) -> set[str]:
        """The fixed words its paths begin with ("2015-03-31"), read without resolving any shape."""
        operations = self.model._service_description["operations"].values()
        segments = {operation["http"]["requestUri"].split("/", 2)[1].partition("?")[0] for operation in operations}
        return {segment for segment in segments if segment and not segment.startswith("{")}

    @property
    def subresources(self) -> frozenset[str]:
        """Fixed query names that choose an operation ("uploads"), read without resolving any shape."""
        operations = self.model._service_description["operations"].values()
        queries = (operation["http"]["requestUri"].partition("?")[2] for operation in operations)
        return frozenset(part.partition("=")[0] for query in queries for part in query.split("&") if part)

    def has_operation(self, name: str) -> bool:
        return name in self._operations or name in self.model._service_description["operations"]

    def operation(self, name: str) -> OperationModel:
        found = self._operations.get(name)
        if found is None:
            found = self._operations[name] = self.model.operation_model(name)
        return found

    def error(self, code: str) -> ErrorSpec | None:
        """The error with this shape name or wire code."""
        if self._errors is None:
            self._errors = dict(_errors_of(self.model, self.is_query_compatible))
        return self._errors.get(code)


class SpecLibrary:
    """The specs of the served services, each loaded at its first use."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self._specs: dict[str, ServiceSpec] = {}

    def __getitem__(self, name: str) -> ServiceSpec:
        spec = self._specs.get(name)
        if spec is None:
            if name not in self.names:
                raise KeyError(name)
            spec = self._specs[name] = ServiceSpec(name)
        return spec

    def __iter__(self) -> Iterator[ServiceSpec]:
        return (self[name] for name in self.names)

    def __contains__(self, name: str) -> bool:
        return name in self.names


def _errors_of(model: ServiceModel, is_query_compatible: bool) -> Iterator[tuple[str, ErrorSpec]]:
    for shape in model.error_shapes:
        spec = _error_spec(shape, is_query_compatible)
        yield shape.name, spec
        yield spec.code, spec
        if spec.query_code:
            yield spec.query_code, spec


def _error_spec(shape: StructureShape, is_query_compatible: bool) -> ErrorSpec:
    details = shape.metadata.get("error", {})
    older_code = details.get("code")
    status = details.get("httpStatusCode", 500 if shape.metadata.get("fault") else 400)
    return ErrorSpec(
        code=shape.name if is_query_compatible else older_code or shape.name,
        status=status,
        shape=shape,
        query_code=older_code if is_query_compatible else None,
        is_sender_fault=details.get("senderFault", status < 500),
    )


def _drop_documentation(node: Any) -> None:
    if isinstance(node, dict):
        if isinstance(node.get("documentation"), str):
            del node["documentation"]
        for child in node.values():
            _drop_documentation(child)
    elif isinstance(node, list):
        for child in node:
            _drop_documentation(child)
