"""A zygote: an interpreter that has imported the runtime client, and forks sandboxes. Run by every Python from 2.7 on.

Started by the launcher as root, of the machine or of a user namespace, in a private root of its own, with one SOCK_SEQPACKET socket to the launcher as descriptor 3.
It never runs a user's code and holds no secret: what its memory holds, every function of its language can read.
"""

import base64
import gc
import json
import os
import signal
import sys

CHANNEL = 3
PR_SET_CHILD_SUBREAPER = 36
RUNTIME_DIR = "/var/runtime"
REHEARSALS = 20  # more often than any Python runs code before it rewrites it


def main():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the launcher learns of the end of a sandbox by itself
    for number in (signal.SIGINT, signal.SIGTERM):  # the launcher decides when to end
        signal.signal(number, signal.SIG_IGN)
    record, _ = linux.receive(CHANNEL)
    settings = json.loads(record.decode("ascii"))
    settings["filter"] = base64.b64decode(settings["filter"])
    try:
        settings["last_capability"] = linux.last_capability()
        linux.drop_bounding_set()
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        # What a snapshotter leaves behind comes here, where nobody has to wait for it: see SIGCHLD above.
        linux.prctl(PR_SET_CHILD_SUBREAPER, 1)
        own_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY)
        _import_client(settings["start"]).preload()
        if len(sys.argv) > 1:
            _enter_image(sys.argv[1])
    except BaseException as error:
        _answer({"failed": "%s: %s" % (type(error).__name__, error)})
        raise
    for _ in range(REHEARSALS):
        environment.rehearse()
    gc.collect()  # first, for the gaps that it leaves
    memory.fill_gaps()
    if hasattr(gc, "freeze"):
        gc.freeze()
    gc.disable()  # until a function is there: a collection would write to pages that all sandboxes share
    _answer({"ready": True})
    while True:
        record, descriptors = linux.receive(CHANNEL)
        if not record:
            os._exit(0)
        if record == b"snapshot":
            _start_snapshotter(settings, descriptors[0], own_namespace)
            continue
        number, uid = record.split()
        _make_sandbox(settings, int(number), int(uid), descriptors, own_namespace)


def _import_client(start):
    """What is called in each fork: the runtime client, or what becomes the start command of a runtime that is no Python."""
    if start is None:
        sys.path[0] = RUNTIME_DIR
        import bootstrap
    else:
        bootstrap = sys.modules["bootstrap"] = program
        program.command = start
    return bootstrap


def _enter_image(root):
    import zygote_image

    zygote_image.enter(root)
    environment.start_folder = "/"  # which folder it is run in is in the start command


def _make_sandbox(settings, number, uid, descriptors, own_namespace):
    """`number` is the launcher's name for it. Says and touches as little as it can: see `zygote_linux._incoming`."""
    try:
        handle = _fork(settings, uid, descriptors, own_namespace)
    except OSError as error:  # no memory or process left, perhaps only for now
        _answer({"shell": number, "error": str(error)})
    else:
        linux.send(CHANNEL, str(number).encode("ascii"), [handle])
        os.close(handle)
    for descriptor in descriptors:
        os.close(descriptor)


def _fork(settings, uid, descriptors, own_namespace):
    """Starts the first process of a new pid namespace; returns a descriptor that stands for it."""
    linux.unshare(linux.CLONE_NEWPID)
    child = None
    try:
        child = linux.fork_bare()
    finally:
        if child != 0:
            linux.enter_namespace(own_namespace, linux.CLONE_NEWPID)  # or the next unshare is refused
    if child == 0:
        os.close(CHANNEL)
        os.close(own_namespace)
        environment.run(settings, uid, descriptors[0], descriptors[1], descriptors[2:])
    try:
        return linux.pidfd_open(child)
    except OSError:
        os.kill(child, signal.SIGKILL)
        raise


def _start_snapshotter(settings, channel, own_namespace):
    """Whoever has the other end of `channel` learns from its closing that this has failed."""
    try:
        child = os.fork()
    except OSError:
        child = None
    if child == 0:
        os.close(CHANNEL)
        os.close(own_namespace)
        sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
        try:
            import zygote_snapshotter
        finally:
            sys.path.pop(0)
        zygote_snapshotter.serve(channel, settings, environment.run_template)
    os.close(channel)


def _answer(record):
    linux.send(CHANNEL, json.dumps(record).encode("ascii"))


if __name__ == "__main__":
    import zygote_environment as environment
    import zygote_linux as linux
    import zygote_memory as memory
    import zygote_program as program

    main()
