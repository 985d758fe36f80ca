"""A server that cannot start says why in one sentence and exits with a code that is not zero."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import botocore.exceptions
import pytest

from support.server import CACHE_DIR, Server, running


def up(tmp_path: Path, *options: str, prefix: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    command = [
        *prefix,
        sys.executable,
        "-m",
        "lambdad",
        "up",
        "--data-dir",
        str(tmp_path / "data"),
        "--cache-dir",
        str(CACHE_DIR),
    ]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=60)


def assert_one_sentence(done: subprocess.CompletedProcess[str], *expected: str) -> None:
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert "Traceback" not in done.stderr
    assert 1 <= len(lines) <= 3, done.stderr
    for text in expected:
        assert text in " ".join(lines)


@pytest.mark.root
def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """The sentence names the port and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_one_sentence(up(tmp_path, "--port", str(port)), str(port), "in use")


@pytest.mark.root
def test_a_data_folder_of_another_server(tmp_path: Path) -> None:
    """The second server on one data folder is refused, and the first goes on."""
    with running(tmp_path) as first:
        assert_one_sentence(up(tmp_path, "--port", "0"), "data", "in use")
        assert first.health()["status"]


@pytest.mark.root
def test_no_right_to_make_namespaces(tmp_path: Path) -> None:
    """Without the rights the namespace backend is refused with the way out named, instead of running code unisolated."""
    without_rights = [shutil.which("setpriv") or pytest.skip("needs setpriv"), "--inh-caps=-all", "--bounding-set=-all"]
    assert_one_sentence(up(tmp_path, "--port", "0", prefix=without_rights), "isolat", "--isolation process")


def test_listening_beyond_loopback_without_authentication(tmp_path: Path) -> None:
    """The refusal names the setting that would make it right."""
    assert_one_sentence(up(tmp_path, "--port", "0", "--host", "0.0.0.0"), "--auth on")


@pytest.mark.root
def test_a_runtime_without_an_interpreter(server: Server) -> None:
    """CreateFunction with a runtime that no interpreter here can run is refused, and the sentence names the runtime."""
    missing = [f"python3.{minor}" for minor in (14, 13, 9, 6) if shutil.which(f"python3.{minor}") is None]
    available = server.health()["runtimes"]["available"]
    names = [name for name in missing if name not in available]
    if not names:
        pytest.skip("this machine has an interpreter for every runtime")
    lambda_ = server.client("lambda")
    with pytest.raises(botocore.exceptions.ClientError, match=f"InvalidParameterValueException.*{names[0]}"):
        server.create_function("no-interpreter", "def handler(e, c): pass", runtime=names[0])
    with pytest.raises(lambda_.exceptions.ResourceNotFoundException):
        lambda_.get_function(FunctionName="no-interpreter")


def test_a_processor_quota_without_isolation(tmp_path: Path) -> None:
    """What could not be held is refused."""
    assert_one_sentence(up(tmp_path, "--isolation", "process", "--cpu", "strict"), "leave out --cpu strict")


@pytest.mark.parametrize("network", ["nat", "none"])
def test_no_choice_of_network_without_isolation(tmp_path: Path, network: str) -> None:
    """`process` keeps nobody from the network, so a setting that says otherwise is refused."""
    assert_one_sentence(up(tmp_path, "--port", "0", "--isolation", "process", "--network", network), f"--network {network}")


@pytest.mark.root
def test_a_network_that_the_machine_cannot_give(tmp_path: Path) -> None:
    """An explicit `nat` does not become `none` behind the user's back: the server does not start, and says why."""
    read_only = 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"'
    prefix = ["unshare", "--net", "--mount", "sh", "-c", read_only, "sh"]
    refused = up(tmp_path, "--port", "0", "--network", "nat", prefix=prefix)
    assert_one_sentence(refused, "cannot be given a way out", "Read-only file system")
