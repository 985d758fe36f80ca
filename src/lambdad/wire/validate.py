"""Checks parameters against the model and words the violations as AWS does, all of them in one message."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lambdad.errors import ServiceError
from lambdad.wire.dialect import Dialect
from lambdad.wire.pattern import satisfies

MAX_VIOLATIONS = 50
MAX_PRINTED_VALUE = 4096

#: Appends violations of `value`, which stands at `path` ("environment.variables"), to the list.
Check = Callable[[Any, str, list[str]], None]
#: The constraint a simple value breaks ("Member must have length ..."), one string per broken one.
Constraint = Callable[[Any], Sequence[str]]


class Validator:
    """Checks by shape, made once; recursive shapes find themselves in the table."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._checks: dict[str, Check | None] = {}

    def check_of(self, operation: Any) -> Callable[[Mapping[str, Any]], None] | None:
        """Raises ServiceError naming every violation. None when the model constrains nothing."""
        shape = operation.input_shape
        if shape is None:
            return None
        left_out = {
            name.partition(".")[2] for name in self._dialect.left_to_service if name.partition(".")[0] == operation.name
        }
        check = self._structure_check(shape, left_out)
        if check is None:
            return None

        def refuse(parameters: Mapping[str, Any]) -> None:
            violations: list[str] = []
            check(parameters, "", violations)
            if violations:
                raise ServiceError(self._dialect.validation_code, violations_message(violations), status=400)

        return refuse

    def _check(self, shape: Any) -> Check | None:
        kind = shape.type_name
        if kind not in ("structure", "list", "map"):
            return _scalar_check(shape)
        if shape.name in self._checks:
            return self._checks[shape.name]
        later: list[Check | None] = []

        def check_later(value: Any, path: str, violations: list[str]) -> None:
            if later[0] is not None:
                later[0](value, path, violations)

        self._checks[shape.name] = check_later  # for shapes that contain themselves
        make = {"structure": self._structure_check, "list": self._list_check, "map": self._map_check}[kind]
        check = self._checks[shape.name] = make(shape)
        later.append(check)
        return check

    def _structure_check(self, shape: Any, left_out: set[str] | None = None) -> Check | None:
        if getattr(shape, "is_document_type", False):
            return None
        required = [(member, _path_name(member)) for member in shape.required_members if member not in (left_out or ())]
        checks: dict[str, tuple[str, Check]] = {}
        for member, member_shape in shape.members.items():
            if member in (left_out or ()) or member_shape.serialization.get("streaming"):
                continue
            inner = {name.partition(".")[2] for name in left_out or () if name.startswith(f"{member}.")}
            check = self._structure_check(member_shape, inner) if inner else self._check(member_shape)
            if check is not None:
                checks[member] = (_path_name(member), check)
        if not required and not checks:
            return None

        def check_structure(value: Any, path: str, violations: list[str]) -> None:
            for member, name in required:
                if value.get(member) is None:
                    violations.append(_violation(None, _join(path, name), "Member must not be null"))
            for member, entry in value.items():
                if member in checks:
                    name, check = checks[member]
                    check(entry, _join(path, name), violations)

        return check_structure

    def _list_check(self, shape: Any) -> Check | None:
        constrain = _length_constraint(shape)
        element_constraint, element_check = self._parts(shape.member)
        if constrain is None and element_constraint is None and element_check is None:
            return None

        is_sensitive = bool(shape.metadata.get("sensitive"))

        def check_list(value: Any, path: str, violations: list[str]) -> None:
            if constrain is not None:
                violations.extend(_violation(value, path, text, is_sensitive=is_sensitive) for text in constrain(value))
            if element_constraint is not None and any(element_constraint(entry) for entry in value):
                texts = ", ".join(_all_constraints(shape.member))
                constraint = f"Member must satisfy constraint: [{texts}]"
                violations.append(_violation(value, path, constraint, is_sensitive=is_sensitive))
            if element_check is not None:
                for number, entry in enumerate(value, 1):
                    element_check(entry, f"{path}.{number}.member", violations)
                    if len(violations) > MAX_VIOLATIONS:
                        return

        return check_list

    def _map_check(self, shape: Any) -> Check | None:
        constrain = _length_constraint(shape)
        key_constraint = _constraint(shape.key)
        value_constraint, value_check = self._parts(shape.value)
        if constrain is None and key_constraint is None and value_constraint is None and value_check is None:
            return None

        is_sensitive = bool(shape.metadata.get("sensitive"))

        def check_map(value: Any, path: str, violations: list[str]) -> None:
            if constrain is not None:
                violations.extend(_violation(value, path, text, is_sensitive=is_sensitive) for text in constrain(value))
            if key_constraint is not None and any(key_constraint(key) for key in value):
                texts = ", ".join(_all_constraints(shape.key))
                constraint = f"Map keys must satisfy constraint: [{texts}]"
                violations.append(_violation(value, path, constraint, is_sensitive=is_sensitive))
            if value_constraint is not None and any(value_constraint(entry) for entry in value.values()):
                texts = ", ".join(_all_constraints(shape.value))
                constraint = f"Map value must satisfy constraint: [{texts}]"
                violations.append(_violation(value, path, constraint, is_sensitive=is_sensitive))
            if value_check is not None:
                for key, entry in value.items():
                    value_check(entry, f"{path}.{key}.member", violations)
                    if len(violations) > MAX_VIOLATIONS:
                        return

        return check_map

    def _parts(self, shape: Any) -> tuple[Constraint | None, Check | None]:
        """What binds the elements of a list or map: one constraint for simple ones, a check of its own for others."""
        if shape.type_name in ("structure", "list", "map"):
            return None, self._check(shape)
        return _constraint(shape), None


def violations_message(violations: Sequence[str]) -> str:
    count = len(violations)
    return f"{count} validation error{'s' if count > 1 else ''} detected: {'; '.join(violations)}"


def _scalar_check(shape: Any) -> Check | None:
    constrain = _constraint(shape)
    if constrain is None:
        return None
    is_sensitive = bool(shape.metadata.get("sensitive"))

    def check_scalar(value: Any, path: str, violations: list[str]) -> None:
        for text in constrain(value):
            violations.append(_violation(value, path, text, is_sensitive=is_sensitive))

    return check_scalar


def _constraint(shape: Any) -> Constraint | None:
    if shape.type_name in ("string", "blob"):
        return _string_constraint(shape)
    if shape.type_name in ("integer", "long", "float", "double"):
        return _range_constraint(shape)
    return None


def _string_constraint(shape: Any) -> Constraint | None:
    metadata = shape.metadata
    minimum, maximum = metadata.get("min", 0), metadata.get("max")
    pattern = metadata.get("pattern") if shape.type_name == "string" else None
    allowed = frozenset(getattr(shape, "enum", ()) or ())
    if not minimum and maximum is None and pattern is None and not allowed:
        return None

    def constrain(value: Any) -> Sequence[str]:
        broken = []
        size = len(value)
        if allowed and value not in allowed:
            broken.append(_enum_text(shape))
        if maximum is not None and size > maximum:
            broken.append(_max_length_text(maximum))
            return broken  # a pattern is never tried on a text that is too long anyway
        if size < minimum:
            broken.append(_min_length_text(minimum))
        if pattern is not None and not satisfies(pattern, value):
            broken.append(_pattern_text(pattern))
        return broken

    return constrain


def _range_constraint(shape: Any) -> Constraint | None:
    minimum, maximum = shape.metadata.get("min"), shape.metadata.get("max")
    if minimum is None and maximum is None:
        return None

    def constrain(value: Any) -> Sequence[str]:
        if maximum is not None and value > maximum:
            return (_max_value_text(maximum),)
        if minimum is not None and value < minimum:
            return (_min_value_text(minimum),)
        return ()

    return constrain


def _length_constraint(shape: Any) -> Constraint | None:
    minimum, maximum = shape.metadata.get("min", 0), shape.metadata.get("max")
    if not minimum and maximum is None:
        return None

    def constrain(value: Any) -> Sequence[str]:
        if maximum is not None and len(value) > maximum:
            return (_max_length_text(maximum),)
        return (_min_length_text(minimum),) if len(value) < minimum else ()

    return constrain


def _all_constraints(shape: Any) -> list[str]:
    """For elements AWS names every constraint they are under, not only the broken ones."""
    metadata = shape.metadata
    texts = []
    is_number = shape.type_name in ("integer", "long", "float", "double")
    if "max" in metadata:
        texts.append(_max_value_text(metadata["max"]) if is_number else _max_length_text(metadata["max"]))
    if "min" in metadata:
        texts.append(_min_value_text(metadata["min"]) if is_number else _min_length_text(metadata["min"]))
    if "pattern" in metadata:
        texts.append(_pattern_text(metadata["pattern"]))
    if getattr(shape, "enum", None):
        texts.append(_enum_text(shape))
    return texts


def _enum_text(shape: Any) -> str:
    return f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"


def _min_length_text(minimum: int) -> str:
    return f"Member must have length greater than or equal to {minimum}"


def _max_length_text(maximum: int) -> str:
    return f"Member must have length less than or equal to {maximum}"


def _min_value_text(minimum: float) -> str:
    return f"Member must have value greater than or equal to {minimum}"


def _max_value_text(maximum: float) -> str:
    return f"Member must have value less than or equal to {maximum}"


def _pattern_text(pattern: str) -> str:
    return f"Member must satisfy regular expression pattern: {pattern}"


def _violation(value: Any, path: str, constraint: str, *, is_sensitive: bool = False) -> str:
    if is_sensitive:
        return f"Value at '{path}' failed to satisfy constraint: {constraint}"
    printed = "null" if value is None else f"'{_printed(value)}'"
    return f"Value {printed} at '{path}' failed to satisfy constraint: {constraint}"


def _printed(value: Any) -> str:
    """As Java prints it; cut where it would only repeat megabytes to the sender."""
    if isinstance(value, str):
        text = value[:MAX_PRINTED_VALUE]
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, list):
        text = f"[{', '.join(_printed(entry) for entry in value[:100])}]"
    elif isinstance(value, Mapping):
        text = f"{{{', '.join(f'{key}={_printed(entry)}' for key, entry in list(value.items())[:100])}}}"
    elif isinstance(value, bytes):
        text = f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]"
    else:
        text = str(value)
    return text[:MAX_PRINTED_VALUE]


def _path_name(member: str) -> str:
    """Members are named as Java's properties: FunctionName is functionName, KMSKeyArn is kMSKeyArn."""
    return member[:1].lower() + member[1:]


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
