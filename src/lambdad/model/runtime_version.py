"""Versions of runtimes: what a function's language is on this machine, down to the patch, and the client that runs in it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from lambdad.errors import ServiceError

#: When a function gets another version of its runtime: with the machine, with its own next update, or not at all.
UpdateRuntimeOn = Literal["Auto", "FunctionUpdate", "Manual"]


@dataclass(frozen=True, slots=True)
class RuntimeVersion:
    name: str  #: "python:3.12.v7"
    digest: str  #: hex SHA-256 of what it is made from

    def arn(self, region: str) -> str:
        """lambdad's own: its runtimes are not AWS's builds."""
        return f"arn:aws:lambda:{region}::runtime:{self.digest}"


DELETED = "RuntimeVersionDeletedException"


def runtime_version_deleted(runtime: str, arn: str) -> ServiceError:
    """For a function that is held to a version of its runtime which is not there."""
    message = (
        f"The runtime version {arn} is no longer available: {runtime} on this machine, or the client that runs in it, is "
        "another one now. Call the PutRuntimeManagementConfig API to choose Auto or the version there is."
    )
    return ServiceError(DELETED, message, status=409)


def runtime_version(runtime: str, patch: int = 1, made_from: str = "") -> RuntimeVersion:
    """`patch` is the third number of the interpreter's version, `made_from` a text that changes with all that is in it."""
    name = re.match(r"[a-z]*", runtime)
    family = name[0] if name else ""
    number = runtime[len(family) :].removeprefix(".").removesuffix(".x")
    full = f"{family}:{number}.v{patch}"
    return RuntimeVersion(full, hashlib.sha256(f"lambdad {full} {made_from}".encode()).hexdigest())
