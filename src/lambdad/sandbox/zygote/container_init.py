"""Process 1 of a sandbox that an OCI runtime has made. Run by every Python from 2.7 on.

It is the init of `zygote_init` in another world. Its standard input is the socket to the server. Descriptors come in with the
requests and never go out, since gVisor lets them pass in that direction only: the write end of a process's output comes with the
request that starts it. A runtime is a program here, which finds the Runtime API by AWS_LAMBDA_RUNTIME_API.

Where process 1 has no protection from its equals (gVisor), it is root, with the capabilities to kill and to become another user, and
what it starts becomes the user whose number is its second argument. Its third is the start command of a runtime that is no Python.
Elsewhere it is that user, without any capability. Its fourth, for a container image only, is the folder that has the image's files.

Before the first request it tells the launcher what the OCI runtime has made of it: its status as /proc has it, or its failure.
"""

import base64
import json
import os
import sys

import zygote_init
import zygote_linux as linux
import zygote_program

try:
    import _signal as signal
except ImportError:
    import signal

RUNTIME = "/var/runtime/bootstrap.py"
TASK_ROOT = "/var/task"  # of an image, the folder of which this becomes the root
# KILL, SETGID, SETUID, SETPCAP, SYS_CHROOT: where it has any, nothing that it starts may gain them.
OWN_CAPABILITIES = (5, 6, 7, 8, 18)
STATUS = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


class ContainerInit(zygote_init.Init):
    def __init__(self, commands, uid):
        zygote_init.Init.__init__(self, commands, None, None)
        self._numbers.clear()
        self._uid = uid

    def _start_runtime(self, command):
        if zygote_program.command is None:
            return self._start_program([sys.executable, RUNTIME], TASK_ROOT, command)
        variables = zygote_init.variables(command["environment"])
        pid, log = self._fork(command, lambda writer: self._become_start_command(writer, variables))
        self._numbers[pid] = command["number"]
        return log

    def _become_start_command(self, log, variables):
        for target in (1, 2):
            os.dup2(log, target)
        zygote_init.be_ordinary([])
        self._step_down()
        os.chdir(TASK_ROOT if zygote_program.command.get("folder") is None else "/")
        os.environ.clear()
        os.environ.update(variables)
        zygote_program.serve(None)

    def _step_down(self):
        if os.getuid() != self._uid:
            for capability in OWN_CAPABILITIES:
                linux.prctl(linux.PR_CAPBSET_DROP, capability)
            linux.become(self._uid)
            linux.prctl(linux.PR_SET_DUMPABLE, 1)  # as it is for others once they run a program

    def _make_log(self, command):
        return [], os.dup(command["given"][0])


def main(filter_program, uid, image):
    commands = os.dup(0)
    try:
        if image is not None:
            import zygote_image

            zygote_image.shut_in(image)
        _confine(filter_program, commands, uid)
        linux.send(commands, json.dumps({"ready": _status()}).encode("ascii"))
    except BaseException as error:
        linux.send(commands, json.dumps({"failed": "%s: %s" % (type(error).__name__, error)}).encode("ascii"))
        os._exit(1)
    ContainerInit(commands, uid).serve()
    os._exit(0)


def _confine(filter_program, commands, uid):
    linux.close_all_but([commands])
    nothing = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    os.umask(0o022)
    linux.be_known_by(uid)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)  # nobody inside can trace it or open its descriptors, though they are its equals
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    # The runtime was told the same rules, but cannot be told to refuse calls that nobody has heard of, and may not know errors.
    linux.install_filter(filter_program)


def _status():
    with open("/proc/self/status") as status:
        lines = [line.partition(":") for line in status]
    return dict((name, value.split()) for name, _, value in lines if name in STATUS)


if __name__ == "__main__":
    zygote_program.command = json.loads(sys.argv[3])
    main(base64.b64decode(sys.argv[1]), int(sys.argv[2]), sys.argv[4] if len(sys.argv) > 4 else None)
