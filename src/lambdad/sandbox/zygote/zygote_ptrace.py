"""Makes a stopped process run system calls of our choice, one by one, each checked before the kernel acts on it. x86_64.

Whose memory a process runs in is not whose word it has: code there may have been rewritten by a function. So nothing is taken
for granted but what the kernel says at the entry of a system call, and a call other than the one asked for is never let in.
"""

import ctypes
import os
import signal
import struct

import zygote_linux as linux

CONT, DETACH, SYSCALL = 7, 17, 24
SETOPTIONS, GETEVENTMSG, GETREGSET, SETREGSET, SEIZE, INTERRUPT = 0x4200, 0x4201, 0x4204, 0x4205, 0x4206, 0x4207
GETSIGMASK, SETSIGMASK, GET_SYSCALL_INFO = 0x420A, 0x420B, 0x420E
O_SYSGOOD, O_TRACEFORK, O_EXITKILL = 1, 2, 0x100000
EVENT_FORK = 1
WALL = 0x40000000
SYSCALL_STOP = int(signal.SIGTRAP) | 0x80
NT_PRSTATUS, NT_X86_XSTATE = 1, 0x202
AUDIT_ARCH_X86_64 = 0xC000003E
ENTRY = 1
EXTENDED_STATE_SIZE = 16384  # more than any processor has
NONE = 0xFFFFFFFFFFFFFFFF  # in place of a system call: there is none to restart
SYSCALL_INSTRUCTION = b"\x0f\x05"
# Indexes into user_regs_struct.
REGISTERS, R10, R9, R8, RAX, RDX, RSI, RDI, ORIG_RAX, RIP = 27, 7, 8, 9, 10, 12, 13, 14, 15, 16
ARGUMENTS = (RDI, RSI, RDX, R10, R8, R9)
SYS_CLONE = 56

_ptrace = ctypes.CDLL(None, use_errno=True).ptrace
_ptrace.argtypes = [ctypes.c_long] * 4
_ptrace.restype = ctypes.c_long


class TraceError(Exception):
    """A process did not do what it was made to do; it must not be used any more."""


def ptrace(request, pid, address=0, data=0):
    return linux.check(_ptrace(request, pid, address, data), "ptrace %#x" % request)


class Tracee(object):
    """A process that this one traces."""

    def __init__(self, pid):
        self.pid = pid

    def seize(self, options=0):
        """From now on its stops are this process's to see; it does not stop for this, but dies with this process."""
        ptrace(SEIZE, self.pid, 0, options | O_EXITKILL | O_SYSGOOD)

    def wait(self):
        """The next stop: (signal, event). TraceError if the process has ended."""
        _, status = os.waitpid(self.pid, WALL)
        if not os.WIFSTOPPED(status):
            raise TraceError("the process %d ended (%#x)" % (self.pid, status))
        return os.WSTOPSIG(status), status >> 16

    def resume(self, request=CONT, number=0):
        ptrace(request, self.pid, 0, number)

    def event_message(self):
        value = ctypes.c_ulong()
        ptrace(GETEVENTMSG, self.pid, 0, ctypes.addressof(value))
        return value.value

    def _regset(self, request, kind, buffer):
        vector = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), len(buffer))
        ptrace(request, self.pid, kind, ctypes.addressof(vector))
        return vector[1]

    def registers(self):
        buffer = ctypes.create_string_buffer(8 * REGISTERS)
        self._regset(GETREGSET, NT_PRSTATUS, buffer)
        return list(struct.unpack("%dQ" % REGISTERS, buffer.raw))

    def set_registers(self, values):
        packed = struct.pack("%dQ" % REGISTERS, *values)
        self._regset(SETREGSET, NT_PRSTATUS, ctypes.create_string_buffer(packed, len(packed)))

    def extended_state(self):
        buffer = ctypes.create_string_buffer(EXTENDED_STATE_SIZE)
        return buffer.raw[: self._regset(GETREGSET, NT_X86_XSTATE, buffer)]

    def set_extended_state(self, state):
        self._regset(SETREGSET, NT_X86_XSTATE, ctypes.create_string_buffer(state, len(state)))

    def signal_mask(self):
        value = ctypes.c_uint64()
        ptrace(GETSIGMASK, self.pid, 8, ctypes.addressof(value))
        return value.value

    def set_signal_mask(self, mask):
        value = ctypes.c_uint64(mask)
        ptrace(SETSIGMASK, self.pid, 8, ctypes.addressof(value))

    def syscall_info(self):
        """(op, arch, ip, values) of a system-call stop; values are number and six arguments, or the result."""
        buffer = ctypes.create_string_buffer(88)
        ptrace(GET_SYSCALL_INFO, self.pid, 88, ctypes.addressof(buffer))
        op, arch, ip, _ = struct.unpack_from("=B3xIQQ", buffer)
        return op, arch, ip, struct.unpack_from("=7Q" if op == ENTRY else "=q", buffer, 24)


class Puppet(object):
    """A stopped process with the address of a system-call instruction in its memory."""

    def __init__(self, tracee, registers, instruction):
        self.tracee = tracee
        self.pid = tracee.pid
        self._base = list(registers)
        self.instruction = self._base[RIP] = instruction
        self._base[ORIG_RAX] = NONE
        self._memory = os.open("/proc/%d/mem" % self.pid, os.O_RDWR | os.O_CLOEXEC)

    def read(self, address, length):
        return os.pread(self._memory, length, address)

    def write(self, address, data):
        while data:
            written = os.pwrite(self._memory, data, address)
            address, data = address + written, data[written:]

    def close(self):
        os.close(self._memory)

    def enter(self, number, *arguments):
        """Up to the entry of the system call, where it is checked that nothing else is about to happen."""
        wanted = [argument & NONE for argument in arguments] + [0] * (6 - len(arguments))
        registers = list(self._base)
        registers[RAX] = number
        for index, value in zip(ARGUMENTS, wanted):
            registers[index] = value
        self.tracee.set_registers(registers)
        self.tracee.resume(SYSCALL)
        stop = self.tracee.wait()
        if stop != (SYSCALL_STOP, 0):
            raise TraceError("a stop for %r in place of system call %d" % (stop, number))
        op, arch, _, values = self.tracee.syscall_info()
        if (op, arch, values) != (ENTRY, AUDIT_ARCH_X86_64, (number,) + tuple(wanted)):
            raise TraceError("another system call than %d was about to be made: %r" % (number, values))

    def leave(self):
        """Up to the end of the system call that was let in; returns its result, which is below 0 for an error."""
        stop = self.tracee.wait()
        if stop != (SYSCALL_STOP, 0):
            raise TraceError("a stop for %r in a system call" % (stop,))
        return self.tracee.syscall_info()[3][0]

    def call(self, number, *arguments):
        """Has it make one system call. OSError if that fails, TraceError if anything but that comes about."""
        self.enter(number, *arguments)
        self.tracee.resume(SYSCALL)
        result = self.leave()
        if result < 0:
            raise OSError(-result, "system call %d%r: %s" % (number, arguments, os.strerror(-result)))
        return result

    def fork(self, flags, child_tid):
        """Has it make a child, which is stopped before its first instruction. Returns its pid as seen from here."""
        self.enter(SYS_CLONE, flags, 0, 0, child_tid, 0)
        self.tracee.resume(SYSCALL)
        stop = self.tracee.wait()
        if stop == (SYSCALL_STOP, 0):
            error = -self.tracee.syscall_info()[3][0]
            raise OSError(error, "clone: " + os.strerror(error))
        if stop != (signal.SIGTRAP, EVENT_FORK):
            raise TraceError("a stop for %r in place of a fork" % (stop,))
        child = self.tracee.event_message()
        self.tracee.resume(SYSCALL)
        self.leave()
        return child
