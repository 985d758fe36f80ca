"""Go's gob encoding by itself: what Go writes is read, and nothing that is written by nobody does harm."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.runtimes.go.family import CLIENT
from support.go import built

sys.path.append(str(CLIENT))
import lambda_runtime_gob as gob

sys.path.remove(str(CLIENT))

POINT = gob.Struct("Point", ("X", gob.INT), ("Y", gob.INT))
EVERYTHING = gob.Struct(
    "Everything",
    ("Text", gob.STRING),
    ("Number", gob.INT),
    ("Count", gob.UINT),
    ("Bytes", gob.BYTES),
    ("Inner", POINT),
)

#: Reads values as Python writes them, and sends each back in a structure with kinds of fields besides that Python only reads.
ECHO = r"""
package main

import (
	"encoding/gob"
	"os"
)

type Point struct{ X, Y int64 }
type Everything struct {
	Text   string
	Number int64
	Count  uint64
	Bytes  []byte
	Inner  Point
}
type Answer struct {
	Echo    Everything
	Several []*Point
	Ratio   float64
	Yes     bool
	Named   map[string]int
	Pair    [2]string
	Nothing *Point
}

func main() {
	decoder, encoder := gob.NewDecoder(os.Stdin), gob.NewEncoder(os.Stdout)
	for {
		var value Everything
		if decoder.Decode(&value) != nil {
			return
		}
		encoder.Encode(Answer{value, []*Point{{1, -2}, {}}, -1.5, true, map[string]int{"a": 1}, [2]string{"x", "é"}, nil})
	}
}
"""

VALUES: list[dict[str, Any]] = [
    {},
    {
        "Text": "é" * 1000,
        "Number": -1,
        "Count": 2**64 - 1,
        "Bytes": bytes(range(256)),
        "Inner": {"X": -(2**63), "Y": 2**63 - 1},
    },
    {"Number": 63, "Inner": {"Y": 64}},
    {"Number": -64, "Count": 127, "Bytes": b"x" * 70000},
    {"Number": -65, "Count": 128, "Text": "\0"},
]


def decoder(data: bytes) -> Any:
    stream = io.BytesIO(data)

    def read(size: int) -> bytes:
        piece = stream.read(size)
        if len(piece) < size:
            raise EOFError
        return piece

    return gob.Decoder(read)


def test_go_reads_what_is_written_and_is_read(tmp_path: Path) -> None:
    """Numbers at every border, texts and nested structures go to a Go program and come back, with kinds that only Go writes."""
    (tmp_path / "echo").write_bytes(built(ECHO, tmp_path))
    (tmp_path / "echo").chmod(0o755)
    encoder = gob.Encoder()
    written = b"".join(encoder.encode(EVERYTHING, value) for value in VALUES)
    answered = subprocess.run([tmp_path / "echo"], input=written, capture_output=True, check=True, timeout=60).stdout
    answers = decoder(answered)
    for value in VALUES:
        assert answers.decode() == {
            "Echo": {"Inner": {}, **value},
            "Several": [{"X": 1, "Y": -2}, {}],
            "Ratio": -1.5,
            "Yes": True,
            "Named": {"a": 1},
            "Pair": ["x", "é"],
        }
    with pytest.raises(EOFError):
        answers.decode()


def test_a_type_is_described_once_on_a_stream() -> None:
    """The second value of a type is its bytes alone."""
    encoder = gob.Encoder()
    first, second = (encoder.encode(POINT, {"X": 1}) for _ in range(2))
    assert first.endswith(second) and len(first) > len(second)
    assert second == b"\x05\xff\x82\x01\x02\x00"


@given(st.binary(max_size=200))
def test_bytes_that_nobody_meant_are_refused(data: bytes) -> None:
    """Whatever comes is a value, ends too early, or is a GobError."""
    try:
        decoder(data).decode()
    except (gob.GobError, EOFError):
        return


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_answer_is_a_value_or_refused(at: int, byte: int) -> None:
    """One changed byte in types or values never raises anything else."""
    data = bytearray(gob.Encoder().encode(EVERYTHING, VALUES[1])[:600])
    data[at % len(data)] = byte
    try:
        decoder(bytes(data)).decode()
    except (gob.GobError, EOFError):
        return


def test_a_message_that_would_fill_the_memory_is_refused_unread() -> None:
    """Its length alone is enough."""
    with pytest.raises(gob.GobError, match="a message of"):
        decoder(b"\xfc\x7f\xff\xff\xff").decode()
