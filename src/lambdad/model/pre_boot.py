"""Whether a function may begin in a runtime that was booted before the function was known.

Such an interpreter has read its own settings already. A function that changes one of these gets an interpreter of its
own, which is started with all of the function's variables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

#: Read once, at the start of any program: by the loader, by libc, and by the resolver in it. A wrapper stands for the start.
_OF_EVERY_PROGRAM = (
    r"LD_.*|GLIBC_.*|MALLOC_.*|LANG|LANGUAGE|LC_.*|LOCPATH|NLSPATH|GCONV_PATH|TZ|TZDIR|RES_OPTIONS|LOCALDOMAIN|HOSTALIASES"
    r"|AWS_LAMBDA_EXEC_WRAPPER"
)


def start_pattern(of_interpreter: str) -> re.Pattern[str]:
    """The names of variables that are read at the start; `of_interpreter` is an expression for those of one language."""
    return re.compile(f"{_OF_EVERY_PROGRAM}|{of_interpreter}")


def may_begin_booted(defaults: Mapping[str, str], environment: Mapping[str, str], names: re.Pattern[str]) -> bool:
    """Not a function whose `environment` has something else under one of `names` than `defaults`, which a waiting runtime
    was booted with: it is to be started by itself."""
    differing = (name for name in {*defaults, *environment} if defaults.get(name) != environment.get(name))
    return not any(names.fullmatch(name) for name in differing)
