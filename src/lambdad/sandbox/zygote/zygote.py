"""A zygote: an interpreter that has imported the runtime client, and forks sandboxes. Run by every Python from 2.7 on.

Started by the launcher as root in a private root of its own, with one SOCK_SEQPACKET socket to the launcher as descriptor 3.
It never runs a user's code and holds no secret: what its memory holds, every function of its language can read.
"""

import base64
import gc
import json
import os
import signal
import sys

CHANNEL = 3
RECORD_SIZE = 64 * 1024
RUNTIME_DIR = "/var/runtime"


def main():
    sys.path[0] = RUNTIME_DIR
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the launcher learns of the end of a sandbox by itself
    for number in (signal.SIGINT, signal.SIGTERM):  # the launcher decides when to end
        signal.signal(number, signal.SIG_IGN)
    record, _ = linux.receive(CHANNEL, RECORD_SIZE)
    settings = json.loads(record.decode("ascii"))
    settings["filter"] = base64.b64decode(settings["filter"])
    try:
        linux.drop_bounding_set()
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        own_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY)
        import bootstrap

        bootstrap.preload()
    except BaseException as error:
        _answer({"failed": "%s: %s" % (type(error).__name__, error)})
        raise
    gc.collect()
    if hasattr(gc, "freeze"):
        gc.freeze()
    gc.disable()  # until a function is there: a collection would write to pages that all sandboxes share
    _answer({"ready": True})
    while True:
        record, descriptors = linux.receive(CHANNEL, RECORD_SIZE)
        if not record:
            os._exit(0)
        _make_sandbox(settings, json.loads(record.decode("ascii")), descriptors, own_namespace)


def _make_sandbox(settings, request, descriptors, own_namespace):
    handles = []
    answer = {"shell": request["shell"]}
    try:
        handles.append(_fork(settings, request, descriptors, own_namespace))
    except OSError as error:  # no memory or process left, perhaps only for now
        answer["error"] = str(error)
    _answer(answer, handles)
    for descriptor in handles + descriptors:
        os.close(descriptor)


def _fork(settings, request, descriptors, own_namespace):
    """Starts the first process of a new pid namespace; returns a descriptor that stands for it."""
    linux.unshare(linux.CLONE_NEWPID)
    child = None
    try:
        child = os.fork()
    finally:
        if child != 0:
            linux.enter_namespace(own_namespace, linux.CLONE_NEWPID)  # or the next unshare is refused
    if child == 0:
        os.close(CHANNEL)
        os.close(own_namespace)
        environment.run(settings, request["uid"], descriptors[0], descriptors[1:])
    try:
        return linux.pidfd_open(child)
    except OSError:
        os.kill(child, signal.SIGKILL)
        raise


def _answer(record, descriptors=()):
    linux.send(CHANNEL, json.dumps(record).encode("ascii"), descriptors)


if __name__ == "__main__":
    import zygote_environment as environment
    import zygote_linux as linux

    main()
