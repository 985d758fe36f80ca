"""The environment of a runtime's process."""

from __future__ import annotations

import pytest

from lambdad.invocation.environment_variables import FunctionCredentials, boot_with, environment_variables
from lambdad.model.log_settings import LogSettings

CREDENTIALS = FunctionCredentials("ASIA1", "secret", "token")


def test_python(version):
    """A Python function sees AWS's variables, with AWS's values."""
    seen = environment_variables(version("hello", memory_mb=256, environment={"STAGE": "test"}), CREDENTIALS, "stream")
    expected = {
        "STAGE": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.12",
        "AWS_LAMBDA_FUNCTION_NAME": "hello",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/hello",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_RUNTIME_API": "169.254.100.1:9001",
        "AWS_ACCESS_KEY_ID": "ASIA1",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
        "AWS_ENDPOINT_URL": "http://169.254.100.1:4566",
        "_HANDLER": "m.f",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PYTHONPATH": "/var/runtime",
        "LC_CTYPE": "C.UTF-8",
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1:2000",
    }
    assert {name: seen.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "value", "wins"),
    [
        ("TZ", "Europe/Berlin", True),
        ("PATH", "/opt/mine", True),
        ("PYTHONPATH", "/x", True),
        ("AWS_ENDPOINT_URL", "https://elsewhere", True),
        ("AWS_XRAY_DAEMON_ADDRESS", "1.2.3.4:1", True),
        ("_AWS_XRAY_DAEMON_PORT", "1", True),
        ("_HANDLER", "evil", False),
        ("AWS_REGION", "mars-1", False),
        ("AWS_ACCESS_KEY_ID", "AKIA", False),
        ("AWS_LAMBDA_RUNTIME_API", "evil:1", False),
        ("_ANYTHING", "x", False),
    ],
)
def test_what_a_customer_may_replace(version, name, value, wins):
    """Unreserved variables are the customer's to replace, reserved ones and underscored names are not."""
    seen = environment_variables(version(environment={name: value}), CREDENTIALS, "s")
    assert (seen.get(name) == value) is wins


@pytest.mark.parametrize(
    ("runtime", "has", "lacks"),
    [
        ("python2.7", {"AWS_SECURITY_TOKEN", "PYTHONPATH"}, {"LC_CTYPE"}),
        ("python3.6", {"AWS_SECURITY_TOKEN", "PYTHONPATH"}, {"LC_CTYPE"}),
        ("python3.7", set(), {"AWS_SECURITY_TOKEN", "PYTHONPATH", "LC_CTYPE"}),
        ("python3.11", {"PYTHONPATH"}, {"LC_CTYPE"}),
        ("python3.14", {"PYTHONPATH", "LC_CTYPE"}, set()),
        ("provided.al2", set(), {"AWS_EXECUTION_ENV", "PYTHONPATH"}),
    ],
)
def test_runtimes_differ(version, runtime, has, lacks):
    """Each runtime has its own additions."""
    seen = environment_variables(version(runtime=runtime), CREDENTIALS, "s")
    assert has <= set(seen)
    assert not lacks & set(seen)


def test_log_settings(version):
    """A function with logs in JSON is told so, and its level; nothing is said to one with text."""
    seen = environment_variables(version(log_settings=LogSettings("JSON", "WARN", "DEBUG")), CREDENTIALS, "stream")
    assert (seen["AWS_LAMBDA_LOG_FORMAT"], seen["AWS_LAMBDA_LOG_LEVEL"]) == ("JSON", "WARN")
    mine = {"AWS_LAMBDA_LOG_FORMAT": "Text", "AWS_LAMBDA_LOG_LEVEL": "ERROR"}
    settings = LogSettings("JSON", "INFO", "INFO")
    seen = environment_variables(version(environment=mine, log_settings=settings), CREDENTIALS, "stream")
    assert (seen["AWS_LAMBDA_LOG_FORMAT"], seen["AWS_LAMBDA_LOG_LEVEL"]) == ("JSON", "INFO")
    seen = environment_variables(version(), CREDENTIALS, "stream")
    assert "AWS_LAMBDA_LOG_FORMAT" not in seen and "AWS_LAMBDA_LOG_LEVEL" not in seen


def test_frames(version):
    """The clients of managed runtimes are told where frames go, custom runtimes are not."""
    assert environment_variables(version(), CREDENTIALS, "s")["_LAMBDA_TELEMETRY_LOG_FD"] == "1"
    assert "_LAMBDA_TELEMETRY_LOG_FD" not in environment_variables(version(runtime="provided.al2023"), CREDENTIALS, "s")


@pytest.mark.parametrize(
    ("runtime", "own", "may"),
    [
        ("nodejs20.x", {"STAGE": "test", "PATH": "/opt/mine"}, True),
        ("nodejs20.x", {"NODE_ENV": "production"}, True),
        ("nodejs20.x", {"NODE_OPTIONS": "--no-warnings"}, False),
        ("nodejs20.x", {"TZ": "Europe/Berlin"}, False),
        ("nodejs20.x", {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrap"}, False),
        ("java25", {"STAGE": "test"}, True),
        ("java25", {"JAVA_TOOL_OPTIONS": "-Xint"}, False),
        ("java8", {}, True),
        ("java8", {"NMT_LEVEL_2": "summary"}, False),
        ("python3.12", {}, False),
        ("provided.al2023", {}, False),
    ],
)
def test_what_a_runtime_may_be_booted_with(version, runtime, own, may):
    """What every function of it begins with, and nothing of this one, unless it differs in what is read at a start."""
    made = version("hello", runtime=runtime, environment=own)
    booted = boot_with(made, environment_variables(made, CREDENTIALS, "stream"))
    assert (booted is not None) == may
    if booted is not None:
        assert not {"STAGE", "AWS_ACCESS_KEY_ID", "AWS_REGION", "_HANDLER", "AWS_LAMBDA_FUNCTION_NAME"} & booted.keys()
        assert booted["PATH"].startswith("/var/lang/bin:")
