from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from lambdad.runtimes.dotnet import family
from lambdad.runtimes.dotnet.family import FAMILY, read, start
from lambdad.runtimes.find import Interpreter

SAID = """Microsoft.AspNetCore.App 8.0.1 [/x/shared/Microsoft.AspNetCore.App]
Microsoft.NETCore.App 2.1.30 [/x/shared/Microsoft.NETCore.App]
Microsoft.NETCore.App 3.1.23 [/x/shared/Microsoft.NETCore.App]
Microsoft.NETCore.App 5.0.17 [/x/shared/Microsoft.NETCore.App]
Microsoft.NETCore.App 8.0.1 [/x/shared/Microsoft.NETCore.App]
Microsoft.NETCore.App 8.0.3 [/x/shared/Microsoft.NETCore.App]
Microsoft.NETCore.App 10.0.0-rc.1.25451.107 [/x/shared/Microsoft.NETCore.App]
Microsoft.NETCore.App 11.0.0 [/x/shared/Microsoft.NETCore.App]
"""


def test_one_dotnet_serves_every_version_beside_it() -> None:
    """Each as AWS names it; a version that AWS has no name for serves none."""
    found = read(Path("/opt/dotnet/dotnet"), SAID)
    assert [(one.runtime, one.version, one.is_final) for one in found] == [
        ("dotnetcore2.1", (2, 1, 30), True),
        ("dotnetcore3.1", (3, 1, 23), True),
        ("dotnet5.0", (5, 0, 17), True),
        ("dotnet8", (8, 0, 1), True),
        ("dotnet8", (8, 0, 3), True),
        ("dotnet10", (10, 0, 0), False),
    ]
    assert {(one.executable, one.language_root) for one in found} == {(Path("/opt/dotnet/dotnet"), Path("/opt/dotnet"))}


def test_what_is_no_dotnet_is_passed_over() -> None:
    """A program of that name that says something else, or nothing; and one that has SDKs alone."""
    assert list(read(Path("/usr/bin/dotnet"), "dotnet: a domain")) == []
    assert list(read(Path("/usr/bin/dotnet"), "")) == []


@pytest.mark.parametrize(
    "executable, root", [("/opt/net/bin/dotnet", "/opt/net"), ("/usr/share/dotnet/dotnet", "/usr/share/dotnet")]
)
def test_the_installation_is_what_its_program_lies_in(executable: str, root: str) -> None:
    """A folder bin is a part of it."""
    assert {one.language_root for one in read(Path(executable), SAID)} == {Path(root)}


@pytest.mark.parametrize("executable", ["/usr/bin/dotnet", str(Path.home() / "dotnet")])
def test_a_dotnet_outside_of_a_folder_of_its_own_cannot_be_shown_to_a_sandbox(executable: str) -> None:
    """Else all of the folder would be."""
    found = read(Path(executable), SAID)
    assert found
    assert all(one.problem == f"{executable} is not in a folder of its own that a sandbox could be shown." for one in found)


def test_the_oldest_need_an_openssl_of_their_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the machine, or beside them, as those that lambdad installs have it; later ones take whichever there is."""
    monkeypatch.setattr(family, "_LIBRARIES", ())
    monkeypatch.setattr(family.sys, "platform", "linux")
    executable = tmp_path / "bin" / "dotnet"
    problems = {one.runtime: one.problem for one in read(executable, SAID)}
    lacking = f"{executable} ends at the first hash without OpenSSL 1.1 (libssl.so.1.1), which is not here."
    assert (problems["dotnetcore2.1"], problems["dotnetcore3.1"], problems["dotnet8"]) == (lacking, lacking, None)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libssl.so.1.1").touch()
    assert {one.problem for one in read(executable, SAID)} == {None}


@pytest.mark.parametrize(
    "runtime, version, root, arguments",
    [
        ("dotnetcore3.1", (3, 1, 23), "/opt/net", ("/var/lang/dotnet", "3", "dotnetcore3.1")),
        ("dotnet8", (8, 0, 1), "/usr/share/dotnet", ("/usr/share/dotnet/dotnet", "8", "dotnet8")),
        ("dotnet6", (8, 0, 1), "/opt/net", ("/var/lang/dotnet", "8", "dotnet6", "substitute")),
    ],
)
def test_the_start_names_the_program_as_it_is_inside(
    runtime: str, version: tuple[int, int, int], root: str, arguments: tuple[str, ...]
) -> None:
    """The script is told what runs the function, and whether that is another version than was asked for."""
    interpreter = Interpreter(runtime, version, True, Path(root, "dotnet"), Path(root))
    assert start(interpreter).arguments == ("/var/runtime/bootstrap", *arguments)


@pytest.mark.parametrize("runtime", FAMILY.runtimes)
def test_only_the_oldest_can_be_fetched(runtime: str) -> None:
    """Of the others it is said where to put them."""
    can = runtime in ("dotnetcore2.1", "dotnetcore3.1") and sys.platform == "linux" and platform.machine() == "x86_64"
    assert bool(FAMILY.sources(runtime)) == can
    assert FAMILY.advice(runtime).startswith("put the .NET runtime ")
