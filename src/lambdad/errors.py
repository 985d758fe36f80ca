"""What can go wrong by the caller's fault, and what stops the server from starting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ServiceError(Exception):
    """The caller's fault, as the AWS service would say it; `wire/front.py` alone turns it into HTTP.

    `code` is the error's name in the service model ("ResourceNotFoundException", "NoSuchKey").
    `status` overrides the HTTP status that the model gives; codes which the model does not list need it.
    `members` are further members of the error's structure ("Reason", "Type", "Key").
    `headers` are added to the HTTP answer ("retry-after").
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        members: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = dict(members or {})
        self.headers = dict(headers or {})


class StartupError(Exception):
    """The server or a command cannot start, or cannot go on; the text is the one sentence that the user is shown."""


class SandboxError(Exception):
    """An execution environment could not be made: our fault or the machine's, never the function's."""


class SandboxEnded(SandboxError):
    """Something was asked of a sandbox that has ended: whatever was asked, it is not what is wrong."""


class FileSystemTrouble(SandboxError):
    """Why a function's file system could not be mounted, and what its owner can do about it."""

    MISSING = "missing"  #: it is not there, or not configured any more
    UNSUITABLE = "unsuitable"  #: functions may not be let in
    SILENT = "silent"  #: it does not answer

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class CannotSnapshot(Exception):
    """Why an initialised function cannot be cloned, for its owner to read."""
