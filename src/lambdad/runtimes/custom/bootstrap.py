"""Starts a custom runtime: makes the process into the `bootstrap` of the function's package, or else of its layers.

Either a program (`main`), or imported by a zygote, which calls `preload` once and, in each fork, `serve`.
"""

import errno
import os
import signal
import socket

_MISSING = "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"


def main():
    """The program: becomes the custom runtime, or reports to AWS_LAMBDA_RUNTIME_API why it cannot."""
    opt_root = os.environ.pop("_LAMBDAD_OPT_ROOT", "/opt")
    problem = _become((os.environ.get("LAMBDA_TASK_ROOT", "/var/task"), opt_root))
    _report(None, problem)


def preload():
    """Nothing is needed of a language."""


def serve(connection_fd):
    """In a fork: os.environ is the function's, the working directory the task root, descriptors 1 and 2 the log's pipe,
    `connection_fd` a stream socket to the Runtime API or None. Never returns."""
    _report(connection_fd, _become(("/var/task", "/opt")))


def _become(roots):
    """Returns only if it fails, with the sentence that says why."""
    # An interpreter ignores these; a program that has not asked for it must not inherit that.
    for name in ("SIGPIPE", "SIGXFSZ"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    for root in roots:
        path = os.path.join(root, "bootstrap")
        if not os.path.isfile(path) or not os.access(path, os.X_OK):
            continue
        try:
            os.execv(path, [path])
        except OSError as error:
            text = "exec format error" if error.errno == errno.ENOEXEC else os.strerror(error.errno).lower()
            return "fork/exec %s: %s" % (path, text)
    return _MISSING


def _report(connection_fd, problem):
    if connection_fd is None:
        host, _, port = os.environ.get("AWS_LAMBDA_RUNTIME_API", "").rpartition(":")
        connection = socket.create_connection((host, int(port)))
    else:
        connection = socket.fromfd(connection_fd, socket.AF_UNIX, socket.SOCK_STREAM)
    body = problem.encode("utf-8", "replace")
    head = (
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: runtime\r\nContent-Type: text/plain\r\n"
        "Lambda-Runtime-Function-Error-Type: Runtime.InvalidEntrypoint\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    connection.sendall(head.encode("ascii") + body)
    connection.recv(4096)
    os._exit(1)


if __name__ == "__main__":
    main()
