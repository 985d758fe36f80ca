"""The process around the function: search path, what a fork inherited, and how the process ends."""

import atexit
import errno
import locale
import os
import signal
import site
import sys
import threading
import time

try:
    import _signal as c_signal  # without the enumerations that the module of Python 3 makes of every number
except ImportError:
    import signal as c_signal

from lambda_runtime_client import RuntimeApiClosed, RuntimeApiError

#: Modules that Python itself and AWS's client have loaded before the function. A file of the function's package with
#: another module's name wins over ours, as it would on AWS; with one of these names it does not, there or here.
_LOADED_ON_AWS = frozenset(
    "abc codecs collections contextlib copyreg copy_reg decimal encodings enum errno functools genericpath heapq importlib io"
    " itertools json keyword linecache locale logging math numbers numeric operator os posix posixpath re reprlib repr signal"
    " site sre_compile sre_constants sre_parse stat string sys threading time token tokenize traceback types typing"
    " warnings weakref zipimport".split()
)
#: The AWS SDK and what it stands on. A function that brings one of these gets none of the loaded others, which would go
#: on using the loaded one.
_SDK = frozenset("boto3 botocore dateutil jmespath s3transfer six urllib3".split())

_OWN = ("bootstrap",) + tuple(
    "lambda_runtime_" + name
    for name in ("client", "context", "fault", "frames", "log", "marshaller", "process", "record", "snapshot", "workers")
)

_AWS_PLACE = {"TZ": ":UTC", "LANG": "en_US.UTF-8"}
_place = None  #: zone and locale that this process has already

_standard_library = None
_preloaded = frozenset()
_forgotten = []  # Python 2 empties a module when its last reference goes; others still use what was taken from it


def remember_standard_library():
    """Keeps the part of sys.path that belongs to Python; packages of the machine's owner are not the function's."""
    global _standard_library
    roots = set()
    for name in ("prefix", "exec_prefix", "base_prefix", "base_exec_prefix"):
        if hasattr(sys, name):
            roots.add(os.path.join(getattr(sys, name), "lib"))
    roots.add(os.path.dirname(os.path.dirname(os.path.abspath(os.__file__))))
    prefixes = tuple(root + os.sep for root in roots)
    _standard_library = [
        path
        for path in sys.path
        if path.startswith(prefixes) and os.path.basename(path) not in ("site-packages", "dist-packages")
    ]


def remember_loaded_modules():
    """What a function's own modules may have to replace."""
    global _preloaded
    loaded = set(name.split(".", 1)[0] for name in sys.modules)
    _preloaded = frozenset(loaded.difference(_LOADED_ON_AWS, sys.builtin_module_names, ["__main__"]))
    for path, finder in list(sys.path_importer_cache.items()):
        if finder is None:  # what was not there may be, when the function's files are
            _forgotten.append(sys.path_importer_cache.pop(path))


def set_search_path():
    task_root = os.environ.get("LAMBDA_TASK_ROOT", "/var/task")
    layers = os.path.join(os.environ.pop("_LAMBDAD_OPT_ROOT", "/opt"), "python")
    layer_paths = [os.path.join(layers, "lib", "python%d.%d" % sys.version_info[:2], "site-packages"), layers]
    own = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    paths = []
    for path in [task_root] + layer_paths + [_runtime_dir()] + own + _standard_library:
        if path not in paths:
            paths.append(path)
    for path in [task_root] + layer_paths:
        if path in sys.path_importer_cache:  # looked for in the zygote, when it was not there
            _forgotten.append(sys.path_importer_cache.pop(path))
    sys.path[:] = paths
    for path in layer_paths:
        if os.path.isdir(path):
            site.addsitedir(path)  # AWS obeys .pth files in layers
    return [task_root] + layer_paths


def forget_shadowed_modules(paths):
    """Drops loaded modules that the function brings itself under the same name, and this client's own."""
    shadowed = set()
    for path in paths:
        shadowed.update(_modules_in(path, _preloaded))
    if shadowed & _SDK:
        shadowed |= _SDK
    for name in _OWN:
        if name in sys.modules:
            _forgotten.append(sys.modules.pop(name))
    if shadowed:
        for name in list(sys.modules):
            if name.split(".", 1)[0] in shadowed:
                _forgotten.append(sys.modules.pop(name))


def _modules_in(folder, wanted):
    """Those of the wanted modules that could be imported from the folder; a mere folder of that name is none."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        top, _, ending = name.partition(".")
        if top in wanted and (
            ending in ("py", "pyc")
            or ending.endswith("so")
            or os.path.isfile(os.path.join(folder, name, "__init__.py"))
            or os.path.isfile(os.path.join(folder, name, "__init__.pyc"))
        ):
            yield top


def become_wrapper():
    """Runs AWS_LAMBDA_EXEC_WRAPPER in place of this process, with the command line that starts this client as its arguments.

    From python3.8 on, as on AWS. A wrapper that cannot be run ends the process as a shell would: 127, or 126 if it is there.
    """
    wrapper = os.environ.get("AWS_LAMBDA_EXEC_WRAPPER")
    if os.environ.pop("_LAMBDAD_WRAPPED", None) or not wrapper or sys.version_info < (3, 8):
        return
    for name in ("SIGPIPE", "SIGXFSZ"):  # the interpreter ignores them, and what it becomes would too
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    environment = dict(os.environ, _LAMBDAD_WRAPPED="1")
    try:
        os.execve(wrapper, [wrapper, sys.executable, os.path.join(_runtime_dir(), "bootstrap.py")], environment)
    except OSError as error:
        _say("%s: %s" % (wrapper, error.strerror))
        os._exit(127 if error.errno == errno.ENOENT else 126)


def prepare():
    """In a zygote: takes the zone and the locale that functions have on AWS, so that forks have nothing to do for them."""
    global _place
    os.environ.update(_AWS_PLACE)
    _settle()
    _place = _wanted_place()


def renew_after_fork(main_module):
    """What a new process would have fresh and a fork has not."""
    c_signal.signal(signal.SIGINT, signal.default_int_handler)
    c_signal.signal(signal.SIGTERM, c_signal.SIG_DFL)
    c_signal.signal(signal.SIGCHLD, c_signal.SIG_DFL)
    sys.argv[:] = [os.path.join(_runtime_dir(), "bootstrap.py")]
    sys.modules["__main__"] = main_module
    main_module.__name__ = "__main__"
    if _wanted_place() != _place:
        _settle()
    if "random" in sys.modules and sys.version_info < (3, 7):  # later ones do so by themselves
        sys.modules["random"].seed()


def _wanted_place():
    return [os.environ.get(name) for name in ("TZ", "LC_ALL", "LC_CTYPE", "LANG")]


def _settle():
    time.tzset()
    if sys.version_info[0] >= 3:
        try:
            locale.setlocale(locale.LC_CTYPE, "")
        except locale.Error:
            pass  # this machine lacks the function's locale; the zygote's stays, which is UTF-8 too


def finish(exc_info):
    """Ends the process as the interpreter would after an exception at its top, atexit functions and threads included."""
    kind, value, _ = exc_info
    status = 1
    if issubclass(kind, SystemExit):
        status = _exit_status(value.code)
    elif issubclass(kind, RuntimeApiError):
        if not issubclass(kind, RuntimeApiClosed):
            _say(str(value))
    else:
        _guarded(sys.excepthook, *exc_info)
    _guarded(getattr(threading, "_shutdown", None))
    _guarded(getattr(atexit, "_run_exitfuncs", None))
    for stream in (sys.stdout, sys.stderr):
        _guarded(getattr(stream, "flush", None))
    if issubclass(kind, KeyboardInterrupt) and sys.version_info >= (3, 8):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status)


def _guarded(step, *arguments):
    """At the end nothing the function left behind may keep the process alive."""
    try:
        if step is not None:
            step(*arguments)
    except BaseException as error:
        _say("%s while the process ended: %s" % (type(error).__name__, error))


def _say(message):
    try:
        os.write(2, message.encode("utf-8", "replace") + b"\n")
    except OSError:
        return  # the function closed its own output; nobody is left to be told


def _exit_status(code):
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    _guarded(sys.stderr.write, "%s\n" % (code,))
    return 1


def _runtime_dir():
    return os.environ.get("LAMBDA_RUNTIME_DIR", "/var/runtime")
