"""What can be a handler in Java, what events become for it, and its results and exceptions for the caller."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from support.java_runtime import javac, table
from support.runtime_api import REQUEST_ID

pytestmark = pytest.mark.skipif(javac() is None, reason="no javac to compile the tests' functions with")

Outcomes = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def outcomes(java_machine: Path) -> Outcomes:
    """What each handler of the tables below made of each event. One process runs them all."""
    rows = [("Methods::" + name, event) for name, (event, _) in METHODS.items()]
    rows += [(handler, event) for handler, event, _ in [*MISMATCHES, *OTHERS]]
    rows += [("Orders$Echo", json.dumps(event)) for _, event, _ in ECHOES]
    rows += [("Orders::" + name, '""') for name in UNWRITABLE]
    rows += [("Methods::fails", '"x"'), ("Methods::recurses", '"x"')]
    rows = [("example." + handler, event) for handler, event in rows] + [(handler, "{}") for handler in FAULTS]
    rows += [(EVENT_CLASS + name, event) for name, event, _ in EVENTS]
    return dict(zip(rows, table(java_machine, rows), strict=True))


METHODS = {
    "text": ('"a"', '"text a"'),
    "number": ("41", "42"),
    "primitive": ("21", "42"),
    "half": ("1", "0.5"),
    "not": ("true", "false"),
    "boxedNot": ("false", "true"),
    "large": ("9007199254740993", "9007199254740993"),
    "letter": ('"x"', '"x"'),
    "sum": ("[1,2,39]", "42"),
    "length": ("[1,2]", "2"),
    "first": ('{"a":1.5}', '"java.lang.Double"'),
    "any": ('{"a":[1,2.5,null,true,"x",{}]}', '{"a":[1,2.5,null,true,"x",{}]}'),
    "nothing": ('{"not":"read"}', '"nothing"'),
    "onlyContext": ("{}", '"context"'),
    "empty": ('"x"', "null"),
    "emptyToo": ('"x"', "null"),
    "fixed": ('"a"', '"static a"'),
    "copy": ("{ }", "{ }"),
    "copyWithContext": ("1", "1!"),
    "reads": ("1", ""),
    "readsWithContext": ("1", ""),
    "writes": ("1", "[7]"),
    "writesWithContext": ("1", "[8]"),
    "several": ('"x"', '"with context"'),
}


def test_methods_of_every_signature_are_handlers(outcomes: Outcomes) -> None:
    """Any type in and out, with a Context or without, static or not, streams in every combination; of several methods of one
    name the one with the most parameters, a Context counting double."""
    for name, (event, result) in METHODS.items():
        assert outcomes[f"example.Methods::{name}", event] == {"result": result}, name


MISMATCHES = [
    ("Methods::number", '"x"', "java.lang.Integer"),
    ("Methods::number", "2147483648", "out of range of `java.lang.Integer`"),
    ("Methods::number", "1" * 2000, "Number value length (2000) exceeds"),
    ("Methods::number", "1e999999999", "magnitude exceeds"),
    ("Methods::number", "{}", "from Object value"),
    ("Methods::sum", '{"a":1}', "Cannot deserialize value of type `java.lang.Integer`"),
    ("Methods::text", "{}", "Cannot deserialize value of type `java.lang.String` from Object value"),
    ("Methods::text", "", "No content to map due to end-of-input"),
    ("Methods::text", '"a" 1', "expected the end"),
    ("Methods::any", "[" * 100_000, "Document nesting depth (1001) exceeds the maximum allowed (1000)"),
    ("Orders$Echo", '{"items":[{"count":"many"}]}', 'Orders$Item["count"]'),
    ("Orders$Echo", '{"day":"yesterday"}', "java.time.LocalDate"),
    ("Orders::noObject", "{}", "Cannot deserialize value of type `java.lang.Runnable`"),
]


def test_an_event_that_does_not_fit_the_type_fails_its_invocation(outcomes: Outcomes) -> None:
    """The error is AWS's, its cause says what did not fit and where."""
    for handler, event, text in MISMATCHES:
        error = outcomes["example." + handler, event]["error"]
        assert error["errorMessage"] == "An error occurred during JSON parsing", (handler, event)
        assert error["errorType"] == "java.lang.RuntimeException"
        assert text in error["cause"]["errorMessage"]


ECHOES: list[tuple[str, Any, Any]] = [
    (
        "a class's properties",
        {"head": {"name": "a", "count": 12, "unknown": 1}},
        {"name": "a", "count": 12, "heavy": True, "URL": "/a"},
    ),
    ("a name's case counts", {"head": {"Name": "a"}}, {"count": 1, "heavy": False}),
    ("absent members keep the default", {"head": {}}, {"count": 1, "heavy": False}),
    ("null for a primitive is 0", {"head": {"count": None}}, {"count": 0, "heavy": False}),
    ("an empty string is no object", {"head": ""}, None),
    ("text is a number", {"head": {"count": "7"}}, {"count": 7, "heavy": False}),
    ("a fraction is cut off", {"head": {"count": 7.9}}, {"count": 7, "heavy": False}),
    ("an enumeration's name", {"head": {"size": "LARGE"}}, {"count": 1, "size": "LARGE", "heavy": False}),
    ("an unknown name is null", {"head": {"size": "HUGE"}}, {"count": 1, "heavy": False}),
    ("a getter called getIs", {"head": {"isGift": True}}, {"count": 1, "isGift": True, "heavy": False}),
    ("one value for a list", {"tags": "x"}, ["x"]),
    ("a list of one for a value", {"head": [{"count": 2}]}, {"count": 2, "heavy": False}),
    ("numbers keep their digits", {"prices": {"SMALL": [1.10, 2]}}, {"SMALL": [1.1, 2]}),
    ("an Optional", {"note": "n"}, "n"),
    ("a long text", {"note": "😀" * 9000}, "😀" * 9000),
    ("a long text whose characters lie otherwise", {"note": "x" + '"😀' * 9000}, "x" + '"😀' * 9000),
    ("a date", {"date": "1970-01-01T00:00:01.500Z"}, 1500),
    ("an instant", {"instant": 1.5}, 1.5),
    ("a day", {"day": "2026-01-02"}, [2026, 1, 2]),
    ("an id", {"id": REQUEST_ID}, REQUEST_ID),
    ("bytes", {"bytes": "AQID"}, "AQID"),
    ("a buffer", {"buffer": "AQID"}, "AQID"),
    ("an array of primitives", {"numbers": [1, 2]}, [1, 2]),
    ("an array of objects", {"array": [{"count": 3}]}, [{"count": 3, "heavy": False}]),
    ("any object", {"anything": {"a": [1, 2.5]}}, {"a": [1, 2.5]}),
    ("a list of objects", {"items": [{"name": "b"}]}, [{"name": "b", "count": 1, "heavy": False, "URL": "/b"}]),
]


def test_json_becomes_objects_and_objects_json(outcomes: Outcomes) -> None:
    """Getters, setters, public fields and type parameters, as lenient as AWS's reader; members without a value are left out."""
    for claim, event, expected in ECHOES:
        outcome = outcomes["example.Orders$Echo", json.dumps(event)]
        assert "result" in outcome, (claim, outcome)
        result = json.loads(outcome["result"])
        assert result.get(next(iter(event))) == expected, claim
        assert "secret" not in result


OTHERS = [
    ("Orders$Items", '[{"name":"a"},{}]', '{"class":"Item","count":2}'),
    ("Orders$Items", "[]", '{"count":0}'),
    ("Orders::generic", '{"head":1,"items":["2"]}', '"Integer[2]"'),
    ("Orders::sizes", '{"LARGE":1}', '{"LARGE":1.0}'),
    ("Orders::size", '"SMALL"', '"SMALL"'),
    ("Orders::empty", '""', "{}"),
    (
        "Orders::times",
        '""',
        '{"date":1500,"instant":1.500000000,"day":[2026,1,2],"none":null,"nan":"NaN","decimal":1.10,'
        '"text":"\\"\\\\\\n\\u0001é\u3053\\uD83D\\uDE00"}',
    ),
]


def test_type_parameters_are_found_and_values_written_as_aws_does(outcomes: Outcomes) -> None:
    """Through generic classes between, for generic arguments, and for times, numbers and every letter."""
    for handler, event, result in OTHERS:
        assert outcomes["example." + handler, event] == {"result": result}, handler


EVENT_CLASS = "com.amazonaws.services.lambda.runtime.events.Events::"


EVENTS = [
    (
        "storage",
        '{"Records":[{"awsRegion":"r","eventTime":"2026-01-02T03:04:05.000Z","size":7,"x-amz-request-id":"i","other":1}]}',
        '"[r 2026-01-02T03:04:05Z 7 i]"',
    ),
    (
        "message",
        '{"Sns":"s","eventSourceARN":"a","detail-type":"d","Time":1.5,"data":"AQI=","NULL":true,"M":{"k":{"SNS":"t"}}}',
        '"s a d 1500 2 true {k=t null null 0 0 null null}"',
    ),
    ("message", '{"detailType":"d","Time":0}', '"null null d 0 0 null null"'),
    ("response", '{"isBase64Encoded":true}', '{"statusCode":200,"isBase64Encoded":true}'),
]


def test_classes_of_awss_events_are_filled_in(outcomes: Outcomes) -> None:
    """Those that functions bring along from aws-lambda-java-events are not named after the letters of the events; dates in them
    are seconds, and some have no constructor but one that wants everything."""
    for name, event, result in EVENTS:
        assert outcomes[EVENT_CLASS + name, event] == {"result": result}, name


UNWRITABLE = {
    "self": 'Direct self-reference leading to cycle (through reference chain: example.Orders$Loop["next"])',
    "circle": "Document nesting depth (1001) exceeds the maximum allowed (1000): does an object hold itself?",
    "broken": 'no value (through reference chain: example.Orders$1["value"])',
}


def test_a_result_that_has_no_json_is_an_error(outcomes: Outcomes) -> None:
    """An object that holds itself, at once or by way of another, or whose getter throws."""
    for name, message in UNWRITABLE.items():
        outcome = outcomes[f"example.Orders::{name}", '""']
        assert outcome["error"]["errorMessage"] == "An error occurred during JSON serialization of response"
        assert outcome["error"]["errorType"] == "java.lang.RuntimeException"
        assert outcome["error"]["cause"]["errorMessage"] == message


FAULTS = {
    "example.Nothing": ("Class not found: example.Nothing", "java.lang.ClassNotFoundException"),
    "example.Nothing::handle": ("Class not found: example.Nothing", "java.lang.ClassNotFoundException"),
    "": ("Invalid handler: `'", None),
    "::handle": ("Invalid handler: `::handle'", None),
    "example.Methods::": ("Invalid handler: `example.Methods::'", None),
    "example.Methods::absent": (
        "No public method named absent with appropriate method signature found on class example.Methods",
        None,
    ),
    "example.Methods::wrong": (
        "No public method named wrong with appropriate method signature found on class example.Methods",
        None,
    ),
    "example.Methods::hidden": (
        "No public method named hidden with appropriate method signature found on class example.Methods",
        None,
    ),
    "example.Methods": ("Class does not implement an appropriate handler interface: example.Methods", None),
    "example.Faulty$NeedsMore": (
        "Class example.Faulty$NeedsMore has no public zero-argument constructor",
        "java.lang.NoSuchMethodException",
    ),
    "example.Faulty$Inner": (
        "Class example.Faulty$Inner cannot be instantiated because it is a non-static inner class",
        None,
    ),
    "example.Faulty$Abstract": ("java.lang.InstantiationException", "java.lang.InstantiationException"),
    "example.Orders$Raw": (
        "Class example.Orders$Raw does not implement RequestHandler with concrete type parameters:"
        " parameter X has no upper bound.",
        None,
    ),
    "example.Faulty$ConstructorThrows": ("not today", "java.lang.IllegalStateException"),
    "example.Faulty$StaticThrows": ("Error loading class example.Faulty$StaticThrows", "java.lang.ExceptionInInitializerError"),
}


def test_a_class_that_is_no_handler_says_why(outcomes: Outcomes) -> None:
    """AWS's sentences; the type is there where an exception is behind it."""
    for handler, (message, kind) in FAULTS.items():
        expected = {"errorMessage": message, "errorType": kind} if kind else {"errorMessage": message}
        assert outcomes[handler, "{}"] == {"error": expected}, handler


def test_exceptions_come_with_their_causes_and_without_the_client(outcomes: Outcomes) -> None:
    """The stack ends at the handler, as the author knows it; a stack that overflowed is an exception like others."""
    failed, recursed = outcomes["example.Methods::fails", '"x"'], outcomes["example.Methods::recurses", '"x"']
    assert failed["error"]["errorMessage"] == "checked x"
    assert failed["error"]["errorType"] == "java.io.IOException"
    assert re.match(r"example\.Methods\.fails\(Methods\.java:\d+\)$", failed["error"]["stackTrace"][0])
    assert not any("lambdad" in line for line in failed["error"]["stackTrace"])
    assert failed["error"]["cause"]["errorMessage"] == "inner"
    assert recursed["error"]["errorType"] == recursed["error"]["errorMessage"] == "java.lang.StackOverflowError"
