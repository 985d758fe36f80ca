"""Decodes `aws-chunked` bodies: sized chunks, each signed or not, and trailing headers. Does no I/O.

    10000;chunk-signature=SIG CRLF  DATA CRLF ... 0;chunk-signature=SIG CRLF  [NAME:VALUE CRLF ...] CRLF

Data is handed on as it comes and a chunk's signature is checked at its end: the receiver keeps nothing until the
whole body has been fed without an error.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from enum import Enum, auto

from lambdad.errors import ServiceError
from lambdad.wire.auth_error import AuthError, AuthFailure
from lambdad.wire.sigv4 import ChunkSigner

MAX_LINE_BYTES = 4096
MAX_TRAILERS = 16

_CHUNK_HEADER = re.compile(rb"([0-9a-fA-F]{1,12})(?:;chunk-signature=([0-9a-f]{64}))?")
_TRAILER = re.compile(r"([a-z0-9-]{1,128}):\s*([\x20-\x7e]*?)\s*")
_SIGNATURE_TRAILER = "x-amz-trailer-signature"


class _State(Enum):
    HEADER = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILERS = auto()
    DONE = auto()


class AwsChunkedDecoder:
    """With a `signer`, signatures are demanded and checked; without one they are passed over."""

    def __init__(self, signer: ChunkSigner | None) -> None:
        self.trailers: dict[str, str] = {}
        self._signer = signer
        self._previous = signer.seed if signer else ""
        self._state = _State.HEADER
        self._line = bytearray()
        self._remaining = 0
        self._signature: str | None = None
        self._hash = hashlib.sha256()
        self._trailer_signature: str | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The payload bytes in `data`."""
        pieces: list[bytes] = []
        position = 0
        while position < len(data):
            if self._state is _State.DATA:
                piece = data[position : position + self._remaining]
                position += len(piece)
                pieces.append(piece)
                self._take(piece)
            else:
                position = self._take_line(data, position)
        return pieces

    def finish(self) -> None:
        """The body has ended; an error if that is too early."""
        if self._state is _State.TRAILERS and not self._line:  # some clients leave out the last empty line
            self._end_trailers()
        if self._state is not _State.DONE:
            raise incomplete_body()

    def _take(self, piece: bytes) -> None:
        self._remaining -= len(piece)
        if self._signer:
            self._hash.update(piece)
        if not self._remaining:
            self._state = _State.DATA_END

    def _take_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position)
        stop = len(data) if end < 0 else end + 1
        self._line += data[position:stop]
        if len(self._line) > MAX_LINE_BYTES:
            raise _malformed("A line of the aws-chunked body is too long.")
        if end >= 0:
            line = bytes(self._line)
            self._line.clear()
            if not line.endswith(b"\r\n"):
                raise _malformed("A line of the aws-chunked body does not end with CR LF.")
            self._read_line(line[:-2])
        return stop

    def _read_line(self, line: bytes) -> None:
        if self._state is _State.HEADER:
            self._read_chunk_header(line)
        elif self._state is _State.DATA_END:
            if line:
                raise _malformed("A chunk is longer than its announced size.")
            self._check_chunk()
            self._state = _State.HEADER
        elif self._state is _State.TRAILERS:
            self._read_trailer(line)
        else:
            raise _malformed("Bytes follow the end of the aws-chunked body.")

    def _read_chunk_header(self, line: bytes) -> None:
        found = _CHUNK_HEADER.fullmatch(line)
        if found is None:
            raise _malformed("The header of a chunk is not a hexadecimal size with an optional signature.")
        self._remaining = int(found[1], 16)
        self._signature = found[2].decode() if found[2] else None
        self._hash = hashlib.sha256()
        if self._remaining:
            self._state = _State.DATA
        else:
            self._check_chunk()
            self._state = _State.TRAILERS

    def _check_chunk(self) -> None:
        if self._signer is None:
            return
        expected = self._signer.chunk_signature(self._previous, self._hash.hexdigest())
        if not hmac.compare_digest(expected, self._signature or ""):
            raise AuthFailure(AuthError.MISMATCH)
        self._previous = expected

    def _read_trailer(self, line: bytes) -> None:
        if not line:
            self._end_trailers()
            return
        found = _TRAILER.fullmatch(
            line.decode("latin-1").lower().partition(":")[0] + ":" + line.decode("latin-1").partition(":")[2]
        )
        if found is None or len(self.trailers) >= MAX_TRAILERS:
            raise malformed_trailer()
        if found[1] == _SIGNATURE_TRAILER:
            self._trailer_signature = found[2]
        else:
            self.trailers[found[1]] = found[2]

    def _end_trailers(self) -> None:
        if self._signer and self.trailers:
            signed = "".join(f"{name}:{value}\n" for name, value in self.trailers.items()).encode()
            expected = self._signer.trailer_signature(self._previous, signed)
            if not hmac.compare_digest(expected, self._trailer_signature or ""):
                raise AuthFailure(AuthError.MISMATCH)
        self._state = _State.DONE


def incomplete_body() -> ServiceError:
    message = "You did not provide the number of bytes specified by the Content-Length HTTP header"
    return ServiceError("IncompleteBody", message, status=400)


def malformed_trailer() -> ServiceError:
    message = "The request contained trailing data that was not well-formed or did not conform to our published schema."
    return ServiceError("MalformedTrailerError", message, status=400)


def _malformed(message: str) -> ServiceError:
    return ServiceError("InvalidRequest", message, status=400)
