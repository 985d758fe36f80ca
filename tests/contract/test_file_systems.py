"""Folders of the machine as file systems of functions: the same on every isolation backend that has them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from _pytest.mark import ParameterSet

from lambdad.errors import FileSystemTrouble, SandboxError
from lambdad.model.file_system import FileSystem
from lambdad.sandbox.base import Sandboxes, SandboxSpec
from support.sandbox import Backend, Peer, backends, make_program, make_spec, make_task, new_name

OWNER, GROUP = 33_456, 33_456  #: the folder's; without root this is who runs the launcher
_LONG = {"oci-runsc": [pytest.mark.long]}  # takes seconds to start
_WITHOUT = ("oci-runsc", "process")


def arn(number: int) -> str:
    return f"arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/fsap-{number:017x}"


DATA, OPEN, GONE, LINKED, CLOSED, UNKNOWN = map(arn, range(6))


def _with_file_systems(*, has: bool) -> list[ParameterSet]:
    chosen = [each for each in backends() if (each.id not in _WITHOUT) == has]
    return [pytest.param(*each.values, id=each.id, marks=[*each.marks, *_LONG.get(str(each.id), ())]) for each in chosen]


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module", params=_with_file_systems(has=True))
def backend(request: pytest.FixtureRequest) -> Backend:
    return request.param


@pytest.fixture(scope="module")
def home(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def folders(home: Path) -> dict[str, Path]:
    """`DATA` is its owner's alone, `OPEN` everybody's in one that is not."""
    made = {name: home / "files" / name for name in ("data", "open", "gone", "linked", "closed")}
    for name in ("data", "open", "gone", "closed"):
        made[name].mkdir(parents=True)
        (made[name] / "there").write_text("before")
        for path in (made[name], made[name] / "there"):
            os.chown(path, OWNER, GROUP)
    made["data"].chmod(0o770)
    made["open"].chmod(0o1777)
    os.chown(made["open"], 0, 0)
    made["closed"].chmod(0o750)
    os.chown(made["closed"], 0, 0)
    made["linked"].mkdir()
    home.chmod(0o755)
    (home / "files").chmod(0o750)
    os.chown(home / "files", OWNER, GROUP)
    return dict(zip((DATA, OPEN, GONE, LINKED, CLOSED), made.values(), strict=True))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandboxes(backend: Backend, home: Path, folders: dict[str, Path]) -> AsyncIterator[Sandboxes]:
    """One backend for all tests, which have names of their own in the shared folder."""
    made = backend.make(home / "state", file_systems=folders)
    await made.open()
    yield made
    await made.close()
    assert not [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(home) in line]


@pytest.fixture(scope="module")
def spec(sandboxes: Sandboxes, home: Path) -> SandboxSpec:
    return make_spec(make_program(home / "runtime"), make_task(home / "task"))


def with_file_system(spec: SandboxSpec, arn: str, sandbox_id: str | None = None, name: str = "data") -> SandboxSpec:
    return replace(spec, sandbox_id=sandbox_id or new_name(), file_system=FileSystem(arn, f"/mnt/{name}"))


@contextlib.asynccontextmanager
async def inside(sandboxes: Sandboxes, spec: SandboxSpec) -> AsyncIterator[Peer]:
    sandbox = await sandboxes.start(spec)
    try:
        async with Peer.at(sandbox) as peer:
            yield peer
    finally:
        await sandbox.stop()
        os.close(sandbox.runtime.log_pipe)


async def result(peer: Peer, code: str) -> Any:
    answer = await peer.ask(code)
    assert answer is not None
    assert "result" in answer, answer
    return answer["result"]


async def test_a_function_reads_and_writes(sandboxes: Sandboxes, spec: SandboxSpec, folders: dict[str, Path]) -> None:
    """What is in the folder is seen at the local path, and what the function writes is the folder's owner's outside."""
    (folders[DATA] / "changed").write_text("before")
    os.chown(folders[DATA] / "changed", OWNER, GROUP)
    async with inside(sandboxes, with_file_system(spec, DATA)) as peer:
        assert await result(peer, "result = open('/mnt/data/changed').read()") == "before"
        code = """
            import os
            os.makedirs('/mnt/data/made/deeper')
            with open('/mnt/data/made/file', 'w') as file:
                file.write('from inside')
            with open('/mnt/data/changed', 'a') as file:
                file.write(' and after')
            os.rename('/mnt/data/made/file', '/mnt/data/made/deeper/file')
            os.symlink('deeper/file', '/mnt/data/made/link')
            status = os.stat('/mnt/data/made')
            result = [status.st_uid == os.getuid(), status.st_gid == os.getgid(), os.listdir('/mnt')]
        """
        assert await result(peer, code) == [True, True, ["data"]]
    made = folders[DATA] / "made"
    assert (made / "link").read_text() == "from inside"
    assert (folders[DATA] / "changed").read_text() == "before and after"
    for path in (made, made / "deeper", made / "deeper/file", made / "link"):
        assert (path.lstat().st_uid, path.lstat().st_gid) == (OWNER, GROUP), path


async def test_environments_share_it(sandboxes: Sandboxes, spec: SandboxSpec) -> None:
    """What one environment writes another reads, changes and removes, whoever each of them is on the machine."""
    async with (
        inside(sandboxes, with_file_system(spec, DATA, "one")) as one,
        inside(sandboxes, with_file_system(spec, DATA, "two", name="elsewhere")) as two,
    ):
        await result(one, "open('/mnt/data/shared', 'w').write('1'); result = 1")
        await result(two, "open('/mnt/elsewhere/shared', 'a').write('2'); result = 1")
        assert await result(one, "result = open('/mnt/data/shared').read()") == "12"
        await result(two, "import os; os.unlink('/mnt/elsewhere/shared'); result = 1")
        assert await result(one, "import os; result = os.path.exists('/mnt/data/shared')") is False


async def test_who_has_none_sees_none(sandboxes: Sandboxes, spec: SandboxSpec) -> None:
    """/mnt is empty for functions without a file system, and nobody can put anything there."""
    async with inside(sandboxes, spec) as peer:
        assert await result(peer, "import os; result = os.listdir('/mnt')") == []
        answer = await peer.ask("import os; os.mkdir('/mnt/mine')")
        assert answer is not None and answer["errno"] is not None


@pytest.mark.parametrize("name", ["...", "a.b-c_D" + "x" * 148])
async def test_local_names(sandboxes: Sandboxes, spec: SandboxSpec, name: str) -> None:
    """The local path is any name that AWS takes."""
    async with inside(sandboxes, with_file_system(spec, DATA, name=name)) as peer:
        assert await result(peer, f"result = open('/mnt/{name}/there').read()") == "before"


async def test_nothing_runs_with_anothers_rights(sandboxes: Sandboxes, spec: SandboxSpec, folders: dict[str, Path]) -> None:
    """Neither set-user-id programs nor devices in the folder have any effect inside; programs run."""
    program = folders[DATA] / "id"
    program.write_text("#!/bin/sh\nid -u\n")
    os.chown(program, OWNER, GROUP)
    program.chmod(0o4755)
    os.mknod(folders[DATA] / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.chown(folders[DATA] / "null", OWNER, GROUP)
    (folders[DATA] / "null").chmod(0o666)
    async with inside(sandboxes, with_file_system(spec, DATA)) as peer:
        code = """
            import os, subprocess
            result = subprocess.check_output(['/mnt/data/id']).decode().strip() == str(os.getuid())
        """
        assert await result(peer, code) is True
        answer = await peer.ask("open('/mnt/data/null', 'w')")
        assert answer is not None and answer["error"] == "PermissionError"
        flags = await result(peer, "result = [line for line in open('/proc/self/mounts') if ' /mnt/data ' in line]")
        assert len(flags) == 1
        assert {"rw", "nosuid", "nodev"} <= set(flags[0].split()[3].split(","))


async def test_a_folder_that_is_open_to_strangers(sandboxes: Sandboxes, spec: SandboxSpec, folders: dict[str, Path]) -> None:
    """In root's folder a function is a stranger with its own user: it may do what everybody may, and it is not root."""
    async with inside(sandboxes, with_file_system(spec, OPEN)) as peer:
        await result(peer, "open('/mnt/data/new', 'w').write('x'); result = 1")
        answer = await peer.ask("open('/mnt/data/there', 'w')")
        assert (answer or {}).get("error") in ("PermissionError", None)
    assert (folders[OPEN] / "new").stat().st_uid != 0


REFUSED = (
    (CLOSED, FileSystemTrouble.UNSUITABLE, "chmod o+rwx"),
    (UNKNOWN, FileSystemTrouble.MISSING, "the settings name no folder"),
    (GONE, FileSystemTrouble.MISSING, "there is no folder"),
    (LINKED, FileSystemTrouble.UNSUITABLE, "symbolic link"),
)


async def test_what_cannot_be_mounted(sandboxes: Sandboxes, spec: SandboxSpec, folders: dict[str, Path]) -> None:
    """The start is refused with what is wrong and what to do, nothing is left behind, and the next start works."""
    folders[GONE].rename(folders[GONE].with_name("elsewhere"))
    folders[LINKED].rmdir()
    folders[LINKED].symlink_to(folders[DATA])
    for arn, kind, text in REFUSED:
        with pytest.raises(FileSystemTrouble) as caught:
            await sandboxes.start(with_file_system(spec, arn))
        assert caught.value.kind == kind
        assert text in str(caught.value)
    async with inside(sandboxes, with_file_system(spec, DATA)) as peer:
        assert await result(peer, "result = 1") == 1


async def test_no_other_place_is_mounted_at(sandboxes: Sandboxes, spec: SandboxSpec) -> None:
    """The launcher takes a plain name for the local path and nothing else, whatever the server lets through."""
    for place in ("..", ".", "", "a/b", "../../etc", "a\0b", "x" * 156):
        with pytest.raises(SandboxError):
            await sandboxes.start(with_file_system(spec, DATA, name=place))


@pytest.mark.parametrize("without", _with_file_systems(has=False))
async def test_backends_that_have_none(without: Backend, tmp_path: Path) -> None:
    """They say why, and refuse a start with that; a sandbox without a file system starts."""
    spec = make_spec(make_program(tmp_path / "runtime"), make_task(tmp_path / "task"))
    sandboxes = without.make(tmp_path / "state", file_systems={DATA: tmp_path})
    await sandboxes.open()
    try:
        assert sandboxes.file_system_problem
        with pytest.raises(FileSystemTrouble) as caught:
            await sandboxes.start(with_file_system(spec, DATA))
        assert (caught.value.kind, str(caught.value)) == (FileSystemTrouble.UNSUITABLE, sandboxes.file_system_problem)
        async with inside(sandboxes, spec) as peer:
            assert await result(peer, "result = 1") == 1
    finally:
        await sandboxes.close()


async def test_starts_that_are_given_up(sandboxes: Sandboxes, spec: SandboxSpec) -> None:
    """Whenever a start is given up while its folder is got ready, nothing of it is left and the next one works."""
    for turns in range(6):
        start = asyncio.create_task(sandboxes.start(with_file_system(spec, DATA, f"given-up-{turns}")))
        for _ in range(turns):
            await asyncio.sleep(0.002)
        start.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            sandbox = await start
            await sandbox.stop()
            os.close(sandbox.runtime.log_pipe)
    async with inside(sandboxes, with_file_system(spec, DATA, "after-them")) as peer:
        assert await result(peer, "result = open('/mnt/data/there').read()") == "before"
