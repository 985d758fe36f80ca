"""Starts a runtime that is no Python: makes a process of lambdad's own Python into the runtime's start command.

In a zygote it stands in the place of a Python's runtime client: the zygote calls `preload` once and, in each fork, `serve`.
It is a program as well (`main`), for sandboxes that have no zygote.
"""

import errno
import json
import os
import re
import signal
import sys

PYTHON = "{python}"
MISSING, NOT_EXECUTABLE = 127, 126  #: what a shell ends with when it cannot run a wrapper
command = None  #: the start command, as a dict of its fields


def main():
    """The program: becomes the runtime, or reports to AWS_LAMBDA_RUNTIME_API why it cannot. Its argument is the command."""
    global command
    command = json.loads(sys.argv[1])
    os.environ.pop("_LAMBDAD_OPT_ROOT", None)
    serve(None)


def preload():
    """Nothing is needed of a language."""


def serve(connection_fd):
    """In a fork: os.environ is the function's, the working directory the task root, descriptors 1 and 2 the log's pipe,
    `connection_fd` a stream socket to the Runtime API or None. Never returns."""
    _report(connection_fd, _become())


def pre_boot(start_fd, connection_fd, memory_mb):
    """As `serve`, before there is a function: os.environ holds what every function of the runtime begins with. Never returns.

    The client finds in _LAMBDAD_BOOT the numbers of two descriptors. It makes ready whatever does not depend on a function, writes
    one byte to the second, which says that it has, closes that, and waits for a record on the first (SOCK_SEQPACKET, read as from a
    file): the function's variables, a JSON object. An empty one is the end. It closes the first as well, makes these its
    environment, enters its working directory once more, since the function's files are there now, and goes on as if it had just
    been started.
    """
    os.environ["_LAMBDAD_BOOT"] = "%d %d" % (start_fd, connection_fd)
    problem = _become(memory_mb)
    os.write(2, ("%s\n" % (problem,)).encode("utf-8", "replace"))  # nobody reads it: who needs to know is told by `serve`
    os._exit(1)


def _become(memory_mb=None):
    """Returns only if it fails, with the sentence that says why."""
    # An interpreter ignores these; a program that has not asked for it must not inherit that.
    for name in ("SIGPIPE", "SIGXFSZ"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    if command.get("folder") is not None:
        return _become_image_command(command["programs"], command["arguments"], command["folder"])
    memory_mb = memory_mb or int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE") or 128)
    arguments = [_filled_in(argument, memory_mb) for argument in command["arguments"]]
    for program in command["programs"]:
        if program == PYTHON:
            program = _own_python()
        if not os.path.isfile(program):
            continue
        line = [program] + arguments
        if command["honours_wrapper"] and os.environ.get("AWS_LAMBDA_EXEC_WRAPPER"):
            _wrap(os.environ["AWS_LAMBDA_EXEC_WRAPPER"], line)
        try:
            os.execv(program, line)
        except OSError as error:
            text = "exec format error" if error.errno == errno.ENOEXEC else os.strerror(error.errno).lower()
            return "fork/exec %s: %s" % (program, text)
    return "Couldn't find valid bootstrap(s): [%s]" % " ".join(command.get("names", command["programs"]))


def _become_image_command(programs, arguments, folder):
    """As `_become`, with AWS's type of error where it is not the program."""
    try:
        os.chdir(folder)
    except OSError as error:
        return "Runtime.InvalidWorkingDir", "chdir %s: %s" % (folder, os.strerror(error.errno).lower())
    if not programs:
        return "the image has neither an ENTRYPOINT nor a CMD"
    program, line = programs[0], list(programs) + list(arguments)
    try:
        os.execvp(program, line)
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None)
        text = "exec format error" if number == errno.ENOEXEC else os.strerror(number or errno.EINVAL).lower()
        return "fork/exec %s: %s" % (program, text)


def _own_python():
    """Where it is not in a folder that the loader knows, its library may be beside it."""
    program = sys.executable
    library = os.path.join(os.path.dirname(os.path.dirname(program)), "lib")
    if not program.startswith("/usr/"):
        os.environ["LD_LIBRARY_PATH"] = ":".join([library] + list(filter(None, [os.environ.get("LD_LIBRARY_PATH")])))
    return program


def _filled_in(argument, memory_mb):
    argument = re.sub(r"\{memory:(\d+)\}", lambda found: str(memory_mb * int(found.group(1)) // 100), argument)
    return re.sub(r"\{memory_kb:(\d+)(?::(\d+))?\}", lambda found: str(_share(memory_mb * 1024, *found.groups())), argument)


def _share(memory, per_cent, rest=None):
    """So many hundredths, but leaving at least `rest`."""
    return max(min(memory * int(per_cent) // 100, memory - int(rest or 0)), 1)


def _wrap(wrapper, line):
    """As bash, which runs the wrapper on AWS, would end where it cannot. Never returns."""
    try:
        os.execv(wrapper, [wrapper] + line)
    except OSError as error:
        os.write(2, ("%s: %s\n" % (wrapper, os.strerror(error.errno))).encode("utf-8", "replace"))
        os._exit(MISSING if error.errno == errno.ENOENT else NOT_EXECUTABLE)


def _report(connection_fd, problem):
    import socket

    if connection_fd is None:
        host, _, port = os.environ.get("AWS_LAMBDA_RUNTIME_API", "").rpartition(":")
        connection = socket.create_connection((host, int(port)))
    else:
        connection = socket.fromfd(connection_fd, socket.AF_UNIX, socket.SOCK_STREAM)
    kind = "Runtime.InvalidEntrypoint"
    if isinstance(problem, tuple):
        kind, problem = problem
    body = problem.encode("utf-8", "replace")
    head = (
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: runtime\r\nContent-Type: text/plain\r\n"
        "Lambda-Runtime-Function-Error-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind, len(body))
    )
    connection.sendall(head.encode("ascii") + body)
    connection.recv(4096)
    os._exit(1)


if __name__ == "__main__":
    main()
