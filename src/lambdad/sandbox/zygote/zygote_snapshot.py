"""The snapshot of an initialised function: memory of which every new environment gets a copy-on-write clone.

Two processes share the memory from the start. The *template* gives up every privilege, runs the function's init in a sandbox
like any other, and calls fork: that is the moment of the snapshot, at which it is killed. The *holder* keeps the memory and the
privileges and never runs a line of what is in it: it is stopped for good, but for single system calls (`zygote_ptrace`). Told
to fork, it makes a process that is led, in the same way, into another sandbox, gives up its privileges there, and then goes on
where the template called fork, as the child. To the interpreter and to libc it was an ordinary fork: all their hooks ran.

Used by a process of its own, forked from the zygote for one snapshot. When that ends, so does the holder; clones live on. For
x86_64 and Python from 3.8 on.
"""

import ctypes
import os
import re
import resource
import select
import signal
import struct

import zygote_descriptors as descriptors
import zygote_linux as linux
import zygote_ptrace as trace
from zygote_descriptors import ABOVE, CONNECTION, LOG, SHELL, CannotSnapshot

CLONE_VM, CLONE_FILES, CLONE_SIGHAND, CLONE_PARENT = 0x100, 0x400, 0x800, 0x8000
CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID = 0x00200000, 0x01000000
SIGCHLD = int(signal.SIGCHLD)
NAMESPACES = linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWNET | linux.CLONE_NEWCGROUP
WRITE, OPEN, CLOSE, MMAP, MUNMAP, CHDIR, UMASK, SETSID = 1, 2, 3, 9, 11, 80, 95, 112  # of x86_64
SETGROUPS, SETRESUID, SETRESGID, PRCTL, PRLIMIT64, SETNS, CLOSE_RANGE = 116, 117, 119, 157, 302, 308, 436
PR_GET_TID_ADDRESS = 40
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS = 2, 0x10, 0x20
SCRATCH_SIZE = 64 * 1024
LOGIN_UID = "/proc/self/loginuid"
#: By their names in /proc/PID/limits, those that a sandbox sets: see `zygote_environment`.
LIMITS = {
    "Max open files": resource.RLIMIT_NOFILE,
    "Max core file size": resource.RLIMIT_CORE,
    "Max locked memory": resource.RLIMIT_MEMLOCK,
    "Max msgqueue size": resource.RLIMIT_MSGQUEUE,
    "Max nice priority": resource.RLIMIT_NICE,
    "Max realtime priority": resource.RLIMIT_RTPRIO,
}
ENDED = "the function's process ended before it could be cloned"

_syscall = ctypes.PyDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long


class Template(object):
    """One function's snapshot, in the making and made. Its methods are called once each, in their order, but for `clone`."""

    def __init__(self, shell, cgroups, run):
        """Starts the template in the namespaces of the sandbox `shell` (the pidfd of its process 1): there `run()` is called
        with every privilege, to give them up before it does anything for a function. It never returns. `cgroups` are opened
        cgroup.procs, for both processes: memory is charged to the holder, whose it is. They must never be frozen."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the ends of template and clones are this process's to hear of
        self._shell = shell
        self._has_login_uid = os.path.exists(LOGIN_UID)
        self._own_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY)
        self._tid = _tid_address()
        flags = CLONE_FILES | CLONE_CHILD_SETTID | SIGCHLD  # what this process opens later, the holder has too
        waiting, go_on = os.pipe()
        holder = _raw_clone(flags, self._tid)
        if holder == 0:
            os.read(waiting, 1)
            _hold(shell, self._tid, run)
        tracee = trace.Tracee(holder)
        tracee.seize()
        tracee.resume(trace.INTERRUPT)
        tracee.wait()
        for procs in cgroups:
            os.write(procs, b"%d" % holder)
        os.write(go_on, b"x")
        self.pid = _follow_to_clone(tracee)  #: of the template, for as long as there is one
        trace.ptrace(trace.SETOPTIONS, holder, 0, trace.O_EXITKILL | trace.O_SYSGOOD | trace.O_TRACEFORK)
        for descriptor in (waiting, go_on):
            os.close(descriptor)
        registers = tracee.registers()
        self.holder_pid = holder
        self._holder = trace.Puppet(tracee, registers, registers[trace.RIP] - len(trace.SYSCALL_INSTRUCTION))
        self._template = trace.Tracee(self.pid)

    def expect_fork(self):
        """From now on a fork of the template's is the moment of the snapshot."""
        try:
            self._template.seize(trace.O_TRACEFORK)
        except OSError:
            self._end_template()
            raise CannotSnapshot(ENDED)

    def capture(self, log, connection):
        """Waits for the fork, notes all that a clone needs besides the memory, and kills the template. `log` and `connection`
        are the inodes of its log pipe and of its connection to the server, which every clone gets anew."""
        try:
            while True:
                number, event = self._template.wait()
                if event == trace.EVENT_FORK:
                    break
                self._template.resume(trace.CONT, 0 if event else number)
        except trace.TraceError:
            self.pid = None
            raise CannotSnapshot(ENDED)
        child = trace.Tracee(self._template.event_message())
        child.wait()
        try:
            self._registers, self._extended_state = child.registers(), child.extended_state()
            self._signal_mask = child.signal_mask()
            _check_alone(self.pid, child.pid)
            status = _read("/proc/%d/status" % self.pid)
            self._umask = int(re.search(r"^Umask:\s*(\d+)", status, re.M).group(1), 8)
            self._template_pid = _inner_pid(status)
            self._directory = os.readlink("/proc/%d/cwd" % self.pid)
            self._limits = _limits(self.pid)
            self._descriptors = descriptors.describe(self.pid, log, connection)
        finally:
            _end(child.pid)
            self._end_template()

    def seal(self):
        """Waits for the end of the template's sandbox, which somebody else brings about: from then on nobody but the holder has
        the memory. Then makes private what it shares beyond a fork."""
        select.select([self._shell], [], [])
        holder = self._holder
        if holder.read(holder.instruction, len(trace.SYSCALL_INSTRUCTION)) != trace.SYSCALL_INSTRUCTION:
            raise CannotSnapshot("the function changed libc's code for system calls")
        holder.call(SETNS, self._own_namespace, linux.CLONE_NEWPID)
        for line in _read("/proc/%d/maps" % holder.pid).splitlines():
            span, access = line.split()[:2]
            if access[1] == "w" and access[3] == "s":
                self._make_private(span, access)

    def clone(self, shell, uid, log, connection, filter_program, cgroups):
        """A new child of the first process of a sandbox, for which `shell` is the pidfd; `cgroups` are opened cgroup.procs.
        Returns its pid as seen from here and as seen inside."""
        self._place_descriptors(shell, log, connection)
        try:
            pid, inner_pid = self._fork()
            try:
                for procs in cgroups:
                    os.write(procs, b"%d" % pid)
                self._lead_in(pid, uid, filter_program)
            except BaseException:
                _end(pid)
                raise
        finally:
            linux.close_range(SHELL, ABOVE - 1)
        return pid, inner_pid

    def close(self):
        """Lets go of the memory, at whatever stage; clones live on. A template's sandbox ends only after this or `capture`."""
        self._end_template()
        _end(self._holder.pid)
        self._holder.close()
        os.close(self._own_namespace)

    def _end_template(self):
        if self.pid is not None:
            _end(self.pid)
            self.pid = None

    def _make_private(self, span, access):
        """Two environments would see what the other writes there."""
        first, last = [int(part, 16) for part in span.split("-")]
        content = self._holder.read(first, last - first)
        protection = PROT_WRITE | (access[0] == "r") * PROT_READ | (access[2] == "x") * PROT_EXEC
        self._holder.call(MMAP, first, last - first, protection, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0)
        self._holder.write(first, content)

    def _place_descriptors(self, shell, log, connection):
        """In this process, and so in the holder and in what it forks."""
        for source, target in ((shell, SHELL), (log, LOG), (connection, CONNECTION)):
            os.dup2(source, target)

    def _fork(self):
        """The new process, stopped before its first instruction: the child of a child, so that process 1 inherits it."""
        self._holder.call(SETNS, SHELL, linux.CLONE_NEWPID)
        # It shares the holder's memory: copying the page tables is nearly all that a clone costs, and is done once.
        between = trace.Tracee(self._holder.fork(CLONE_VM | CLONE_PARENT | SIGCHLD, 0))
        try:
            between.wait()
            puppet = trace.Puppet(between, between.registers(), self._holder.instruction)
            try:
                pid, inner_pid = self._fork_once(puppet)
                # OpenSSL and others learn from their pid that they were forked, and draw new randomness: it has to be another.
                if inner_pid == self._template_pid:
                    same = pid
                    pid, inner_pid = self._fork_once(puppet)
                    _end(same)
            finally:
                puppet.close()
        finally:
            _end(between.pid)
            self._holder.call(SETNS, self._own_namespace, linux.CLONE_NEWPID)  # or it would keep the other one
        return pid, inner_pid

    def _fork_once(self, puppet):
        pid = puppet.fork(CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, self._tid)
        trace.Tracee(pid).wait()
        return pid, _inner_pid(_read("/proc/%d/status" % pid))

    def _lead_in(self, pid, uid, filter_program):
        """From the holder's place and privileges to the function's, and off."""
        tracee = trace.Tracee(pid)
        puppet = trace.Puppet(tracee, tracee.registers(), self._holder.instruction)
        try:
            call = puppet.call
            call(SETNS, SHELL, NAMESPACES)
            call(SETSID)
            call(UMASK, self._umask)
            scratch = call(MMAP, 0, SCRATCH_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            if self._has_login_uid:
                _set_login_uid(puppet, scratch, uid)
            call(SETGROUPS, 0, 0)
            call(SETRESGID, uid, uid, uid)
            call(SETRESUID, uid, uid, uid)
            call(PRCTL, linux.PR_SET_PDEATHSIG, signal.SIGKILL)  # the change of user has cleared it
            call(CLOSE_RANGE, 0, SHELL, 0)
            if any(descriptor.is_lost for descriptor in self._descriptors):
                descriptors.make_lost_connection(puppet, scratch)
            puppet.write(scratch, os.fsencode(self._directory) + b"\0")
            call(CHDIR, scratch)
            for descriptor in self._descriptors:
                descriptor.open(puppet, scratch)
            call(CLOSE_RANGE, LOG, 0x7FFFFFFF, 0)
            for kind, limit in self._limits:  # not before: descriptors above the limit were in use
                puppet.write(scratch, struct.pack("2Q", *[value & trace.NONE for value in limit]))
                call(PRLIMIT64, 0, kind, scratch, 0)
            call(PRCTL, linux.PR_SET_DUMPABLE, 1)  # not before it has let go of what is ours
            puppet.write(scratch, struct.pack("HxxxxxxQ", len(filter_program) // 8, scratch + 16) + filter_program)
            call(PRCTL, linux.PR_SET_SECCOMP, linux.SECCOMP_MODE_FILTER, scratch)
            call(MUNMAP, scratch, SCRATCH_SIZE)
            tracee.set_registers(self._registers)
            tracee.set_extended_state(self._extended_state)
            tracee.set_signal_mask(self._signal_mask)
            tracee.resume(trace.DETACH)
        finally:
            puppet.close()


def _hold(shell, tid, run):
    """In the holder, which is stopped for good in the middle; the template returns from there."""
    try:
        linux.enter_namespace(shell, linux.CLONE_NEWPID)
        if _raw_clone(CLONE_VM | CLONE_SIGHAND | CLONE_PARENT | CLONE_CHILD_SETTID | SIGCHLD, tid) == 0:
            linux.enter_namespace(shell, NAMESPACES)
            run()
    finally:
        os._exit(1)


def _set_login_uid(puppet, scratch, uid):
    """As `zygote_environment` does it: for whom the audit log takes the process, and it itself no longer can."""
    puppet.write(scratch, LOGIN_UID.encode("ascii") + b"\0")
    opened = puppet.call(OPEN, scratch, os.O_WRONLY, 0)
    number = b"%d" % uid
    puppet.write(scratch, number)
    try:
        puppet.call(WRITE, opened, scratch, len(number))
    except OSError:  # it was set for good when somebody logged in
        pass
    puppet.call(CLOSE, opened)


def _follow_to_clone(holder):
    """Lets the stopped holder go on until it has made the template, whose pid is returned, and not an instruction further."""
    while True:
        holder.resume(trace.SYSCALL)
        stop = holder.wait()
        if stop == (trace.SYSCALL_STOP, 0):
            op, _, _, values = holder.syscall_info()
            if op == trace.ENTRY and values[0] == trace.SYS_CLONE and values[1] & CLONE_VM:
                break
    holder.resume(trace.SYSCALL)
    if holder.wait() != (trace.SYSCALL_STOP, 0):
        raise trace.TraceError("the holder was stopped while it made the template")
    result = holder.syscall_info()[3][0]
    if result < 0:
        raise OSError(-result, "clone: " + os.strerror(-result))
    return result


def _end(pid):
    """Kills and buries it. A sandbox does not end before every process that was put into it from outside is buried."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, trace.WALL)


def _check_alone(template, child):
    threads = len(os.listdir("/proc/%d/task" % template)) - 1
    if threads:
        raise CannotSnapshot("the function's init left threads running (%d), which a clone would not have" % threads)
    children = _read("/proc/%d/task/%d/children" % (template, template)).split()
    if children != [str(child)]:
        left = len(children) - 1
        raise CannotSnapshot("the function's init left processes running (%d), which a clone would not have" % left)


def _limits(pid):
    """Those that a sandbox sets: (number, (soft, hard)). Read like this, it needs no privilege."""
    limits = []
    for line in _read("/proc/%d/limits" % pid).splitlines():
        name, soft, hard = line[:26].rstrip(), line[26:47].strip(), line[47:68].strip()
        if name in LIMITS:
            limits.append((LIMITS[name], tuple(-1 if value == "unlimited" else int(value) for value in (soft, hard))))
    return limits


def _inner_pid(status):
    """Its pid in its own namespace, from a process's status."""
    return int(re.search(r"^NSpid:.*\s(\d+)$", status, re.M).group(1))


def _tid_address():
    """Where libc keeps the number of the main thread: the kernel has to write it there in every clone."""
    value = ctypes.c_ulong()
    linux.prctl(PR_GET_TID_ADDRESS, ctypes.addressof(value))
    return value.value


def _raw_clone(flags, tid):
    """Without any of libc's and the interpreter's own doing at a fork."""
    arguments = [ctypes.c_long(value) for value in (trace.SYS_CLONE, flags, 0, 0, tid, 0)]
    return linux.check(_syscall(*arguments), "clone")


def _read(path):
    with open(path) as file:
        return file.read()
