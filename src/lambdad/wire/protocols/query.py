"""The query protocol: parameters as a form, answers as XML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lambdad.errors import ServiceError
from lambdad.wire.http import Query, Reply
from lambdad.wire.protocols.base import Arrival, Parser, Writer, error_status
from lambdad.wire.protocols.scalar import Unreadable, text_reader
from lambdad.wire.protocols.xml_shapes import XmlShapes, element_name
from lambdad.wire.protocols.xml_text import escape, printable
from lambdad.wire.spec import ServiceSpec

MAX_NAME_DEPTH = 32  #: of the dotted names, "Tags.member.1.Key" has 4

#: A node is a text or the subtree under a dotted name.
Tree = dict[str, Any]
Reader = Callable[[Any], Any]


class QueryProtocol:
    def __init__(self, spec: ServiceSpec) -> None:
        self._spec = spec
        self._xml = XmlShapes()
        self._readers: dict[tuple[Any, ...], Reader] = {}

    def parser(self, operation: str) -> Parser:
        shape = self._spec.operation(operation).input_shape
        if shape is None:
            return lambda arrival: {}
        read = self._reader(shape)

        def parse(arrival: Arrival) -> dict[str, Any]:
            found: dict[str, Any] = read(tree_of(arrival.form if arrival.form is not None else arrival.query))
            return found

        return parse

    def writer(self, operation: str) -> Writer:
        shape = self._spec.operation(operation).output_shape
        opening = f'<{operation}Response xmlns="{self._spec.xml_namespace}">'
        closing = f"</RequestId></ResponseMetadata></{operation}Response>"
        wrapper = shape.serialization.get("resultWrapper", f"{operation}Result") if shape is not None else ""
        write_result = self._xml.members_writer(shape.members) if shape is not None else None

        def write(output: Mapping[str, Any], request_id: str) -> Reply:
            out = [opening]
            if write_result is not None:
                out.append(f"<{wrapper}>")
                write_result(output, out)
                out.append(f"</{wrapper}>")
            out += ["<ResponseMetadata><RequestId>", request_id, closing]
            return Reply(200, {"content-type": "text/xml"}, "".join(out).encode())

        return write

    def error(self, error: ServiceError, request_id: str, resource: str) -> Reply:
        spec = self._spec.error(error.code)
        status = error_status(error, spec)
        body = error_response(error, spec.code if spec else error.code, status, request_id, self._spec.xml_namespace)
        return Reply(status, {"content-type": "text/xml"}, body)

    def _reader(self, shape: Any) -> Reader:
        member = getattr(shape, "member", None)
        flattened = bool(shape.serialization.get("flattened"))
        key = (shape.name, flattened, member.serialization.get("name") if member is not None else None)
        found = self._readers.get(key)
        if found is None:
            make = {"structure": self._structure_reader, "list": self._list_reader, "map": self._map_reader}
            found = make.get(shape.type_name, _scalar_reader)(shape)
            self._readers[key] = found
        return found

    def _structure_reader(self, shape: Any) -> Reader:
        plan: dict[str, tuple[str, Reader]] = {}

        def read_structure(node: Any) -> dict[str, Any]:
            if not isinstance(node, dict):
                raise Unreadable("Unexpected simple value where members of a structure were expected")
            return {plan[name][0]: plan[name][1](child) for name, child in node.items() if name in plan}

        self._readers[(shape.name, False, None)] = read_structure
        for member, member_shape in shape.members.items():
            plan[element_name(member, member_shape)] = (member, self._reader(member_shape))
        return read_structure

    def _list_reader(self, shape: Any) -> Reader:
        read = self._reader(shape.member)
        wrapper = None if shape.serialization.get("flattened") else shape.member.serialization.get("name", "member")

        def read_list(node: Any) -> list[Any]:
            if wrapper is not None and isinstance(node, dict):
                node = node.get(wrapper, {})
            return [] if node == "" else [read(node[index]) for index in _numbered(node)]

        return read_list

    def _map_reader(self, shape: Any) -> Reader:
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        read_key, read_value = self._reader(shape.key), self._reader(shape.value)
        is_flattened = shape.serialization.get("flattened")

        def read_map(node: Any) -> dict[str, Any]:
            if not is_flattened and isinstance(node, dict):
                node = node.get("entry", {})
            found = {}
            for index in _numbered(node):
                entry = node[index]
                if not isinstance(entry, dict) or key_name not in entry or value_name not in entry:
                    raise Unreadable(f"An entry of a map lacks {key_name} or {value_name}")
                found[read_key(entry[key_name])] = read_value(entry[value_name])
            return found

        return read_map


def tree_of(form: Query) -> Tree:
    """Dotted names as a tree: {"Tags.member.1.Key": ["a"]} is {"Tags": {"member": {"1": {"Key": "a"}}}}."""
    root: Tree = {}
    for name, values in form.items():
        *path, last = name.split(".", MAX_NAME_DEPTH + 1)
        if len(path) > MAX_NAME_DEPTH:
            raise Unreadable("A parameter's name is nested too deeply")
        node = root
        for part in path:
            below = node.setdefault(part, {})
            if not isinstance(below, dict):
                below = node[part] = {}
            node = below
        node[last] = values[0]
    return root


def error_response(error: ServiceError, code: str, status: int, request_id: str, namespace: str) -> bytes:
    """The error document of the query protocol and of rest-xml other than S3's."""
    kind = "Sender" if status < 500 else "Receiver"
    members = "".join(f"<{name}>{escape(printable(str(value)))}</{name}>" for name, value in error.members.items())
    return (
        f'<ErrorResponse xmlns="{namespace}"><Error><Type>{kind}</Type><Code>{escape(code)}</Code>'
        f"<Message>{escape(printable(error.message))}</Message>{members}</Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    ).encode()


def _numbered(node: Any) -> list[str]:
    if not isinstance(node, dict) or not all(index.isascii() and index.isdigit() and len(index) < 8 for index in node):
        raise Unreadable("The elements of a list or a map must be numbered from 1")
    return sorted(node, key=int)


def _scalar_reader(shape: Any) -> Reader:
    read = text_reader(shape)

    def read_scalar(node: Any) -> Any:
        if isinstance(node, str):
            return read(node)
        raise Unreadable("Unexpected complex element termination")

    return read_scalar
