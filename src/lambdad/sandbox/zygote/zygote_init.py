"""Process 1 of a sandbox, its *init*: starts what the server asks for, tells of every end, and reaps what is left behind.

It has the user, the filter and the limits of everything else inside, so what it starts needs no privilege to be taken away;
only nobody can trace it. When it ends, the kernel kills everything inside. Run by every Python from 2.7 on.

It speaks JSON records on a SOCK_SEQPACKET socket with the server. Requests carry a number, and so do their answers:

    {"do": "run", "number": 3, "path": "/opt/extensions/x", "environment": {...}}   a program
    {"do": "runtime", "number": 4, "environment": {...}}                             the runtime client, once more
    {"do": "kill", "number": 5}                                                      everything but this process
    {"do": "socket", "number": 6}                                                    a TCP socket of this network namespace
    {"do": "seat", "number": 7}                                                      what a runtime from a snapshot needs
    {"do": "adopt", "number": 8, "pid": 5}                                           a child that was put into its care
    {"do": "check", "number": 9}                                                     that no other child, and no file in /tmp, is there
    {"do": "pack", "number": 10, "most": 1024}     with a file, to write the content of /tmp to: see `zygote_tmp`
    {"do": "unpack", "number": 11}                 with that file, to be read from its start
    {"do": "stop", "number": 7}                                                      SIGSTOP to everything but this process
    {"do": "continue"}                                                               SIGCONT; no answer
    {"do": "signal", "process": 3, "signal": 15}                                     no answer

    {"done": 3}, with the read end of its output, and for a runtime the other end of its connection; or with the socket; or,
                 for a seat, both ends of a pipe and of a connection, and a socket that listens at 127.0.0.1:9001
    {"refused": 3, "reason": "No such file or directory"}
    {"ended": 3, "code": 1, "signal": null}     a process, by the number of the request that started it; 0 is the first runtime

A runtime client that waits for its first function is there when this begins.
"""

import errno
import fcntl
import json
import os
import select
import socket

import zygote_linux as linux
import zygote_tmp

try:
    import _signal as signal
except ImportError:
    import signal

FIRST_RUNTIME = 0
_MAX_REASON = 200
_EXEC_MILLISECONDS = 2000
_LOOPBACK = ("127.0.0.1", 9001)
_REMEMBERED = 16  # ends of processes that nobody has heard of, yet


class Init(object):
    """`first` is the process id of the waiting runtime; `become_runtime` makes a child of this process into another one."""

    def __init__(self, commands, first, become_runtime):
        self._commands = commands  # a descriptor
        self._become_runtime = become_runtime
        self._numbers = {first: FIRST_RUNTIME}
        self._after = []  # (number, status) to be told when a request has been answered
        self._strangers = []  # (pid, status) of the last that ended without having been known
        self._deeds = {
            "run": self._run,
            "runtime": self._start_runtime,
            "kill": self._kill_all,
            "socket": self._open_socket,
            "stop": self._stop_all,
            "seat": self._make_seat,
            "adopt": self._adopt,
            "check": self._check,
            "pack": self._pack,
            "unpack": self._unpack,
        }

    def serve(self):
        """Returns when the server has let go of the sandbox."""
        ends = linux.watch_children()
        self._reap()
        poll = select.poll()
        poll.register(self._commands, select.POLLIN)
        poll.register(ends, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == ends:
                    os.read(ends, 4096)
                    self._reap()
                elif not self._obey():
                    return

    def _obey(self):
        record, given = linux.receive(self._commands)
        if not record:
            return False
        command = json.loads(record.decode("utf-8"))
        command["given"] = given
        try:
            self._carry_out(command)
        finally:
            for descriptor in given:
                os.close(descriptor)
        return True

    def _carry_out(self, command):
        if command["do"] == "signal":
            self._signal(command)
            return
        if command["do"] == "continue":
            _signal_all(signal.SIGCONT)
            return
        number = command["number"]
        try:
            descriptors = self._deeds[command["do"]](command)
        except OSError as error:  # no process or descriptor left, or no such program
            self._tell({"refused": number, "reason": os.strerror(error.errno)})
            return
        self._tell({"done": number}, descriptors)
        while self._after:
            self._tell_end(*self._after.pop())
        for descriptor in descriptors:
            os.close(descriptor)

    def _run(self, command):
        return self._start_program([_native(command["path"])], "/", command)

    def _start_program(self, arguments, folder, command):
        environment = variables(command["environment"])
        failure, failed = os.pipe()
        try:
            program = (arguments, folder, environment)
            pid, log = self._fork(command, lambda writer: _become_program(program, writer, failed, self._step_down))
            os.close(failed)
            failed = None
            reason = _outcome(failure, pid)
            if reason:
                for descriptor in log:
                    os.close(descriptor)
                os.waitpid(pid, 0)
                raise OSError(reason, arguments[0])
        finally:
            os.close(failure)
            if failed is not None:
                os.close(failed)
        self._numbers[pid] = command["number"]
        return log

    def _start_runtime(self, command):
        inside, outside = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            variables = command["environment"]
            pid, log = self._fork(command, lambda writer: self._become_runtime(inside.fileno(), writer, variables))
            self._numbers[pid] = command["number"]
            return log + [os.dup(outside.fileno())]
        finally:
            inside.close()
            outside.close()

    def _fork(self, command, child):
        """Runs `child` with the write end of a pipe in a new process; returns its id, and what the server is to have of the
        pipe: a list of descriptors."""
        log, writer = self._make_log(command)
        try:
            pid = os.fork()
        except OSError:
            for descriptor in log + [writer]:
                os.close(descriptor)
            raise
        if pid == 0:
            try:
                child(writer)
            finally:
                os._exit(1)
        os.close(writer)
        return pid, log

    def _step_down(self):
        """In a child: gives up what the init is and its children must not be, which is nothing here."""

    def _make_log(self, command):
        log, writer = os.pipe()
        return [log], writer

    def _kill_all(self, command):
        """In rounds: gVisor misses who is forked in the moment of the signal. Whose parent has been reaped is there to be seen, so
        another round after every end misses nobody."""
        _signal_all(signal.SIGKILL)
        while self._reap_one():
            self._reap()
            _signal_all(signal.SIGKILL)
        return []

    def _stop_all(self, command):
        _signal_all(signal.SIGSTOP)
        return []

    def _open_socket(self, command):
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            return [os.dup(made.fileno())]
        finally:
            made.close()

    def _make_seat(self, command):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        inside, outside = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(_LOOPBACK)
            listener.listen(16)
            seats = [os.dup(each.fileno()) for each in (outside, inside, listener)]
        finally:
            for each in (listener, inside, outside):
                each.close()
        return list(os.pipe()) + seats

    def _adopt(self, command):
        pid, number = command["pid"], command["number"]
        for stranger, status in self._strangers:
            if stranger == pid:
                self._after.append((number, status))
                return []
        self._numbers[pid] = number
        return []

    def _check(self, command):
        """Refused when a process was left to this one, as daemons are, or there are files in /tmp."""
        with open("/proc/1/task/1/children") as file:
            children = [int(word) for word in file.read().split()]
        if [pid for pid in children if pid not in self._numbers]:
            raise OSError(errno.EBUSY, "")
        if os.listdir("/tmp"):
            raise OSError(errno.ENOTEMPTY, "")
        return []

    def _pack(self, command):
        zygote_tmp.pack("/tmp", command["given"][0], command["most"])
        return []

    def _unpack(self, command):
        zygote_tmp.unpack(command["given"][0], "/tmp")
        return []

    def _signal(self, command):
        for pid, number in self._numbers.items():
            if number == command["process"]:
                os.kill(pid, command["signal"])  # a zombie at worst: it is in the table until it has been reaped

    def _reap(self):
        """Takes leave of all that have ended."""
        while self._reap_one(os.WNOHANG):
            pass

    def _reap_one(self, options=0):
        """Takes leave of one that has ended, an orphan of orphans too. Without options, waits for it. False if there is none."""
        try:
            pid, status = os.waitpid(-1, options)
        except OSError as error:
            if error.errno != errno.ECHILD:
                raise
            return False
        if pid == 0:
            return False
        number = self._numbers.pop(pid, None)
        if number is not None:
            self._tell_end(number, status)
        else:
            self._strangers = [(pid, status)] + self._strangers[: _REMEMBERED - 1]
        return True

    def _tell_end(self, number, status):
        killed = os.WIFSIGNALED(status)
        code, end = (None, os.WTERMSIG(status)) if killed else (os.WEXITSTATUS(status), None)
        self._tell({"ended": number, "code": code, "signal": end})

    def _tell(self, record, descriptors=()):
        try:
            linux.send(self._commands, json.dumps(record).encode("utf-8"), descriptors)
        except OSError:  # the server is gone, and the sandbox goes with it
            os._exit(71)


def _signal_all(number):
    """To every process inside but this one."""
    try:
        os.kill(-1, number)
    except OSError as error:
        if error.errno != errno.ESRCH:
            raise


def _outcome(failure, pid):
    """The number of the error for which a program could not be run; None once it runs, or has ended.

    Until it runs, other processes of the function can stop it, and can write to its descriptors.
    """
    poll = select.poll()
    poll.register(failure, select.POLLIN)
    if not poll.poll(_EXEC_MILLISECONDS):
        os.kill(pid, signal.SIGKILL)
    reason = os.read(failure, _MAX_REASON)
    if not reason:
        return None
    return int(reason) if reason.isdigit() else errno.EIO


def be_ordinary(kept):
    """In a child of the init: makes it a process like any other. `kept` are the descriptors it goes on with."""
    linux.close_all_but(kept)
    linux.prctl(linux.PR_SET_DUMPABLE, 1)  # not before it has let go of the init's socket
    linux.offer_first()
    os.setsid()
    linux.unblock_signals()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)


def _become_program(program, log, failed, step_down):
    """Never returns. What goes wrong is told as the number of the error."""
    try:
        for target in (1, 2):
            os.dup2(log, target)
        be_ordinary([failed])
        fcntl.fcntl(failed, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        step_down()
        arguments, folder, environment = program
        os.chdir(folder)
        os.execve(arguments[0], arguments, environment)
    except OSError as error:
        os.write(failed, str(error.errno).encode("ascii"))
    os._exit(1)


def variables(environment):
    return dict((_native(name), _native(value)) for name, value in environment.items())


def _native(text):
    return text if isinstance(text, str) else text.encode("utf-8")
