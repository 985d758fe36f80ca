"""How a command ends when it does not end well."""

from __future__ import annotations

FAILED = 1
USAGE = 2
UNREACHABLE = 3
INTERRUPTED = 130  #: as shells say "ended by Ctrl-C"

#: What the documentation says of each.
EXIT_CODES = {
    0: "done",
    FAILED: "the function failed, the server refused, is not healthy or could not start",
    USAGE: "the command line is wrong",
    UNREACHABLE: "no server answers at the endpoint",
    INTERRUPTED: "ended by Ctrl-C",
}


class CommandError(Exception):
    """Ends the command with one sentence on standard error."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code
