"""What the server says of itself: when it starts to serve, and whenever its health is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lambdad import __version__


@dataclass(frozen=True, slots=True)
class Announcement:
    """The state of a server at the moment it begins to answer."""

    endpoint: str  #: "http://127.0.0.1:4566"
    port: int
    pid: int
    data_dir: Path
    isolation: str  #: the backend in force: "namespace", "oci (runc 1.1.5)", "process"
    weaknesses: Sequence[str]  #: what that backend does not keep apart here, in full sentences
    network: str  #: where functions get: "nat", "none", "host"
    network_remark: str  #: why not further, or what was changed on the machine for it; may be empty
    cpu: str  #: how functions share the processors: "weight", "strict"; "none" where nothing makes them
    auth: str
    quotas: str
    runtimes: Sequence[str]  #: those that functions can have on this machine
    runtime_problems: Mapping[str, str] = field(default_factory=dict)  #: runtime -> why functions cannot have it


@dataclass(frozen=True, slots=True)
class EnvironmentCounts:
    """Execution environments by what they are doing."""

    busy: int
    idle: int
    starting: int


def health_document(
    announcement: Announcement,
    *,
    environments: EnvironmentCounts,
    uptime_seconds: float,
    services: Sequence[str],
    concurrency: Mapping[str, Any],
    events: Mapping[str, int],
    pre_booted: Mapping[str, int] | None = None,
    is_draining: bool = False,
) -> dict[str, Any]:
    """The answer of `/_lambdad/health`. A draining server is not healthy: it takes nothing new."""
    return {
        "status": "draining" if is_draining else "running",
        "version": __version__,
        "isolation": {"backend": announcement.isolation, "weaknesses": list(announcement.weaknesses)},
        "network": {"mode": announcement.network, "remark": announcement.network_remark},
        "runtimes": {"available": list(announcement.runtimes), "problems": dict(announcement.runtime_problems)},
        "environments": {"busy": environments.busy, "idle": environments.idle, "starting": environments.starting},
        "pre_booted": None if pre_booted is None else dict(pre_booted),
        "concurrency": dict(concurrency),
        "cpu": announcement.cpu,
        "events": dict(events),
        "auth": announcement.auth,
        "policies": "evaluated" if announcement.auth == "on" else "not evaluated",
        "quotas": announcement.quotas,
        "data_dir": str(announcement.data_dir),
        "uptime_seconds": round(uptime_seconds, 3),
        "services": dict.fromkeys(services, "running"),
    }


def localstack_health_document(services: Sequence[str]) -> dict[str, Any]:
    """The answer of `/_localstack/health`, in the shape that tools made for LocalStack probe before they go on."""
    return {"services": dict.fromkeys(services, "running"), "edition": "community", "version": __version__}
