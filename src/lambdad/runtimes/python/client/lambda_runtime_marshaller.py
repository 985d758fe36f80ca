"""Events from JSON and responses to JSON, with the differences between AWS's Python runtimes kept.

From python3.8 on AWS's client encodes with simplejson: a Decimal keeps its digits, a named tuple becomes an object, bytes
inside a structure become text. Before, it used the standard library and made a Decimal a float.
"""

import binascii
import decimal
import json
import os
import re
import sys

from lambda_runtime_fault import Fault

_VERSION = sys.version_info[:2]
_EXACT = _VERSION >= (3, 8)
_ASCII_ONLY = _VERSION < (3, 12)
_PLAIN = frozenset((str, int, float, bool, type(None)))


def unmarshal_event(body, content_type):
    """The event; a body which is not JSON by its content type reaches the function as bytes."""
    if content_type not in ("application/json", ""):
        return body
    try:
        return json.loads(body.decode("utf-8"))
    except Exception as error:
        raise Fault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % error)


def marshal_response(response):
    """`(bytes, content type)` of what a handler returned."""
    if _VERSION >= (3, 0) and isinstance(response, bytes):
        return response, "application/unknown"
    try:
        return to_json(response).encode("utf-8"), "application/json"
    except Exception as error:
        raise Fault("Runtime.MarshalError", "Unable to marshal response: %s" % error)


def to_json(value):
    if not _EXACT:
        return json.dumps(value, default=_default_float)
    _decimals.found = []
    text = _encoder.encode(value)
    # Only now it is certain that the structure has no cycles.
    if type(value) not in _PLAIN and _has_named_tuple(value):
        _decimals.found = []
        text = _encoder.encode(_plain(value))
    return _decimals.put_back(text) if _decimals.found else text


def _default_float(value):
    if isinstance(value, decimal.Decimal):
        return float(value)
    if _VERSION >= (3, 7):
        raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)
    raise TypeError("%r is not JSON serializable" % (value,))


class _Decimals(object):
    """Lets Decimals through the encoder as marked strings and puts their digits in the place of these afterwards."""

    def __init__(self):
        self.found = []
        self._mark = None

    def default(self, value):
        if isinstance(value, decimal.Decimal):
            if value.is_nan():
                return float("nan")
            if not self.found:  # a new one each time: a function cannot guess it and pass a text off as a number
                self._mark = "decimal-" + binascii.hexlify(os.urandom(16)).decode("ascii") + "-"
            self.found.append(str(value))
            return "%s%d" % (self._mark, len(self.found) - 1)
        if isinstance(value, bytes):
            return value.decode("utf-8")
        raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)

    def put_back(self, text):
        return re.sub('"%s([0-9]+)"' % self._mark, lambda match: self.found[int(match.group(1))], text)


def _has_named_tuple(value):
    waiting = [value]
    while waiting:
        one = waiting.pop()
        kind = type(one)
        if kind in _PLAIN:
            continue
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, (list, tuple)):
            if isinstance(one, tuple) and callable(getattr(one, "_asdict", None)):
                return True
            waiting.extend(one)
    return False


def _plain(value):
    if isinstance(value, dict):
        return dict((key, _plain(item)) for key, item in value.items())
    if isinstance(value, tuple) and callable(getattr(value, "_asdict", None)):
        return _plain(dict(value._asdict()))
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


_decimals = _Decimals()
_encoder = json.JSONEncoder(ensure_ascii=_ASCII_ONLY, default=_decimals.default)
