"""Which isolation backend runs, by the settings and by what the machine provides."""

from __future__ import annotations

from lambdad.config import Settings
from lambdad.errors import StartupError
from lambdad.sandbox.base import Sandboxes
from lambdad.sandbox.namespace import NamespaceSandboxes
from lambdad.sandbox.oci import DEFAULT_RUNTIME, OciSandboxes
from lambdad.sandbox.process import ProcessSandboxes


def choose_sandboxes(settings: Settings, endpoint: str) -> Sandboxes:
    """`auto` is isolation or nothing: code runs unisolated only where the user said so."""
    state_dir = settings.data_dir / "sandboxes"
    has_cpu_quota = settings.cpu == "strict"
    if settings.oci_runtime and settings.isolation != "oci":
        raise StartupError(
            f"--oci-runtime {settings.oci_runtime} has no effect without --isolation oci; leave it out, or add that."
        )
    if settings.isolation == "process":
        if has_cpu_quota:
            raise StartupError("--isolation process cannot hold functions to AWS's processor quota; leave out --cpu strict.")
        if settings.network != "auto":
            raise StartupError(f"--isolation process has the machine's network; leave out --network {settings.network}.")
        return ProcessSandboxes(state_dir, endpoint)
    if settings.isolation == "oci":
        runtime = settings.oci_runtime or DEFAULT_RUNTIME
        return OciSandboxes(
            state_dir, runtime, has_cpu_quota=has_cpu_quota, network=settings.network, file_systems=settings.file_systems
        )
    try:
        return NamespaceSandboxes(
            state_dir,
            spares=settings.spares,
            pre_booted=settings.pre_booted,
            has_cpu_quota=has_cpu_quota,
            network=settings.network,
            file_systems=settings.file_systems,
        )
    except StartupError as error:
        raise StartupError(
            f"Functions cannot be isolated here: {str(error).rstrip('.')}. "
            "To run their code as your own user without isolation, say --isolation process."
        ) from error
