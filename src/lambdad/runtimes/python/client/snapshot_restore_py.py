"""Runtime hooks of functions with SnapStart, by the names of the package of AWS's that its runtimes have.

A package of this name that the function brings along takes this one's place.
"""

__version__ = "1.0.0"
__all__ = ["register_before_snapshot", "register_after_restore"]

_before_snapshot = []
_after_restore = []


def register_before_snapshot(func, *args, **kwargs):
    """Has `func` called when Init is over, the one registered last first. Returns it, so it can stand as a decorator."""
    _before_snapshot.append((func, args, kwargs))
    return func


def register_after_restore(func, *args, **kwargs):
    """Has `func` called in every environment before its first invocation, in the order of registration."""
    _after_restore.append((func, args, kwargs))
    return func


def get_before_snapshot():
    """For the runtime client: the list of (func, args, kwargs) itself."""
    return _before_snapshot


def get_after_restore():
    """For the runtime client: the list of (func, args, kwargs) itself."""
    return _after_restore
