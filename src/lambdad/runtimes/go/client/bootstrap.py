"""Starts a go1.x function, the executable file that its handler names, and hands invocations to it by Go's net/rpc.

Runs on the server's own Python.
"""

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time

from lambda_runtime_client import RuntimeApiClosed, RuntimeApiError, RuntimeClient
from lambda_runtime_gob import GobError
from lambda_runtime_rpc import Closed, FunctionService, ServerError

_POLL_SECONDS = (0.001, 0.02)  #: between two tries to connect, at first and at last: nothing tells when another process listens


def main():
    """Serves until it is killed."""
    try:
        _forget_own_library()
        client = RuntimeClient(os.environ.get("AWS_LAMBDA_RUNTIME_API", ""))
        _serve(client)
    except RuntimeApiClosed:
        os._exit(1)
    except RuntimeApiError as error:
        os.write(2, (str(error) + "\n").encode("utf-8", "replace"))
        os._exit(1)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def _forget_own_library():
    """The function's program is not to load what this Python was started with."""
    own = os.path.join(os.path.dirname(os.path.dirname(sys.executable)), "lib")
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    if folders[0] == own:
        os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(folders[1:])


def _serve(client):
    program = _Program(client)
    service = program.service
    while True:
        with program.idle():
            invocation = client.next()
        headers = invocation.headers()
        request_id = headers["lambda-runtime-aws-request-id"]
        try:
            response = service.invoke(_request(invocation.body, headers))
        except Closed:
            program.follow()
        except (GobError, ServerError) as error:
            response = {"Error": {"Message": str(error), "Type": type(error).__name__}}
        failure = response.get("Error")
        if failure is None:
            client.respond(request_id, response.get("Payload", b""), "application/json")
            continue
        told = request_id, _error_body(failure), failure.get("Type") or "Runtime.Unknown"
        if failure.get("ShouldExit"):
            client.report_last_error(*told)
            program.end()
        client.report_error(*told)


class _Program:
    """The function's process, started and connected to; whatever prevents that is reported as the function's init error."""

    def __init__(self, client):
        self._client = client
        port = _free_port()
        path = os.path.join(os.environ.get("LAMBDA_TASK_ROOT", "/var/task"), os.environ.get("_HANDLER", ""))
        environment = dict(os.environ, _LAMBDA_SERVER_PORT=str(port))
        try:
            if os.path.isdir(path):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            self._process = subprocess.Popen([path], env=environment, close_fds=True)
        except OSError as error:
            text = "exec format error" if error.errno == errno.ENOEXEC else os.strerror(error.errno).lower()
            self._refuse("fork/exec %s: %s" % (path, text), "PathError")
        signal.signal(signal.SIGTERM, lambda number, frame: self._process.send_signal(number))
        self.service = self._connect(port)
        self._is_idle = False
        signal.signal(signal.SIGCHLD, lambda number, frame: self._follow_if_idle())

    def _connect(self, port):
        wait, longest = _POLL_SECONDS
        while True:
            if self._process.poll() is not None:
                self.follow()
            try:
                service = FunctionService.connect(port)
            except ConnectionRefusedError:
                time.sleep(wait)
                wait = min(wait * 1.5, longest)
                continue
            try:
                service.ping()
            except Closed:
                self.follow()
            except (GobError, ServerError) as error:
                self._refuse(str(error), type(error).__name__)
            return service

    @contextlib.contextmanager
    def idle(self):
        """A program that ends between two invocations is followed at once; the next one must not find it out. In an invocation
        that waits until its answer is on its way."""
        self._is_idle = True
        self._follow_if_idle()
        yield
        self._is_idle = False

    def _follow_if_idle(self):
        if self._is_idle and self._process.poll() is not None:
            self.follow()

    def follow(self):
        """Ends this process the way the program has ended."""
        try:
            status = self._process.wait(1)
        except subprocess.TimeoutExpired:  # it has only closed its connection
            self.end()
        if status >= 0:
            os._exit(status)
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
        signal.pause()

    def end(self):
        self._process.kill()
        self._process.wait()
        os._exit(1)

    def _refuse(self, message, error_type):
        os.write(1, ("%s: %s\n" % (message, error_type)).encode("utf-8", "replace"))
        self._client.report_init_error(_error_body({"Message": message, "Type": error_type}), error_type)
        process = getattr(self, "_process", None)
        if process is not None:
            process.kill()
        os._exit(1)


def _free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _request(payload, headers):
    deadline = int(headers.get("lambda-runtime-deadline-ms") or 0)
    identity = json.loads(headers.get("lambda-runtime-cognito-identity") or "{}")
    return {
        "Payload": payload,
        "RequestId": headers["lambda-runtime-aws-request-id"],
        "XAmznTraceId": headers.get("lambda-runtime-trace-id", ""),
        "Deadline": {"Seconds": deadline // 1000, "Nanos": deadline % 1000 * 1000000},
        "InvokedFunctionArn": headers.get("lambda-runtime-invoked-function-arn", ""),
        "CognitoIdentityId": identity.get("cognitoIdentityId", ""),
        "CognitoIdentityPoolId": identity.get("cognitoIdentityPoolId", ""),
        "ClientContext": headers.get("lambda-runtime-client-context", "").encode("utf-8"),
    }


def _error_body(failure):
    """The JSON that AWS made of Go's error: its stack trace only where there is one."""
    body = {"errorMessage": failure.get("Message", ""), "errorType": failure.get("Type", "")}
    if failure.get("StackTrace"):
        body["stackTrace"] = [
            {"path": frame.get("Path", ""), "line": frame.get("Line", 0), "label": frame.get("Label", "")}
            for frame in failure["StackTrace"]
        ]
    return json.dumps(body, ensure_ascii=False).encode("utf-8")


if __name__ == "__main__":
    main()
