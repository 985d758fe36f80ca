"""Values drawn from the shapes of a service model: each breaks its shape in one way, or stands just at one of its limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lambdad.wire.pattern import compiled

Sound = Callable[[str, Any], Any]  #: `sound(member, shape)`: a value of the shape that nothing is wrong with
Case = tuple[str, Any]  #: what is wrong, and the value

LONGEST = 12_000  #: longer texts are not sent; their limits are those of whole requests
DEEPEST = 4
STRANGERS = ("!", " ", "\x00", "a b", "é\u202e", "../../etc/passwd", "a\n", "\u0661\u0662\u0663", "<&>'\"", "")
WRONG_TYPES: Mapping[str, tuple[Any, ...]] = {
    "string": (1, 1.5, True, [], {}, ["a"]),
    "blob": (1, True, [], {}, "not base64!", "AAA"),
    "integer": ("a", "", True, [], {}, 1.5, 2**31, -(2**31) - 1, 2**63, 2**200, 1e300),
    "long": ("a", "", True, [], {}, 1.5, 2**63, -(2**63) - 1, 2**200, 1e300),
    "float": ("a", "", True, [], {}),
    "double": ("a", "", True, [], {}),
    "boolean": ("true", "", 0, 1, [], {}),
    "timestamp": ("yesterday", "", True, [], {}, 1e300),
    "list": ("a", 1, True, {}),
    "map": ("a", 1, True, []),
    "structure": ("a", 1, True, [], [{}]),
}


def broken_texts(shape: Any) -> Iterator[Case]:
    """Texts for a member that travels in a path, a query or a header."""
    kind = shape.type_name
    if kind == "list":
        yield from broken_texts(shape.member)
    elif kind in ("integer", "long", "float", "double"):
        bits = 31 if kind == "integer" else 63
        texts = ("", "a", "1.5", "1e3", "0x1", "--1", "1 ", "NaN", "\u0661", "1" * 400, str(2**bits), str(-(2**bits) - 1))
        yield from ((f"the text {text[:20]!r}", text) for text in texts if kind in ("integer", "long"))
        yield from _beyond_range(shape)
    elif kind == "boolean":
        yield from ((f"the text {text!r}", text) for text in ("", "yes", "1", "null"))
    elif kind == "timestamp":
        yield from ((f"the text {text!r}", text) for text in ("a", "2026-13-45"))
    elif kind == "string":
        yield from _broken_strings(shape)


def broken_values(shape: Any, sound: Sound, depth: int = 0) -> Iterator[Case]:
    """Values for a member that travels in a JSON body."""
    kind = shape.type_name
    if getattr(shape, "is_document_type", False):
        return
    yield from ((f"the {type(value).__name__} {str(value)[:20]}", value) for value in WRONG_TYPES.get(kind, ()))
    if kind == "string":
        yield from _broken_strings(shape)
    elif kind in ("integer", "long", "float", "double"):
        yield from _beyond_range(shape)
    elif depth < DEEPEST:
        yield from {"list": _broken_lists, "map": _broken_maps, "structure": _broken_structures}.get(kind, _none)(
            shape, sound, depth + 1
        )


def limits(shape: Any) -> Iterator[Case]:
    """Simple values that stand at a limit and so are within it."""
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if shape.type_name in ("integer", "long", "float", "double"):
        yield from ((f"the value {value}", value) for value in (least, most) if value is not None)
    elif shape.type_name == "string":
        for length in (least, most):
            if length and length <= LONGEST and (text := _text_of(shape, length)) is not None:
                yield f"a text of {length}", text
        yield from ((f"the choice {value}", value) for value in getattr(shape, "enum", ()))


def _broken_strings(shape: Any) -> Iterator[Case]:
    least, most = shape.metadata.get("min", 0), shape.metadata.get("max")
    if least:
        yield f"a text of {least - 1}", (_text_of(shape, least - 1) or "a" * (least - 1))
    if most is not None and most <= LONGEST:
        yield f"a text of {most + 1}", (_text_of(shape, most + 1) or "a" * (most + 1))
    allowed = getattr(shape, "enum", ()) or ()
    if allowed:
        other_case = allowed[0].swapcase()
        for text in ("Nonsense", "", f"{allowed[0]} ", *([other_case] if other_case not in allowed else [])):
            yield f"the choice {text!r}", text
    pattern = shape.metadata.get("pattern")
    expression = compiled(pattern) if pattern else None
    if expression is not None:
        for text in STRANGERS:
            if least <= len(text) and not expression.fullmatch(text):
                yield f"the text {text!r}", text


def _text_of(shape: Any, length: int) -> str | None:
    """A text of the length that the shape's pattern takes, where it is one of the simple ones."""
    pattern = shape.metadata.get("pattern")
    if getattr(shape, "enum", None):
        return None
    expression = compiled(pattern) if pattern else None
    texts = ("a" * length, "1" * length, "o-" + "a" * (length - 2))
    return next((text for text in texts if len(text) == length and (not expression or expression.fullmatch(text))), None)


def _beyond_range(shape: Any) -> Iterator[Case]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None:
        yield f"the value {least - 1}", least - 1
    if most is not None:
        yield f"the value {most + 1}", most + 1


def _broken_lists(shape: Any, sound: Sound, depth: int) -> Iterator[Case]:
    element = sound("", shape.member)
    least, most = shape.metadata.get("min", 0), shape.metadata.get("max")
    if least:
        yield f"a list of {least - 1}", [element] * (least - 1)
    if most is not None and most <= 1000:
        yield f"a list of {most + 1}", [element] * (most + 1)
    yield "a null in the list", [None]
    yield from ((f"in the list {what}", [value]) for what, value in broken_values(shape.member, sound, depth))


def _broken_maps(shape: Any, sound: Sound, depth: int) -> Iterator[Case]:
    key, value = sound("", shape.key), sound("", shape.value)
    most = shape.metadata.get("max")
    if most is not None and most <= 1000:
        yield f"a map of {most + 1}", {f"{key}{number}": value for number in range(most + 1)}
    yield "a null in the map", {key: None}
    yield from ((f"as a key {what}", {each: value}) for what, each in _broken_strings(shape.key))
    yield from ((f"in the map {what}", {key: each}) for what, each in broken_values(shape.value, sound, depth))


def _broken_structures(shape: Any, sound: Sound, depth: int) -> Iterator[Case]:
    whole = {name: sound(name, shape.members[name]) for name in shape.required_members}
    for name in shape.required_members:
        yield f"no {name}", {each: value for each, value in whole.items() if each != name}
        yield f"null as {name}", {**whole, name: None}
    for name, member in shape.members.items():
        wire_name = member.serialization.get("name", name)
        yield from ((f"{name}: {what}", {**whole, wire_name: value}) for what, value in broken_values(member, sound, depth))


def _none(shape: Any, sound: Sound, depth: int) -> Iterator[Case]:
    return iter(())
