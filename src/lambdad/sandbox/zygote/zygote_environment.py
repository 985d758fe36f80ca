"""One sandbox from the inside: from the fork of a zygote to the call of the runtime client. Run by every Python from 2.7 on.

Two processes stay. The *init* is process 1 of the sandbox (see `zygote_init`). Until it is asked for something it does as little
as it can, since every page of memory that it writes to is one that the zygote no longer shares with it. The *runtime* is its
child. It prepares all that does not depend on a function, gives up every privilege before anything is known of one, and
waits. When the launcher has mounted a function's files, the server sends the rest to the runtime.
"""

import fcntl
import gc
import json
import os
import resource
import select
import sys

import zygote_init
import zygote_linux as linux
import zygote_masks
import zygote_tmp
import _socket as socket  # without the classes around it: every page that is written to is one that is shared no longer

try:
    import _signal as signal  # without the enumerations that the module of Python 3 makes of every number
except ImportError:
    import signal

ADDRESS = "169.254.100.1"
PORTS = (9001, 4566)
HOST_NAME = b"sandbox"
NAMESPACES = linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWCGROUP
QUIET = linux.MS_NOSUID | linux.MS_NODEV
EMPTY_FOLDER = b"/var/empty"
# As on AWS: 1,024 descriptors. The rest is the kernel's default, which a machine may have raised for root: no locked memory and
# no message queues beyond a little, no real-time scheduling, no better priority. A core file of one byte is none; and unlike a
# limit of nothing, one byte keeps the kernel from starting the program that a core_pattern names, as root, at every crash.
LIMITS = (
    (resource.RLIMIT_NOFILE, 1024),
    (resource.RLIMIT_CORE, 1),
    (resource.RLIMIT_MEMLOCK, 8 << 20),
    (12, 819200),  # RLIMIT_MSGQUEUE, which Python 2.7 has no name for, nor for the next two
    (13, 0),  # RLIMIT_NICE
    (14, 0),  # RLIMIT_RTPRIO
)
REHEARSAL = json.dumps(dict(("AWS_LAMBDA_REHEARSAL_%d" % number, "of one day" * 3) for number in range(20)))
MAX_PROCESSES = 1024
READY = b'{"ready": true}'
BOOT = b"boot"  #: what an order to boot before there is a function begins with, in the place of the function's variables

start_folder = "/var/task"  #: where a runtime begins


def run(settings, uid, control, network, cgroups):
    """In the child of the zygote, first process of a new pid namespace. Never returns."""
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        for descriptor in cgroups:
            os.write(descriptor, b"0")
        if settings["user_namespace"] is None:
            linux.unshare(NAMESPACES)
            linux.enter_namespace(network, linux.CLONE_NEWNET)
        else:
            _enter_user_namespace(settings, uid)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.umask(0o022)
        _limit()
        linux.be_known_by(uid)
        commands, server = _pair(socket.SOCK_SEQPACKET)
        hardened, hardening = os.pipe()
        runtime = os.fork()
        if runtime == 0:
            os.close(commands)
            os.close(hardening)
            _run_runtime(settings, uid, control, server, hardened)
        _give_up_privileges(settings["filter"], uid, control, commands, hardening)
        zygote_init.Init(commands, runtime, run_another_runtime).serve()
    except BaseException as error:  # anything at all, and then the sandbox is over
        _report(control, _encoded({"error": str(error)}))
    os._exit(0)


def _limit():
    """What is inherited from whoever started the server is narrowed, never widened."""
    for limit, most in LIMITS:
        hard = resource.getrlimit(limit)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (value, value))


def _enter_user_namespace(settings, uid):
    """Where the zygote is not the machine's root: every sandbox has a user namespace, so that its user is nobody in another's.

    Its mounts belong to the zygote's: in that /proc can be mounted, and nobody inside could ever change them.
    """
    linux.unshare(linux.CLONE_NEWNS)
    _mount_system(uid)
    outer = uid if settings["user_namespace"]["has_users"] else 0
    linux.enter_user_namespace(uid, outer, NAMESPACES & ~linux.CLONE_NEWNS | linux.CLONE_NEWNET)
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of user has cleared it
    linux.drop_bounding_set(settings["last_capability"])  # in a new namespace it is full again
    # Counted in this namespace. It makes no difference where a cgroup holds the number as well.
    resource.setrlimit(resource.RLIMIT_NPROC, (MAX_PROCESSES, MAX_PROCESSES))


def _prepare(settings, uid, commands):
    """Everything that needs privileges and does not depend on the function.

    Returns two lists of descriptors. What the runtime keeps: the connection to the Runtime API, the write end of the pipe for
    its output, the socket on which its start comes. And the doors, in the launcher's order; `commands` is one of them.
    """
    linux.set_hostname(HOST_NAME)
    if settings["user_namespace"] is None:
        _mount_system(uid)
    listeners = [os.dup(listener.fileno()) for listener in _make_listeners()]
    connection, server_connection = _pair(socket.SOCK_STREAM)
    start, server_start = _pair(socket.SOCK_SEQPACKET)
    log, log_writer = os.pipe()
    os.fchown(log_writer, uid, uid)  # /dev/stdout is opened anew by its user
    mounts = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    return [connection, log_writer, start], listeners + [commands, server_start, server_connection, log, mounts]


def _pair(kind):
    """Two connected sockets, as descriptors."""
    ends = socket.socketpair(socket.AF_UNIX, kind)
    try:
        return [os.dup(end.fileno()) for end in ends]
    finally:
        for end in ends:
            end.close()


def _mount_system(uid):
    linux.mount(b"proc", b"/run", b"proc", QUIET | linux.MS_NOEXEC, b"hidepid=2")  # in a user namespace only beside another
    linux.unmount(b"/proc")  # the zygote's, which shows the processes outside
    linux.mount(b"/run", b"/proc", None, linux.MS_MOVE)
    for cover, paths in ((b"/dev/null", zygote_masks.FILES), (EMPTY_FOLDER, zygote_masks.FOLDERS)):
        for path in paths:
            if os.path.exists(path):
                linux.mount(cover, path.encode("ascii"), None, linux.MS_BIND)
    # /etc/passwd and /etc/group are links to here, since every sandbox has its own user.
    linux.mount(b"tmpfs", b"/run", b"tmpfs", QUIET | linux.MS_NOEXEC, b"size=64k,nr_inodes=8,mode=755")
    for name, line in (("passwd", "%s:x:%d:%d::/tmp:/sbin/nologin\n"), ("group", "%s:x:%d:\n")):
        root = "root:x:0:0:root:/:/sbin/nologin\n" if name == "passwd" else "root:x:0:\n"
        own = line % (("sbx_user1051", uid, uid) if name == "passwd" else ("sbx_user1051", uid))
        file = os.open("/run/" + name, os.O_WRONLY | os.O_CREAT, 0o644)
        os.write(file, (root + own).encode("ascii"))
        os.close(file)
    linux.mount(None, b"/run", None, linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | QUIET | linux.MS_NOEXEC)


def _make_listeners():
    """Where AWS_LAMBDA_RUNTIME_API and AWS_ENDPOINT_URL point. Whatever else leads out of this network, these do not depend on."""
    doors = []
    for port in PORTS:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if not doors:
            linux.configure_loopback(listener.fileno(), socket.inet_aton(ADDRESS))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, port))
        listener.listen(128)
        doors.append(listener)
    return doors


def _give_up_privileges(filter_program, uid, control, commands, hardening):
    """Closes `hardening` when nobody inside can do anything to this process any more."""
    linux.close_all_but([control, commands, hardening])
    nothing = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    linux.become(uid)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)  # nobody inside can trace it or open its descriptors, though they are its equals
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)  # the change of user has cleared it
    linux.install_filter(filter_program)
    os.close(hardening)
    if _is_alone(control):  # the launcher died in between
        os._exit(0)


def _is_alone(control):
    poll = select.poll()
    poll.register(control, 0)
    return bool(poll.poll(0))


def _run_runtime(settings, uid, control, commands, hardened):
    """The first child of the init. Never returns."""
    try:
        linux.offer_first()
        own, doors = _prepare(settings, uid, commands)
        _confine(settings["filter"], uid, own + doors + [control, hardened])
        rehearse()
        os.read(hardened, 1)  # its end: until then the init may be of this user, and open to it
        os.close(hardened)
        # Not before: what still has privileges could not be killed by the init, which has none.
        _report(control, READY, doors)
        for descriptor in doors + [control]:
            os.close(descriptor)
        connection, log, start = own
        record, _ = linux.receive(start)
        if not record:  # the sandbox is not wanted
            os._exit(0)
        if record.startswith(BOOT):
            _pre_boot(connection, log, start, json.loads(record[len(BOOT) :].decode("utf-8")))
        os.close(start)
    except BaseException as error:
        _report(control, _encoded({"error": str(error)}))
        os._exit(1)
    _serve(connection, log, json.loads(record.decode("utf-8")))


def _pre_boot(connection, log, start, order):
    """Becomes a runtime that waits for its function: see `zygote_program.pre_boot`. Never returns.

    What it waits with has the last numbers there are, so that it leaves no gap where the function looks for one.
    """
    for target in (1, 2):
        os.dup2(log, target)
    last = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1
    os.dup2(connection, last)
    os.dup2(start, last - 1)
    os.chdir(start_folder)
    _set_environment(order["variables"])
    sys.modules["bootstrap"].pre_boot(last - 1, last, order["memory_mb"])


def run_another_runtime(connection, log, environment):
    """A later child of the init. Never returns."""
    zygote_init.be_ordinary([connection, log])
    _close_on_exec((connection, log))
    _serve(connection, log, environment)


def run_template(settings, uid, connection, log, start):
    """In the template of a snapshot, which has every privilege and the namespaces of a sandbox. Never returns."""
    try:
        os.umask(0o022)
        _limit()
        linux.be_known_by(uid)
        _confine(settings["filter"], uid, [connection, log, start])
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)  # the change of user has cleared it
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        record, _ = linux.receive(start)
        if not record:  # the sandbox is not wanted
            os._exit(0)
        os.close(start)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    _serve(connection, log, json.loads(record.decode("utf-8")))


def _serve(connection, log, environment):
    """Calls the runtime client, which never returns."""
    try:
        for target in (1, 2):
            os.dup2(log, target)
        os.close(log)
        os.chdir(start_folder)
        _set_environment(environment)
        gc.enable()
        # No module of ours may stand in the way of one of the function's. They have to be kept: Python 2 empties what goes.
        own = (__name__, linux.__name__, zygote_init.__name__, zygote_masks.__name__, zygote_tmp.__name__)
        own += ("zygote_program", "zygote_descriptors", "zygote_ptrace", "zygote_snapshot", "zygote_snapshotter")
        client, _kept = sys.modules["bootstrap"], [sys.modules.pop(name, None) for name in own]
        client.serve(connection)
    except BaseException:  # the runtime client ends its process by itself; if not, this is where it does
        sys.excepthook(*sys.exc_info())
    os._exit(1)


def _confine(filter_program, uid, kept):
    """Gives up every privilege, for good."""
    linux.close_all_but(kept)
    _close_on_exec(kept)
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    linux.become(uid)
    # Changing user made this process unreadable even to itself (/proc/self/fd). It holds nothing of anyone else's.
    linux.prctl(linux.PR_SET_DUMPABLE, 1)
    linux.install_filter(filter_program)


def _close_on_exec(descriptors):
    for descriptor in descriptors:
        fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)


def rehearse():
    """Does once what is to come, so that the pages it writes to are this process's own before anybody waits for it.

    The zygote does it too: interpreters rewrite code that runs often, and it had better be rewritten before it is shared.
    """
    _set_environment(json.loads(REHEARSAL))
    _set_environment({})


def _set_environment(environment):
    for name in list(os.environ):  # for most nothing, where `clear` would raise and catch an error
        del os.environ[name]
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
