"""One sandbox from the inside: from the fork of a zygote to the call of the runtime client. Run by every Python from 2.7 on.

Two processes stay. The *reaper* is process 1 of the sandbox: when it ends, the kernel kills everything inside. It does as
little as it can, since every page of memory that it writes to is one that the zygote no longer shares with it. The *runtime*
is its child, with another user id. It prepares all that does not depend on a function, gives up every privilege before
anything is known of one, and waits. When the launcher has mounted a function's files, it sends the rest to the runtime.
"""

import fcntl
import gc
import json
import os
import resource
import select
import socket
import sys

import zygote_linux as linux

try:
    import _signal as signal  # without the enumerations that the module of Python 3 makes of every number
except ImportError:
    import signal

ADDRESS = "169.254.100.1"
PORTS = (9001, 4566)
HOST_NAME = b"sandbox"
NAMESPACES = linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWNET | linux.CLONE_NEWCGROUP
QUIET = linux.MS_NOSUID | linux.MS_NODEV
# Files of /proc that tell about the machine or reach into its kernel. Their owner is root, whom nobody inside can become;
# the mask is there in case a kernel forgets to check.
MASKED = (b"/proc/kcore", b"/proc/keys", b"/proc/sysrq-trigger", b"/proc/timer_list")
REHEARSAL = json.dumps(dict(("AWS_LAMBDA_REHEARSAL_%d" % number, "of one day" * 3) for number in range(20)))
READY, RUNNING = b'{"ready": true}', b'{"running": true}'


def run(settings, uid, control, cgroups):
    """In the child of the zygote, first process of a new pid namespace. Never returns."""
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        for descriptor in cgroups:
            os.write(descriptor, b"0")
        linux.unshare(NAMESPACES)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        score = os.open("/proc/self/oom_score_adj", os.O_WRONLY)  # before the runtime covers this /proc
        runtime = os.fork()
        if runtime == 0:
            _run_runtime(settings, uid, control)
        _survive_want_of_memory(score)
        _give_up_privileges(settings["reaper_uid"], control)
        _report(control, _encoded(_reap(runtime)))
    except BaseException as error:  # anything at all, and then the sandbox is over
        _report(control, _encoded({"error": str(error)}))
    os._exit(0)


def _prepare(uid, control):
    """Everything that needs privileges and does not depend on the function. Returns the connection to the server."""
    linux.set_hostname(HOST_NAME)
    _mount_system(uid)
    doors, connection = _make_doors()
    mounts = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    _report(control, READY, [door.fileno() for door in doors] + [mounts])
    return connection


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


def _survive_want_of_memory(score):
    """The memory limit is for the function: its messenger should not be what the kernel kills. It is small, too."""
    try:
        os.write(score, b"-1000")
    except OSError:
        return  # without CAP_SYS_RESOURCE; a dead messenger is understood as well


def _is_alone(control):
    poll = select.poll()
    poll.register(control, 0)
    return bool(poll.poll(0))


def _run_runtime(settings, uid, control):
    """The child of the reaper. Never returns."""
    try:
        connection = _prepare(uid, control)  # closed when nobody holds it
        _confine(settings["filter"], uid, (control, connection.fileno()))
        rehearse()
        record, descriptors = linux.receive(control)
        if not record:  # the launcher is gone
            os._exit(0)
        for target in (1, 2):
            os.dup2(descriptors[0], target)
        os.chdir("/var/task")
        _set_environment(json.loads(record.decode("utf-8")))
        gc.enable()
        # No module of ours may stand in the way of one of the function's. They have to be kept: Python 2 empties what goes.
        client, _kept = sys.modules["bootstrap"], [sys.modules.pop(name) for name in (__name__, linux.__name__)]
        _report(control, RUNNING)
        for descriptor in (descriptors[0], control):
            os.close(descriptor)
    except BaseException as error:
        _report(control, _encoded({"error": str(error)}))
        os._exit(1)
    try:
        client.serve(connection.fileno())
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


def rehearse():
    """Does once what is to come, so that the pages it writes to are this process's own before anybody waits for it.

    The zygote does it too: interpreters rewrite code that runs often, and it had better be rewritten before it is shared.
    """
    _set_environment(json.loads(REHEARSAL))
    _set_environment({})


def _set_environment(environment):
    os.environ.clear()
    for name, value in environment.items():
        os.environ[_native(name)] = _native(value)


def _native(text):
    return text if isinstance(text, str) else text.encode("utf-8")


def _encoded(record):
    return json.dumps(record).encode("utf-8")


def _report(control, record, descriptors=()):
    try:
        linux.send(control, record, descriptors)
    except OSError:  # the launcher is gone, and this process goes with it
        os._exit(71)
