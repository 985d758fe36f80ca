"""The process that keeps one snapshot: forked from a zygote, with the privileges that making and cloning a snapshot needs.

`zygote_snapshot` is what it does; this is whom it does it for. It speaks JSON records on a SOCK_SEQPACKET socket with the launcher:

    {"do": "template", "uid": 20001}        with: process 1 of the sandbox as a pidfd, the socket on which the runtime's
                                            environment comes, its connection, its log, cgroup.procs of the sandbox
    {"do": "capture"}                       from now on the template may fork
    {"do": "clone", "number": 3, "uid": 20002}    with: process 1, log, connection, cgroup.procs of the clone's sandbox

    {"ready": true}                         with: a pidfd of this process
    {"running": true}                       the template is on its way
    {"ended": true, "code": 1, "signal": null}    the template has ended by itself
    {"expecting": true}, {"captured": true}, then, when the template's sandbox has ended: {"sealed": true}
    {"refused": "the function's init left ..."}   there is no snapshot, and never will be
    {"cloned": 3, "pid": 7}                 as seen inside
    {"not cloned": 3, "reason": "..."}

Its end, or that of the holder of the memory, is the end of the snapshot; clones live on.
"""

import json
import os
import select
import signal
import sys

import zygote_linux as linux
import zygote_ptrace as trace
import zygote_snapshot as snapshot


def serve(channel, settings, run_template):
    """In a fork of the zygote. Never returns. `run_template` is called in the template: see `zygote_environment`."""
    status = 1
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        handle = linux.pidfd_open(os.getpid())
        linux.send(channel, b'{"ready": true}', [handle])
        os.close(handle)
        _Snapshotter(channel, settings, run_template).serve()
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    os._exit(status)


class _Snapshotter(object):
    def __init__(self, channel, settings, run_template):
        self._channel = channel
        self._filter = settings["filter"]
        self._settings = settings
        self._run_template = run_template
        self._template = None
        self._watched = None  #: pidfd of the template, until it has ended

    def serve(self):
        """Returns when the launcher has let go, or there is nothing left to serve."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        holder = None
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == holder:
                    return
                if descriptor == self._watched:
                    poll.unregister(descriptor)
                    self._note_end()
                elif not self._obey():
                    return
            if holder is None and self._template is not None:
                holder = linux.pidfd_open(self._template.holder_pid)
                poll.register(holder, select.POLLIN)
                poll.register(self._watched, select.POLLIN)

    def _obey(self):
        """False when this process is of no more use."""
        record, descriptors = linux.receive(self._channel)
        if not record:
            return False
        command = json.loads(record.decode("ascii"))
        try:
            if command["do"] == "template":
                return self._start_template(command["uid"], *descriptors)
            if command["do"] == "capture":
                return self._capture()
            return self._clone(command["number"], command["uid"], *descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _start_template(self, uid, shell, start, connection, log, *procs):
        self._inodes = os.fstat(log).st_ino, os.fstat(connection).st_ino
        self._shell = os.dup(shell)
        kept = connection, log, start
        try:
            self._template = snapshot.Template(self._shell, procs, lambda: self._run_template(self._settings, uid, *kept))
            self._watched = linux.pidfd_open(self._template.pid)
        except (OSError, trace.TraceError) as error:
            self._tell({"refused": str(error)})
            return False
        self._tell({"running": True})
        return True

    def _note_end(self):
        os.close(self._watched)
        self._watched = None
        pid, self._template.pid = self._template.pid, None
        if pid is not None:
            self._tell_end(os.waitpid(pid, trace.WALL)[1])

    def _tell_end(self, status):
        killed = os.WIFSIGNALED(status)
        code, number = (None, os.WTERMSIG(status)) if killed else (os.WEXITSTATUS(status), None)
        self._tell({"ended": True, "code": code, "signal": number})

    def _capture(self):
        """The template is watched by tracing from here on; its end is then a refusal."""
        template = self._template
        try:
            if template.pid is None:
                raise snapshot.CannotSnapshot(snapshot.ENDED)
            template.expect_fork()
            self._tell({"expecting": True})
            template.capture(*self._inodes)
            self._tell({"captured": True})
            template.seal()
        except (snapshot.CannotSnapshot, OSError, trace.TraceError) as error:
            self._tell({"refused": str(error)})
            template.close()
            return False
        self._tell({"sealed": True})
        return True

    def _clone(self, number, uid, shell, log, connection, *procs):
        try:
            _, inner_pid = self._template.clone(shell, uid, log, connection, self._filter, procs)
        except OSError as error:  # of this clone alone
            self._tell({"not cloned": number, "reason": str(error)})
            return True
        except trace.TraceError as error:
            self._tell({"not cloned": number, "reason": str(error)})
            return False
        self._tell({"cloned": number, "pid": inner_pid})
        return True

    def _tell(self, record):
        linux.send(self._channel, json.dumps(record).encode("ascii"))
