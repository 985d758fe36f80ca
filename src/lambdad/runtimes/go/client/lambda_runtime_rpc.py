"""The service "Function" of a Go program that was made with AWS's library for go1.x, called over Go's net/rpc."""

import socket

import lambda_runtime_gob as gob
from lambda_runtime_gob import BYTES, INT, STRING, UINT, Struct

READ_BYTES = 65536

_REQUEST = Struct("Request", ("ServiceMethod", STRING), ("Seq", UINT))
_PING_REQUEST = Struct("PingRequest")
_TIMESTAMP = Struct("InvokeRequest_Timestamp", ("Seconds", INT), ("Nanos", INT))
_INVOKE_REQUEST = Struct(
    "InvokeRequest",
    ("Payload", BYTES),
    ("RequestId", STRING),
    ("XAmznTraceId", STRING),
    ("Deadline", _TIMESTAMP),
    ("InvokedFunctionArn", STRING),
    ("CognitoIdentityId", STRING),
    ("CognitoIdentityPoolId", STRING),
    ("ClientContext", BYTES),
)


class Closed(Exception):
    """The program has ended, or closed its connection."""


class ServerError(Exception):
    """The program's side of net/rpc refused a call."""


class FunctionService:
    """`connection` is a connected stream socket. One call at a time."""

    def __init__(self, connection):
        self._connection = connection
        self._encoder = gob.Encoder()
        self._decoder = gob.Decoder(self._read)
        self._received = bytearray()
        self._number = 0

    @classmethod
    def connect(cls, port):
        """ConnectionRefusedError as long as the program does not listen."""
        connection = socket.create_connection(("127.0.0.1", port))
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(connection)

    def ping(self):
        self._call("Function.Ping", _PING_REQUEST, {})

    def invoke(self, request):
        """The fields of Go's InvokeResponse: "Payload", or "Error" with "Message", "Type", "StackTrace" and "ShouldExit"."""
        return self._call("Function.Invoke", _INVOKE_REQUEST, request)

    def _call(self, method, kind, argument):
        self._number += 1
        head = self._encoder.encode(_REQUEST, {"ServiceMethod": method, "Seq": self._number})
        try:
            self._connection.sendall(head + self._encoder.encode(kind, argument))
        except OSError as error:
            raise Closed(str(error)) from error
        response = self._decoder.decode()
        result = self._decoder.decode()
        if response.get("Seq", 0) != self._number:
            raise gob.GobError("the answer to call %s came for call %d" % (response.get("Seq", 0), self._number))
        if response.get("Error"):
            raise ServerError(response["Error"])
        return result

    def _read(self, size):
        while len(self._received) < size:
            try:
                data = self._connection.recv(max(READ_BYTES, size - len(self._received)))
            except OSError as error:
                raise Closed(str(error)) from error
            if not data:
                raise Closed("the connection was closed")
            self._received += data
        piece = bytes(self._received[:size])
        del self._received[:size]
        return piece
