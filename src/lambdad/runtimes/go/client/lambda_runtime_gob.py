"""Go's gob encoding, as far as structures of plain values need it: a stream of messages that describe their types themselves.

A message is its length and then the number of a type and a value; a negative number stands before the description of a type,
which has to come once before the first value. Fields that are zero are left out. In Python a structure is a dictionary of its
fields, a slice a list, and what is absent is absent.
"""

import struct

BOOL, INT, UINT, FLOAT, BYTES, STRING = 1, 2, 3, 4, 5, 6
_FIRST_OWN = 65
MAX_MESSAGE_BYTES = 1 << 30  # Go's own limit
_MAX_DEPTH = 100


class GobError(Exception):
    """What came is no gob, or holds what is not understood here."""


class Struct:
    """A structure's type: its name and, in order, the name and the type of each field, which is a number or a Struct."""

    def __init__(self, name, *fields):
        self.name = name
        self.fields = fields


class Encoder:
    """Of one stream: it remembers which types have been described on it."""

    def __init__(self):
        self._numbers = {}

    def encode(self, kind, value):
        """The bytes of the value, a dictionary, with the descriptions of types that have not been sent yet."""
        described = []
        number = self._number(kind, described)
        return b"".join(described) + _message(_int(number) + _fields(kind, value))

    def _number(self, kind, described):
        if not isinstance(kind, Struct):
            return kind
        if kind not in self._numbers:
            fields = [(name, self._number(inner, described)) for name, inner in kind.fields]
            number = self._numbers[kind] = _FIRST_OWN + len(self._numbers)
            described.append(_message(_int(-number) + _description(kind.name, number, fields)))
        return self._numbers[kind]


class Decoder:
    """Of one stream. `read` gives the stream's next bytes, as many as it is asked for, or raises."""

    def __init__(self, read):
        self._read = read
        self._types = {}

    def decode(self):
        """The next value."""
        while True:
            size = self._read_size()
            if size > MAX_MESSAGE_BYTES:
                raise GobError("a message of %d bytes" % size)
            message = _Message(self._read(size))
            number = message.int()
            if number >= 0:
                return self._top(number, message)
            self._types[-number] = _WIRE_TYPE.read(message, self._types, 0)

    def _read_size(self):
        first = ord(self._read(1))
        if first < 0x80:
            return first
        return int.from_bytes(self._read(_count(first)), "big")

    def _top(self, number, message):
        kind = self._types.get(number)
        if (kind is None or "StructT" not in kind) and message.uint() != 0:
            raise GobError("a value of type %d does not begin with 0" % number)
        return _value(number, message, self._types, 0)


class _Message:
    """The content of one message, read from its beginning."""

    def __init__(self, data):
        self._data = data
        self._at = 0

    def take(self, size):
        end = self._at + size
        if end > len(self._data):
            raise GobError("a value is longer than its message")
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def uint(self):
        first = self.take(1)[0]
        return first if first < 0x80 else int.from_bytes(self.take(_count(first)), "big")

    def int(self):
        number = self.uint()
        return ~(number >> 1) if number & 1 else number >> 1


def _count(first):
    """How many bytes follow one that stands for a larger number."""
    size = 256 - first
    if size > 8:
        raise GobError("a number of %d bytes" % size)
    return size


def _value(number, message, types, depth):
    if depth > _MAX_DEPTH:
        raise GobError("values within values within values")
    reader = _BASIC.get(number)
    if reader is not None:
        return reader(message)
    kind = types.get(number)
    if kind is None:
        raise GobError("a value of the unknown type %d" % number)
    for form, reader in _COMPOSED.items():
        if form in kind:
            return reader(kind[form], message, types, depth + 1)
    raise GobError("a value of a kind that is not understood")


def _read_struct(kind, message, types, depth):
    fields = kind.get("Field", [])
    value = {}
    at = -1
    while True:
        delta = message.uint()
        if delta == 0:
            return value
        at += delta
        if at >= len(fields):
            raise GobError("a structure of %d fields has one with the number %d" % (len(fields), at))
        value[fields[at].get("Name", "")] = _value(fields[at].get("Id", 0), message, types, depth)


def _read_slice(kind, message, types, depth):
    return [_value(kind.get("Elem", 0), message, types, depth) for _ in range(message.uint())]


def _read_map(kind, message, types, depth):
    pairs = {}
    for _ in range(message.uint()):
        key = _value(kind.get("Key", 0), message, types, depth)
        if isinstance(key, dict | list):
            raise GobError("a map whose keys are no plain values")
        pairs[key] = _value(kind.get("Elem", 0), message, types, depth)
    return pairs


def _read_float(message):
    return struct.unpack("<d", struct.pack(">Q", message.uint()))[0]


def _read_text(message):
    return message.take(message.uint()).decode("utf-8", "replace")


_BASIC = {
    BOOL: lambda message: message.uint() != 0,
    INT: _Message.int,
    UINT: _Message.uint,
    FLOAT: _read_float,
    BYTES: lambda message: message.take(message.uint()),
    STRING: _read_text,
}
_COMPOSED = {"StructT": _read_struct, "SliceT": _read_slice, "ArrayT": _read_slice, "MapT": _read_map}


class _Described:
    """How a description of a type is read: a structure of Go's own, which nothing describes on the stream."""

    def __init__(self, *fields):
        self._fields = fields

    def read(self, message, types, depth):
        value = {}
        at = -1
        while True:
            delta = message.uint()
            if delta == 0:
                return value
            at += delta
            if at >= len(self._fields):
                raise GobError("a type is described by what is not understood")
            name, inner = self._fields[at]
            value[name] = inner.read(message, types, depth) if hasattr(inner, "read") else inner(message)


class _Each:
    def __init__(self, one):
        self._one = one

    def read(self, message, types, depth):
        return [self._one.read(message, types, depth) for _ in range(message.uint())]


_COMMON = ("CommonType", _Described(("Name", _read_text), ("Id", _Message.int)))
_ELEMENT = ("Elem", _Message.int)
_OPAQUE = _Described(_COMMON)
_WIRE_TYPE = _Described(
    ("ArrayT", _Described(_COMMON, _ELEMENT, ("Len", _Message.int))),
    ("SliceT", _Described(_COMMON, _ELEMENT)),
    ("StructT", _Described(_COMMON, ("Field", _Each(_Described(("Name", _read_text), ("Id", _Message.int)))))),
    ("MapT", _Described(_COMMON, ("Key", _Message.int), _ELEMENT)),
    ("GobEncoderT", _OPAQUE),
    ("BinaryMarshalerT", _OPAQUE),
    ("TextMarshalerT", _OPAQUE),
)


def _message(content):
    return _uint(len(content)) + content


def _uint(number):
    if number < 0x80:
        return bytes([number])
    size = (number.bit_length() + 7) // 8
    return bytes([256 - size]) + number.to_bytes(size, "big")


def _int(number):
    return _uint(number << 1 if number >= 0 else (~number << 1) | 1)


def _text(text):
    data = text.encode("utf-8", "replace")
    return _uint(len(data)) + data


def _fields(kind, value):
    """The structure's fields that are not zero, each after how far it is from the one before."""
    parts = []
    last = -1
    for at, (name, inner) in enumerate(kind.fields):
        content = value.get(name)
        if content:
            parts.append(_uint(at - last) + _field(inner, content))
            last = at
    return b"".join(parts) + b"\0"


def _field(kind, content):
    if isinstance(kind, Struct):
        return _fields(kind, content)
    if kind == INT:
        return _int(content)
    if kind == UINT:
        return _uint(content)
    if kind == STRING:
        return _text(content)
    return _uint(len(content)) + content


def _description(name, number, fields):
    """The value of Go's wireType for a structure."""
    common = b"\1" + _text(name) + b"\1" + _int(number) + b"\0"
    listed = b"".join(b"\1" + _text(field) + b"\1" + _int(kind) + b"\0" for field, kind in fields)
    content = b"\1" + common
    if fields:
        content += b"\1" + _uint(len(fields)) + listed
    return b"\3" + content + b"\0" + b"\0"
