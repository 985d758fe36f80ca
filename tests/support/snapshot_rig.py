"""A program that makes a snapshot with `zygote_snapshot` and clones of it, and prints as JSON what became of them.

Run as root: `snapshot_rig.py <folder of the zygote> <file with the seccomp filter> <what init does> <clones> <MB of heap>`.
What init does is the name of one of the functions below.
"""

import ctypes
import gc
import json
import mmap
import os
import random
import resource
import select
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, sys.argv[1])
import zygote_linux as linux
import zygote_ptrace as trace
import zygote_snapshot as snapshot

FILTER = Path(sys.argv[2]).read_bytes()
FIRST_UID = 43_000
REPORTED = ("CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp", "TracerPid", "Umask", "Uid", "Gid")
libc = ctypes.CDLL(None, use_errno=True)
kept: list[object] = []


def nothing() -> None:
    pass


def the_same_pid() -> None:
    """Process 1 has had a child before, so that the first pid of a clone is the template's."""


def a_thread() -> None:
    threading.Thread(target=signal.pause, daemon=True).start()


def a_process() -> None:
    kept.append(subprocess.Popen(["sleep", "1000"]))


def an_epoll() -> None:
    kept.append(select.epoll())


def an_unlinked_file() -> None:
    number, path = tempfile.mkstemp(dir="/mnt")
    os.unlink(path)
    kept.append(number)


def changed_code() -> None:
    """Where libc enters the kernel, an endless loop."""
    code = ctypes.cast(libc.syscall, ctypes.c_void_p).value
    libc.mprotect(ctypes.c_void_p(code & ~4095), 8192, 7)
    ctypes.memmove(code + ctypes.string_at(code, 64).index(trace.SYSCALL_INSTRUCTION), b"\xeb\xfe", 2)


def an_end() -> None:
    """Right when the snapshot is to be made."""
    pid = os.getpid()
    os.register_at_fork(before=lambda: os._exit(3) if os.getpid() == pid else None)


def a_handler() -> None:
    os.umask(0o027)
    os.chdir("/usr")
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
    kept.append(os.open("/etc/passwd", os.O_RDONLY))
    os.lseek(kept[0], 5, os.SEEK_SET)
    kept.append(socket.socket())


def make_shell(used_pids: int = 0) -> tuple[int, int, int]:
    """Process 1 of a sandbox, its pidfd, and a pipe on which it tells how what was put into its care has ended."""
    reader, writer = os.pipe()
    home = os.open("/proc/self/ns/pid", os.O_RDONLY)
    linux.unshare(linux.CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        linux.unshare(snapshot.NAMESPACES)
        linux.mount(b"proc", b"/proc", b"proc", 6)
        linux.mount(b"tmpfs", b"/mnt", b"tmpfs", 6, b"size=16m,mode=1777")
        linux.close_all_but([writer])
        for _ in range(used_pids):
            subprocess.run(["true"], check=True)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        os.write(writer, b"x")
        while True:
            signal.sigwait([signal.SIGCHLD])
            pid, status = os.wait()
            os.write(writer, b"%d %d" % (pid, os.waitstatus_to_exitcode(status)))
    linux.enter_namespace(home, linux.CLONE_NEWPID)
    os.close(writer)
    os.read(reader, 1)
    os.close(home)
    return pid, linux.pidfd_open(pid), reader


def run_template(init, connection: int, log: int, megabytes: int) -> None:
    linux.close_all_but([connection, log])
    for target in (1, 2):
        os.dup2(log, target)
    os.close(log)
    os.setsid()
    linux.become(FIRST_UID)
    linux.prctl(linux.PR_SET_DUMPABLE, 1)
    linux.install_filter(FILTER)
    heap = [os.urandom(4096) for _ in range(megabytes * 256)]
    shared = mmap.mmap(-1, 4096)
    shared[:5] = b"first"
    random.random()
    ssl.RAND_bytes(8)
    init()
    os.write(connection, b"ready")
    os.read(connection, 16)
    if os.fork() != 0:
        os._exit(1)
    answer = describe(connection)
    answer["heap"] = sum(piece[7] for piece in heap[::100])  # looking at an object writes to it: its count of references
    answer["shared"] = shared[:5].decode()
    shared[:5] = b"taken"
    print("a line of the clone's", flush=True)
    os.write(connection, json.dumps(answer).encode())
    os.read(connection, 1)
    os._exit(7)


def describe(connection: int) -> dict[str, object]:
    thread_ran = threading.Event()
    thread = threading.Thread(target=thread_ran.set)
    thread.start()
    thread.join()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    answer = {name: status[name].split() for name in REPORTED}
    answer |= {
        "pid": os.getpid(),
        "thread id": threading.get_native_id(),
        "thread ran": thread_ran.is_set(),
        "processes": [name for name in os.listdir("/proc") if name.isdigit()],
        "namespaces": {name: os.readlink(f"/proc/self/ns/{name}") for name in ("pid", "mnt", "net", "ipc", "uts", "cgroup")},
        "descriptors": {name: os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")},
        "directory": os.getcwd(),
        "handles SIGUSR1": callable(signal.getsignal(signal.SIGUSR1)),
        "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "subprocess": subprocess.run(["id", "-u"], capture_output=True, check=False, text=True).stdout.strip(),
        "limit": resource.getrlimit(resource.RLIMIT_NOFILE),
        "random": random.random(),
        "ssl": ssl.RAND_bytes(8).hex(),
        "folder": tempfile.mkdtemp(dir="/mnt"),
    }
    for name, attempt in {"setuid": lambda: os.setuid(0), "unshare": lambda: linux.unshare(0x1000_0000)}.items():
        try:
            attempt()
            answer[name] = "allowed"
        except OSError as error:
            answer[name] = os.strerror(error.errno)
    if len(kept) == 2 and isinstance(kept[1], socket.socket):
        answer["position"] = os.lseek(kept[0], 0, os.SEEK_CUR)
        try:
            kept[1].send(b"x")
        except OSError as error:
            answer["old connection"] = os.strerror(error.errno)
    return answer


def main(init, clones: int, megabytes: int) -> dict[str, object]:
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount(None, b"/", None, 0x4000 | 1 << 18)
    linux.drop_bounding_set()
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    process_1, shell, _ = make_shell(used_pids=1 if init is the_same_pid else 0)
    ours, theirs = socket.socketpair()
    _, log = os.pipe()
    connection = theirs.fileno()
    template = snapshot.Template(shell, [], lambda: run_template(init, connection, log, megabytes))
    inodes = os.fstat(log).st_ino, os.fstat(connection).st_ino
    theirs.close()
    os.close(log)
    ours.recv(16)
    try:
        template.expect_fork()
        ours.send(b"go on", socket.MSG_DONTWAIT)
        template.capture(*inodes)
        bury(process_1)
        template.seal()
        return {"clones": [one_clone(template, FIRST_UID + 1 + number) for number in range(clones)]}
    except snapshot.CannotSnapshot as error:
        return {"refused": str(error)}
    finally:
        template.close()


def bury(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def one_clone(template, uid: int) -> dict[str, object]:
    process_1, shell, ends = make_shell()
    ours, theirs = socket.socketpair()
    log_reader, log = os.pipe()
    before = time.perf_counter()
    pid, inner_pid = template.clone(shell, uid, log, theirs.fileno(), FILTER, [])
    milliseconds = (time.perf_counter() - before) * 1000
    theirs.close()
    os.close(log)
    data = ours.recv(65536)
    answer = json.loads(data) if data else {}
    answer["milliseconds"] = milliseconds
    if data:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().split()
        answer["private"] = int(rollup[rollup.index("Private_Dirty:") + 1])
    ours.send(b"x")
    answer["end"] = os.read(ends, 100).decode() == f"{inner_pid} 7"
    answer["log"] = os.read(log_reader, 4000).decode()
    bury(process_1)
    return answer


def another_call() -> dict[str, object]:
    """A process whose code asks for getpid whatever is in its registers is told to ask for getuid."""
    code = mmap.mmap(-1, 4096, prot=7)
    code[:7] = b"\xb8\x27\x00\x00\x00" + trace.SYSCALL_INSTRUCTION
    pid = os.fork()
    if pid == 0:
        while True:
            signal.pause()
    tracee = trace.Tracee(pid)
    tracee.seize()
    tracee.resume(trace.INTERRUPT)
    tracee.wait()
    puppet = trace.Puppet(tracee, tracee.registers(), ctypes.addressof(ctypes.c_char.from_buffer(code)))
    try:
        return {"result": puppet.call(102)}
    except trace.TraceError as error:
        return {"refused": str(error)}
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    gc.disable()
    limit = max(resource.getrlimit(resource.RLIMIT_NOFILE))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    wanted = sys.argv[3]
    result = another_call() if wanted == "another_call" else main(globals()[wanted], int(sys.argv[4]), int(sys.argv[5]))
    print(json.dumps(result))
