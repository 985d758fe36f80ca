"""The Runtime API as a blocking HTTP/1.1 client on one kept-alive connection. Runs on Python 2.7 and every 3.x.

An answer and the question for the next invocation leave in one write, so that a warm invocation costs this side one
write and one or two reads. The client is used by the main thread only.
"""

import errno
import fcntl
import os
import re
import select
import socket
import sys

API = "/2018-06-01/runtime/"
#: The service's own limit, 6 MiB + 100 bytes. Longer answers are refused with 413 and end the connection, perhaps before
#: they were read to their end, so they are sent with an eye on the answer and without a second request behind them.
MAX_RESPONSE_BYTES = 6 * 1024 * 1024 + 100
READ_BYTES = 65536
FORK = 102  #: status of lambdad's to restore/next: the snapshot is taken when this process forks
_CONTENT_LENGTH = re.compile(b"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


class RuntimeApiError(Exception):
    """The Runtime API is gone or refused something that it should not have; the process has to end."""


class RuntimeApiClosed(RuntimeApiError):
    """The environment is being taken down, and nobody is to hear of that."""


class Answer(object):
    __slots__ = ("_head", "body", "status")

    def __init__(self, head, body):
        self.status = int(head[9:12])  # after "HTTP/1.1 "
        self._head = head
        self.body = body

    def headers(self):
        """By lower-case name. Most answers are never asked."""
        headers = {}
        for line in self._head.decode("utf-8", "replace").split("\r\n")[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = _native(value.strip())
        return headers


class RuntimeClient(object):
    """`connection_fd` is a connected stream socket; without it the client connects to `address` ("host:port")."""

    def __init__(self, address, connection_fd=None):
        self.address = address
        self._fd = None
        self._received = b""
        self._next_request = ("GET %sinvocation/next HTTP/1.1\r\nHost: %s\r\n\r\n" % (API, address)).encode("ascii")
        self._is_forking = False  #: the child goes on in this process's place
        self._asked = False  #: whether the request for the next invocation is already on its way
        if connection_fd is None:
            self._connect()
        else:
            self._adopt(connection_fd)

    def next(self):
        """Waits, without any limit, for an invocation; the process may be frozen meanwhile."""
        if not self._asked:
            self._write(self._next_request)
        self._asked = False
        answer = self._read_answer()
        if answer.status != 200:
            raise RuntimeApiError("the Runtime API refused an invocation: %s" % _text(answer))
        return answer

    def respond(self, request_id, body, content_type):
        self._answer("invocation/%s/response" % request_id, body, "Content-Type: " + content_type)

    def report_error(self, request_id, body, error_type):
        self._answer("invocation/%s/error" % request_id, body, _error_headers(error_type))

    def report_last_error(self, request_id, body, error_type):
        """Without asking for another invocation: the process is about to end."""
        self._write(self._post("invocation/%s/error" % request_id, body, _error_headers(error_type)))
        _check(self._read_answer())

    def report_init_error(self, body, error_type):
        self._write(self._post("init/error", body, _error_headers(error_type)))
        self._read_answer()

    def restore_next(self):
        """Waits until a snapshot is to be taken, which is a fork: its child is what every clone goes on as, with a connection
        of its own in the place of this one. Returns in each clone once it may go on."""
        request = ("GET %srestore/next HTTP/1.1\r\nHost: %s\r\n\r\n" % (API, self.address)).encode("ascii")
        self._write(request)
        answer = self._read_answer()
        if answer.status == FORK:
            self._is_forking = True
            if os.fork() != 0:
                os._exit(1)
            self._is_forking = False
            self._received = b""
            self._write(request)
            answer = self._read_answer()
        if answer.status != 200:
            raise RuntimeApiError("the Runtime API refused a snapshot: %s" % _text(answer))

    def report_restore_error(self, body, error_type):
        self._write(self._post("restore/error", body, _error_headers(error_type)))
        self._read_answer()

    def close(self):
        """Gives up the connection in a forked child, which must neither answer nor keep it open."""
        if self._fd is not None and not self._is_forking:
            os.close(self._fd)
            self._fd = None

    def _answer(self, path, body, headers):
        if len(body) > MAX_RESPONSE_BYTES:
            self._answer_too_long(self._post(path, body, headers))
            return
        self._write(self._post(path, body, headers) + self._next_request)
        self._asked = True
        answer = self._read_answer()
        _check(answer)

    def _answer_too_long(self, message):
        """Sends until an answer comes or all is sent, then starts afresh: what follows on this connection is undefined."""
        view = memoryview(message)
        poll = select.poll()
        poll.register(self._fd, select.POLLIN | select.POLLOUT)
        while len(view):
            if _retried(poll.poll)[0][1] & ~select.POLLOUT:
                break
            try:
                view = view[_retried(os.write, self._fd, view[:READ_BYTES]) :]
            except OSError as error:
                if error.errno not in (errno.EPIPE, errno.ECONNRESET):
                    raise
                break
        answer = self._read_answer()
        _check(answer)
        if len(view) or answer.headers().get("connection", "").lower() == "close":
            self.close()
            self._received = b""
            self._connect()

    def _post(self, path, body, headers):
        head = "POST %s%s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n%s\r\n\r\n"
        return (head % (API, path, self.address, len(body), headers)).encode("ascii") + body

    def _connect(self):
        host, _, port = self.address.rpartition(":")
        try:
            connection = socket.create_connection((host, int(port)))
        except (EnvironmentError, ValueError) as error:
            raise RuntimeApiError("the Runtime API at '%s' cannot be reached: %s" % (self.address, error))
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._adopt(os.dup(connection.fileno()))
        connection.close()

    def _adopt(self, fd):
        # Programs that the function starts must not inherit the connection; Python 2.7 would let them.
        flags = fcntl.fcntl(fd, fcntl.F_GETFD)
        if not flags & fcntl.FD_CLOEXEC:
            fcntl.fcntl(fd, fcntl.F_SETFD, flags | fcntl.FD_CLOEXEC)
        self._fd = fd

    def _write(self, message):
        sent = _retried(os.write, self._fd, message)
        if sent < len(message):
            view = memoryview(message)[sent:]
            while len(view):
                view = view[_retried(os.write, self._fd, view) :]

    def _read_answer(self):
        data = self._received
        end = data.find(b"\r\n\r\n")
        while end < 0:
            data += self._read(READ_BYTES)
            end = data.find(b"\r\n\r\n")
        head = data[:end]
        start = end + 4
        length = _CONTENT_LENGTH.search(head)
        stop = start + (int(length.group(1)) if length else 0)
        if len(data) < stop:
            data = self._read_rest(data, stop)
        self._received = data[stop:]
        return Answer(head, data[start:stop])

    def _read_rest(self, data, size):
        pieces = [data]
        missing = size - len(data)
        while missing > 0:
            piece = self._read(max(missing, READ_BYTES))
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def _read(self, size):
        data = _retried(os.read, self._fd, size)
        if not data:
            raise RuntimeApiClosed("the Runtime API closed the connection")
        return data


def _check(answer):
    """413 has been told to the caller already, and the environment goes on; whatever else is refused must not be lost."""
    if not 200 <= answer.status < 300 and answer.status != 413:
        raise RuntimeApiError("the Runtime API refused an answer: %s" % _text(answer))


def _error_headers(error_type):
    # A class name may hold any letter; a header may not.
    name = error_type.encode("ascii", "backslashreplace").decode("ascii")
    return "Content-Type: application/json\r\nLambda-Runtime-Function-Error-Type: " + name


def _retried(call, *arguments):
    """Before Python 3.5 a signal's handler, which the function may have set, ends a system call early. And gVisor has answered
    EAGAIN where a blocking socket of the host's had nothing yet."""
    while True:
        try:
            return call(*arguments)
        except (OSError, select.error) as error:
            if error.args[0] == errno.EAGAIN:
                _wait(arguments[0], select.POLLIN if call is os.read else select.POLLOUT)
            elif error.args[0] != errno.EINTR:
                raise


def _wait(fd, event):
    poll = select.poll()
    poll.register(fd, event)
    _retried(poll.poll)


def _native(text):
    """Python 2's functions get plain strings, as on AWS, where that is possible."""
    if sys.version_info[0] >= 3:
        return text
    try:
        return text.encode("ascii")
    except UnicodeEncodeError:
        return text


def _text(answer):
    return "%d %s" % (answer.status, answer.body[:500].decode("utf-8", "replace"))
