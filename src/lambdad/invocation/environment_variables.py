"""The environment variables of a runtime's process, built from nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lambdad.model.image import ImageUse
from lambdad.model.log_settings import DEFAULT_LEVEL
from lambdad.model.pre_boot import may_begin_booted
from lambdad.model.version import Version
from lambdad.runtimes.catalog import CUSTOM_RUNTIMES
from lambdad.runtimes.families import family_of
from lambdad.sandbox.base import ENDPOINT_PORT, RUNTIME_API_PORT, SANDBOX_ADDRESS

#: Names with an underscore first are the platform's, except these, which AWS lets through.
CUSTOMER_UNDERSCORED = frozenset({"_HANDLER", "_AWS_XRAY_DAEMON_ADDRESS", "_AWS_XRAY_DAEMON_PORT", "_LAMBDA_TELEMETRY_LOG_FD"})
X_RAY_PORT = 2000
#: Where the managed runtimes' clients write messages in frames: standard output itself, so that what a function prints and
#: what it logs stay in order. See `log_frames`.
FRAMES_DESCRIPTOR = "1"

_ADDRESSES = {
    "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
    "AWS_XRAY_DAEMON_ADDRESS": f"{SANDBOX_ADDRESS}:{X_RAY_PORT}",
    "_AWS_XRAY_DAEMON_ADDRESS": SANDBOX_ADDRESS,
    "_AWS_XRAY_DAEMON_PORT": str(X_RAY_PORT),
    "AWS_ENDPOINT_URL": f"http://{SANDBOX_ADDRESS}:{ENDPOINT_PORT}",
}
_USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class FunctionCredentials:
    """Temporary credentials of the function's execution role."""

    access_key_id: str
    secret_access_key: str
    session_token: str


def environment_variables(
    version: Version,
    credentials: FunctionCredentials,
    log_stream: str,
    container_token: str | None = None,
    *,
    is_provisioned: bool = False,
) -> dict[str, str]:
    """Later groups win: what a customer may replace, the customer's own, credentials, what nobody may replace.

    With a token they are those of a snapshot: nothing in them is of one environment alone.
    """
    of_environment = _credentials(version.runtime, credentials) if container_token is None else _container(container_token)
    return {
        **(_replaceable(version.runtime) if version.image is None else _of_image(version.image)),
        **{name: value for name, value in version.environment.items() if _is_customers(name)},
        **of_environment,
        **_reserved(version, log_stream, is_snapshot=container_token is not None),
        **({"AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency"} if is_provisioned else {}),
        **_managed(version),
    }


def boot_with(version: Version, variables: Mapping[str, str]) -> Mapping[str, str] | None:
    """What its runtime may be booted with before there is a function; None where it may not be: see `pre_boot`."""
    names = family_of(version.runtime).start_names() if version.image is None else None
    if names is None:
        return None
    defaults = _replaceable(version.runtime)
    return defaults if may_begin_booted(defaults, variables, names) else None


def _managed(version: Version) -> Mapping[str, str]:
    if version.managed is None:
        return {}
    return {
        "AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances",
        "AWS_LAMBDA_MAX_CONCURRENCY": str(version.managed.concurrency),
    }


def _container(token: str) -> dict[str, str]:
    """SDKs accept no other address than a loopback one for credentials without encryption."""
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{RUNTIME_API_PORT}/2021-04-23/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
    }


def _is_customers(name: str) -> bool:
    return not name.startswith("_") or name in CUSTOMER_UNDERSCORED


def _replaceable(runtime: str) -> dict[str, str]:
    # Every interpreter stands at /var/lang here, also those which AWS once kept elsewhere (python2.7).
    family = family_of(runtime)
    has_language = family.has_language_paths
    libraries = "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
    return {
        "PATH": ("/var/lang/bin:" if has_language else "") + "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "LD_LIBRARY_PATH": ("/var/lang/lib:" if has_language else "") + libraries,
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PWD": "/var/task",
        "SHLVL": "0",
        **_ADDRESSES,
        **family.variables(runtime),
    }


def _of_image(image: ImageUse) -> dict[str, str]:
    """An image says itself where its programs are; what it does not say is as container engines have it."""
    return {"PATH": _USUAL_PATH, **_ADDRESSES, **image.command.environment}


def _credentials(runtime: str, credentials: FunctionCredentials) -> dict[str, str]:
    variables = {
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        "AWS_SESSION_TOKEN": credentials.session_token,
    }
    if family_of(runtime).has_old_key_names:
        variables["AWS_ACCESS_KEY"] = credentials.access_key_id
        variables["AWS_SECRET_KEY"] = credentials.secret_access_key
    if runtime in {"python2.7", "python3.6", "go1.x"}:
        variables["AWS_SECURITY_TOKEN"] = credentials.session_token
    return variables


def _places(handler: str) -> dict[str, str]:
    return {"_HANDLER": handler, "LAMBDA_TASK_ROOT": "/var/task", "LAMBDA_RUNTIME_DIR": "/var/runtime"}


def _reserved(version: Version, log_stream: str, *, is_snapshot: bool) -> dict[str, str]:
    variables = {
        **(_places(version.handler) if version.image is None else {}),
        "AWS_REGION": version.region,
        "AWS_DEFAULT_REGION": version.region,
        "AWS_LAMBDA_FUNCTION_NAME": version.function_name,
        "AWS_LAMBDA_FUNCTION_VERSION": version.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(version.memory_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start" if is_snapshot else "on-demand",
        "AWS_LAMBDA_RUNTIME_API": f"{SANDBOX_ADDRESS}:{RUNTIME_API_PORT}",
    }
    settings = version.log_settings
    if settings.format == "JSON":
        variables["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        variables["AWS_LAMBDA_LOG_LEVEL"] = settings.application_level or DEFAULT_LEVEL
    if not is_snapshot:
        variables["AWS_LAMBDA_LOG_GROUP_NAME"] = version.log_group or f"/aws/lambda/{version.function_name}"
        variables["AWS_LAMBDA_LOG_STREAM_NAME"] = log_stream
    if version.image is None and version.runtime not in CUSTOM_RUNTIMES:
        variables["AWS_EXECUTION_ENV"] = f"AWS_Lambda_{version.runtime}"
    if family_of(version.runtime).has_frames:
        variables["_LAMBDA_TELEMETRY_LOG_FD"] = FRAMES_DESCRIPTOR
    return variables
