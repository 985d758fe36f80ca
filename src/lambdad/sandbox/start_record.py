"""From the specification of a sandbox to what its launcher, and the processes in it, are told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from lambdad.errors import SandboxError
from lambdad.sandbox.base import ENDPOINT_PORT, RUNTIME_API_PORT, SANDBOX_ADDRESS, SandboxSpec
from lambdad.sandbox.records import MAX_RECORD_BYTES, FileSystemMount, Program, Start

MAX_ENVIRONMENT_BYTES = MAX_RECORD_BYTES - 8192  #: room for the rest of the record that it travels in


def start_record(spec: SandboxSpec) -> Start:
    program = spec.program
    paths = {name: absolute(getattr(program, name)) for name in ("interpreter", "language_root", "runtime_dir")}
    return Start(
        spec.sandbox_id,
        Program(
            program.name,
            **paths,
            start=program.start,
            python_root=_absolute_or_none(program.python_root),
            image_root=_absolute_or_none(program.image_root),
        ),
        _absolute_or_none(spec.task_root),
        _absolute_or_none(spec.opt_root),
        spec.memory_mb,
        spec.tmp_mb,
        spec.has_network,
        None if spec.file_system is None else FileSystemMount(spec.file_system.arn, spec.file_system.name),
        None if spec.boot is None else dict(spec.boot),
    )


def with_addresses(environment: Mapping[str, str]) -> dict[str, str]:
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name + value:
            raise SandboxError(f"{name!r} cannot be an environment variable with this value")
    return {
        **environment,
        "AWS_LAMBDA_RUNTIME_API": f"{SANDBOX_ADDRESS}:{RUNTIME_API_PORT}",
        "AWS_ENDPOINT_URL": f"http://{SANDBOX_ADDRESS}:{ENDPOINT_PORT}",
    }


def encoded(environment: Mapping[str, str]) -> bytes:
    data = msgspec.json.encode(environment)
    if len(data) > MAX_ENVIRONMENT_BYTES:
        raise SandboxError(f"an environment of {len(data)} bytes is longer than {MAX_ENVIRONMENT_BYTES}")
    return data


def absolute(path: Path) -> str:
    return os.fspath(path.absolute())


def _absolute_or_none(path: Path | None) -> str | None:
    return None if path is None else absolute(path)
