"""One sandbox from the inside: from the fork of a zygote to the call of the runtime client. Run by every Python from 2.7 on.

Two processes stay. The *reaper* is process 1 of the sandbox: when it ends, the kernel kills everything inside. The *runtime*
is its child. It gives up every privilege at once, before anything is known of a function, and waits. When the launcher
assigns the function, the reaper mounts its files, passes the rest on to the runtime, and gives up its privileges too; it
has another user id than the runtime.
"""

import fcntl
import gc
import json
import os
import resource
import select
import signal
import socket
import sys

import zygote_linux as linux

ADDRESS = "169.254.100.1"
PORTS = (9001, 4566)
RECORD_SIZE = 128 * 1024
HOST_NAME = b"sandbox"
NAMESPACES = linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWNET | linux.CLONE_NEWCGROUP
QUIET = linux.MS_NOSUID | linux.MS_NODEV
# Files of /proc that tell about the machine or reach into its kernel. Their owner is root, whom nobody inside can become;
# the mask is there in case a kernel forgets to check.
MASKED = (b"/proc/kcore", b"/proc/keys", b"/proc/sysrq-trigger", b"/proc/timer_list")


def run(settings, uid, control, cgroups):
    """In the child of the zygote, first process of a new pid namespace. Never returns."""
    try:
        runtime, passage = _prepare(settings, uid, control, cgroups)
        _assign(control, passage)
        _give_up_privileges(settings["reaper_uid"], control)
        _report(control, _reap(runtime))
    except BaseException as error:  # anything at all, and then the sandbox is over
        _report(control, {"error": str(error)})
    os._exit(0)


def _prepare(settings, uid, control, cgroups):
    """Everything that does not depend on the function. Returns the runtime's process id and a socket to it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    for descriptor in cgroups:
        os.write(descriptor, b"0")
    linux.unshare(NAMESPACES)
    linux.set_hostname(HOST_NAME)
    _mount_system(uid)
    doors, connection = _make_doors()
    passage, end_of_runtime = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    runtime = os.fork()
    if runtime == 0:
        for other in doors + [passage]:
            other.close()
        _run_runtime(settings, uid, control, end_of_runtime.fileno(), connection.fileno())
    _report(control, {"ready": True}, [door.fileno() for door in doors])
    for other in doors + [connection, end_of_runtime]:
        other.close()
    return runtime, passage


def _assign(control, passage):
    """Waits for the function, mounts its files, passes on the rest."""
    record, descriptors = linux.receive(control, RECORD_SIZE)
    if not record:  # the launcher is gone
        os._exit(0)
    log, task = descriptors[0], descriptors[1]
    linux.move_mount(task, b"/var/task")
    if len(descriptors) > 2:
        linux.move_mount(descriptors[2], b"/opt")
    size = json.loads(record.decode("utf-8"))["tmp_mb"]
    options = "size=%dm,nr_inodes=%d,mode=1777" % (size, size * 256)
    linux.mount(b"tmpfs", b"/tmp", b"tmpfs", QUIET, options.encode("ascii"))
    linux.send(passage.fileno(), record, [log])


def _mount_system(uid):
    linux.unmount(b"/proc")  # the zygote's, which shows the machine's processes
    linux.mount(b"proc", b"/proc", b"proc", QUIET | linux.MS_NOEXEC, b"hidepid=2")
    for path in MASKED:
        if os.path.exists(path):
            linux.mount(b"/dev/null", path, None, linux.MS_BIND)
    # /etc/passwd and /etc/group are links to here, since every sandbox has its own user.
    linux.mount(b"tmpfs", b"/run", b"tmpfs", QUIET | linux.MS_NOEXEC, b"size=64k,nr_inodes=8,mode=755")
    for name, line in (("passwd", "%s:x:%d:%d::/tmp:/sbin/nologin\n"), ("group", "%s:x:%d:\n")):
        with open("/run/" + name, "w") as file:
            file.write("root:x:0:0:root:/:/sbin/nologin\n" if name == "passwd" else "root:x:0:\n")
            file.write(line % (("sbx_user1051", uid, uid) if name == "passwd" else ("sbx_user1051", uid)))
    linux.mount(None, b"/run", None, linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | QUIET | linux.MS_NOEXEC)


def _make_doors():
    """The ways to the server: two listening sockets and one end of a connected pair, whose other end is the runtime's.

    Nothing else leads out of here.
    """
    doors = []
    for port in PORTS:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if not doors:
            linux.configure_loopback(listener.fileno(), socket.inet_aton(ADDRESS))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, port))
        listener.listen(128)
        doors.append(listener)
    inside, outside = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return doors + [outside], inside


def _give_up_privileges(uid, control):
    linux.close_all_but([control])
    nothing = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    _survive_want_of_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    linux.become(uid)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)  # the change of user has cleared it
    if _is_alone(control):  # the launcher died in between
        os._exit(0)


def _reap(runtime):
    """Waits for the runtime to end, and says how it did. Whatever it left running dies with this process."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == runtime:
            return {"signal": os.WTERMSIG(status)} if os.WIFSIGNALED(status) else {"code": os.WEXITSTATUS(status)}


def _survive_want_of_memory():
    """The memory limit is for the function: its messenger should not be what the kernel kills. It is small, too."""
    try:
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("-1000")
    except (OSError, IOError):
        return  # without CAP_SYS_RESOURCE; a dead messenger is understood as well


def _is_alone(control):
    poll = select.poll()
    poll.register(control, 0)
    return bool(poll.poll(0))


def _run_runtime(settings, uid, control, passage, connection):
    """The child of the reaper. Never returns."""
    try:
        _confine(settings["filter"], uid, (control, passage, connection))
        _rehearse()
        record, descriptors = linux.receive(passage, RECORD_SIZE)
        if not record:
            os._exit(0)
        for target in (1, 2):
            os.dup2(descriptors[0], target)
        os.chdir("/var/task")
        _set_environment(json.loads(record.decode("utf-8"))["environment"])
        gc.enable()
        # No module of ours may stand in the way of one of the function's. They have to be kept: Python 2 empties what goes.
        client, _kept = sys.modules["bootstrap"], [sys.modules.pop(name) for name in (__name__, linux.__name__)]
        _report(control, {"running": True})
        for descriptor in (descriptors[0], passage, control):
            os.close(descriptor)
    except BaseException as error:
        _report(control, {"error": str(error)})
        os._exit(1)
    try:
        client.serve(connection)
    except BaseException:  # the runtime client ends its process by itself; if not, this is where it does
        sys.excepthook(*sys.exc_info())
    os._exit(1)


def _confine(filter_program, uid, kept):
    """Gives up every privilege, for good."""
    linux.close_all_but(kept)
    for descriptor in kept:
        fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.setsid()
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    linux.become(uid)
    # Changing user made this process unreadable even to itself (/proc/self/fd). It holds nothing of anyone else's.
    linux.prctl(linux.PR_SET_DUMPABLE, 1)
    linux.install_filter(filter_program)


def _rehearse():
    """Does once what is to come, so that the pages it writes to are this process's own before anybody waits for it."""
    names = ["AWS_LAMBDA_REHEARSAL_%d" % number for number in range(30)]
    _set_environment(json.loads(json.dumps(dict((name, name * 2) for name in names))))
    _set_environment({})


def _set_environment(environment):
    os.environ.clear()
    for name, value in environment.items():
        os.environ[_native(name)] = _native(value)


def _native(text):
    return text if isinstance(text, str) else text.encode("utf-8")


def _report(control, record, descriptors=()):
    try:
        linux.send(control, json.dumps(record).encode("utf-8"), descriptors)
    except OSError:  # the launcher is gone, and this process goes with it
        os._exit(71)
