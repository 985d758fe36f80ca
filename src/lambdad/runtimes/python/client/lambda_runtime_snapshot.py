"""SnapStart: the way of an initialised function into a snapshot, and of each clone out of it. Python 2.7 and every 3.x."""

import gc
import os
import sys

import lambda_runtime_fault
import lambda_runtime_log

EXIT_BEFORE_SNAPSHOT, EXIT_AFTER_RESTORE = 64, 65


def is_wanted():
    return os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start"


def pass_through(client, error_body):
    """Called when Init is over. Returns in every clone, ready for invocations; never in the process that was initialised."""
    try:
        _run_before_snapshot()
        lambda_runtime_log.flush()
        gc.collect()
        if hasattr(gc, "freeze"):
            gc.freeze()  # a collection would write to pages that all clones share
        client.restore_next()
    except BaseException:
        _give_up(client.report_init_error, error_body, "Runtime.BeforeSnapshotError", EXIT_BEFORE_SNAPSHOT)
    try:
        renew_randomness()
        _run_after_restore()
    except BaseException:
        _give_up(client.report_restore_error, error_body, "Runtime.AfterRestoreError", EXIT_AFTER_RESTORE)


def renew_randomness():
    """What the interpreter or a library does not draw anew after a fork by itself. The seed of hashes cannot be changed."""
    _call("random", "seed")
    _call("numpy.random", "seed")
    _call("ssl", "RAND_add", os.urandom(32), 32.0)
    _set("tempfile", "_name_sequence", None)
    _set("uuid", "_node", None)
    _set("uuid", "_last_timestamp", None)
    if "multiprocessing.process" in sys.modules:
        sys.modules["multiprocessing.process"].current_process().authkey = os.urandom(32)


def _call(module, name, *arguments):
    """Does nothing where the module is not loaded, or is another one of that name."""
    function = getattr(sys.modules.get(module), name, None)
    if function is not None:
        function(*arguments)


def _set(module, name, value):
    if hasattr(sys.modules.get(module), name):
        setattr(sys.modules[module], name, value)


def _run_before_snapshot():
    hooks = _registry("get_before_snapshot")
    while hooks:
        function, arguments, keywords = hooks.pop()
        function(*arguments, **keywords)


def _run_after_restore():
    for function, arguments, keywords in _registry("get_after_restore"):
        function(*arguments, **keywords)


def _registry(name):
    """Of the module that the function has used, whosever it is; if it has used none there are no hooks."""
    module = sys.modules.get("snapshot_restore_py")
    return getattr(module, name)() if module is not None else []


def _give_up(report, error_body, error_type, status):
    description = lambda_runtime_fault.describe(sys.exc_info())
    lambda_runtime_log.write_error(description, "")
    lambda_runtime_log.flush()
    report(error_body(description, ""), error_type)
    sys.exit(status)
