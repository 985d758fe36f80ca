"""XML elements to the dicts of the model and back: one function per shape, made once and then only called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lambdad.wire.protocols.scalar import Unreadable, text_reader, text_writer
from lambdad.wire.protocols.xml_text import Node, escape

#: A reader gets all elements that carry the member: one, or several when the list or map is flattened.
Reader = Callable[[list[Node]], Any]
Writer = Callable[[str, Any, list[str]], None]


class XmlShapes:
    """Readers and writers by shape. With `is_strict` an element the model does not know is an error, as S3 has it."""

    def __init__(self, *, is_strict: bool = False) -> None:
        self._is_strict = is_strict
        self._readers: dict[tuple[Any, ...], Reader] = {}
        self._writers: dict[tuple[Any, ...], Writer] = {}

    def reader(self, shape: Any) -> Reader:
        key = _key(shape)
        found = self._readers.get(key)
        if found is None:
            found = self._readers[key] = self._make_reader(shape, key)
        return found

    def structure_reader(self, members: Mapping[str, Any]) -> Reader:
        elements: dict[str, tuple[str, bool, Reader]] = {}
        attributes: dict[str, str] = {}
        self._fill(members, elements, attributes)
        return _structure_reader(elements, attributes, self._is_strict)

    def _fill(
        self, members: Mapping[str, Any], elements: dict[str, tuple[str, bool, Reader]], attributes: dict[str, str]
    ) -> None:
        for member, shape in members.items():
            if shape.serialization.get("xmlAttribute"):
                attributes[shape.serialization["name"].rsplit(":", 1)[-1]] = member
            else:
                is_flattened = bool(shape.serialization.get("flattened"))
                elements[element_name(member, shape)] = (member, is_flattened, self.reader(shape))

    def _make_reader(self, shape: Any, key: tuple[Any, ...]) -> Reader:
        kind = shape.type_name
        if kind == "structure":
            elements: dict[str, tuple[str, bool, Reader]] = {}
            attributes: dict[str, str] = {}
            reader = self._readers[key] = _structure_reader(elements, attributes, self._is_strict)
            self._fill(shape.members, elements, attributes)
            return reader
        if kind == "list":
            return self._list_reader(shape)
        if kind == "map":
            return self._map_reader(shape)
        read = text_reader(shape)
        if kind == "string":
            return lambda nodes: nodes[0].text
        return lambda nodes: read(nodes[0].text.strip())

    def _list_reader(self, shape: Any) -> Reader:
        read = self.reader(shape.member)
        if shape.serialization.get("flattened"):
            return lambda nodes: [read([node]) for node in nodes]
        return lambda nodes: [read([node]) for node in nodes[0].children]

    def _map_reader(self, shape: Any) -> Reader:
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        read_key, read_value = self.reader(shape.key), self.reader(shape.value)
        is_flattened = shape.serialization.get("flattened")

        def read_map(nodes: list[Node]) -> dict[str, Any]:
            found = {}
            for entry in nodes if is_flattened else nodes[0].children:
                parts = {child.tag: child for child in entry.children}
                if key_name not in parts or value_name not in parts:
                    raise Unreadable(f"The element {entry.tag} lacks {key_name} or {value_name}")
                found[read_key([parts[key_name]])] = read_value([parts[value_name]])
            return found

        return read_map

    def writer(self, shape: Any) -> Writer:
        key = _key(shape)
        found = self._writers.get(key)
        if found is None:
            found = self._writers[key] = self._make_writer(shape, key)
        return found

    def members_writer(self, members: Mapping[str, Any]) -> Callable[[Mapping[str, Any], list[str]], None]:
        """Writes the members that are set, without an element around them."""
        plan = [(m, s.serialization.get("name", m), self.writer(s)) for m, s in members.items()]

        def write_members(value: Mapping[str, Any], out: list[str]) -> None:
            for member, name, write in plan:
                if (entry := value.get(member)) is not None:
                    write(name, entry, out)

        return write_members

    def _make_writer(self, shape: Any, key: tuple[Any, ...]) -> Writer:
        kind = shape.type_name
        if kind == "structure":
            return self._structure_writer(shape, key)
        if kind == "list":
            return self._list_writer(shape)
        if kind == "map":
            return self._map_writer(shape)
        write = text_writer(shape, "iso8601")
        return lambda name, value, out: out.append(f"<{name}>{escape(write(value))}</{name}>")

    def _structure_writer(self, shape: Any, key: tuple[Any, ...]) -> Writer:
        attributes: list[tuple[str, str]] = []
        plan: list[tuple[str, str, Writer]] = []
        namespace = shape.serialization.get("xmlNamespace")
        prefix = f":{namespace['prefix']}" if namespace and namespace.get("prefix") else ""
        opening = f' xmlns{prefix}="{namespace["uri"]}"' if namespace else ""

        def write_structure(name: str, value: Mapping[str, Any], out: list[str]) -> None:
            text = opening
            for member, attribute in attributes:
                if value.get(member) is not None:
                    text += f' {attribute}="{escape(str(value[member]))}"'
            out.append(f"<{name}{text}>")
            for member, element, write in plan:
                if (entry := value.get(member)) is not None:
                    write(element, entry, out)
            out.append(f"</{name}>")

        self._writers[key] = write_structure
        for member, member_shape in shape.members.items():
            wire_name = member_shape.serialization.get("name", member)
            if member_shape.serialization.get("xmlAttribute"):
                attributes.append((member, wire_name))
            else:
                plan.append((member, wire_name, self.writer(member_shape)))
        return write_structure

    def _list_writer(self, shape: Any) -> Writer:
        write = self.writer(shape.member)
        is_flattened = shape.serialization.get("flattened")
        element = shape.member.serialization.get("name")

        def write_list(name: str, value: Any, out: list[str]) -> None:
            if is_flattened:
                for entry in value:
                    write(element or name, entry, out)
                return
            out.append(f"<{name}>")
            for entry in value:
                write(element or "member", entry, out)
            out.append(f"</{name}>")

        return write_list

    def _map_writer(self, shape: Any) -> Writer:
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        write_key, write_value = self.writer(shape.key), self.writer(shape.value)
        is_flattened = shape.serialization.get("flattened")

        def write_map(name: str, value: Mapping[str, Any], out: list[str]) -> None:
            entry_name = name if is_flattened else "entry"
            entries: list[str] = []
            for key, entry in value.items():
                entries.append(f"<{entry_name}>")
                write_key(key_name, key, entries)
                write_value(value_name, entry, entries)
                entries.append(f"</{entry_name}>")
            out.extend(entries if is_flattened else [f"<{name}>", *entries, f"</{name}>"])

        return write_map


def element_name(member: str, shape: Any) -> str:
    """A flattened list may name its elements on the list's member instead of on the list."""
    own: str = shape.serialization.get("name", member)
    if shape.type_name == "list" and shape.serialization.get("flattened"):
        return str(shape.member.serialization.get("name", own))
    return own


def _key(shape: Any) -> tuple[Any, ...]:
    traits = shape.serialization
    member = getattr(shape, "member", None)
    namespace = traits.get("xmlNamespace")
    return (
        shape.name,
        traits.get("timestampFormat"),
        bool(traits.get("flattened")),
        member.serialization.get("name") if member is not None else None,
        namespace["uri"] if namespace else None,
    )


def _structure_reader(
    elements: Mapping[str, tuple[str, bool, Reader]], attributes: Mapping[str, str], is_strict: bool
) -> Reader:
    def read_structure(nodes: list[Node]) -> dict[str, Any]:
        node = nodes[0]
        found: dict[str, Any] = {attributes[name]: text for name, text in node.attributes.items() if name in attributes}
        carriers: dict[str, list[Node]] = {}
        for child in node.children:
            if child.tag in elements:
                carriers.setdefault(child.tag, []).append(child)
            elif is_strict:
                raise Unreadable(f"The element {child.tag} is not expected in {node.tag}")
        for tag, same in carriers.items():
            member, is_flattened, read = elements[tag]
            if len(same) > 1 and not is_flattened:
                raise Unreadable(f"The element {tag} appears more than once in {node.tag}")
            found[member] = read(same)
        return found

    return read_structure
