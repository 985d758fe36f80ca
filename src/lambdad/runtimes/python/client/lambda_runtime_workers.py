"""Managed instances: as many processes as the environment may have invocations at once, each with a client of its own.

As on AWS each of them initialises the function by itself and runs one invocation at a time; what one of them leaves in memory no
other sees. One that ends is not replaced; when the last one has ended, so does the runtime. Python 2.7 and every 3.x.
"""

import errno
import os
import signal
import sys

_VARIABLE = "AWS_LAMBDA_MAX_CONCURRENCY"


def are_wanted():
    return bool(os.environ.get(_VARIABLE))


def run(work, connection_fd):
    """Has `work` done in each worker, with a connection that it has to make; that of this process is not needed. Returns in
    no worker, and here not before all have ended."""
    if connection_fd is not None:
        os.close(connection_fd)
    workers = set()
    signal.signal(signal.SIGTERM, lambda number, frame: _pass_on(workers))
    for _ in range(int(os.environ[_VARIABLE])):
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            work(None)
            return
        workers.add(pid)
    _wait(workers)
    sys.exit(1)


def _wait(workers):
    while workers:
        try:
            pid, _ = os.wait()
        except OSError as error:
            if error.errno != errno.EINTR:
                raise
            continue
        workers.discard(pid)


def _pass_on(workers):
    for pid in list(workers):
        try:
            os.kill(pid, signal.SIGTERM)
        except OSError:
            continue  # it has just ended by itself
