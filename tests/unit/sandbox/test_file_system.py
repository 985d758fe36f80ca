"""Who functions are in a folder of the machine, and which folders they are not let into."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdad.errors import FileSystemTrouble
from lambdad.sandbox import file_system, linux
from lambdad.sandbox.file_system import Standing, open_file_system
from support.processes import children

pytestmark = pytest.mark.root

OWNER, SANDBOX = 33_456, 20_123
GIVEN: list[int] = []


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of somebody's, in one that nobody else may enter."""
    made = Path(tempfile.mkdtemp(dir="/tmp"))
    made.chmod(0o750)
    data = made / "data"
    data.mkdir(mode=0o750)
    (data / "own").write_text("own")
    (data / "roots").write_text("root's")
    for path in (data, data / "own"):
        os.chown(path, OWNER, OWNER)
    yield data
    shutil.rmtree(made)


def opened(folder: Path, standing: Standing = Standing.ROOT) -> Path:
    """Where the mount can be looked at."""
    GIVEN.append(open_file_system(str(folder), SANDBOX, standing))
    return Path(f"/proc/self/fd/{GIVEN[-1]}")


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    """But for the mounts that a test was given."""
    before = os.listdir("/proc/self/fd")
    yield
    while GIVEN:
        os.close(GIVEN.pop())
    assert set(os.listdir("/proc/self/fd")) <= set(before)


def trouble(folder: Path, standing: Standing = Standing.ROOT) -> FileSystemTrouble:
    with pytest.raises(FileSystemTrouble) as caught:
        open_file_system(str(folder), SANDBOX, standing)
    return caught.value


def test_the_owners_files_are_the_sandboxs(folder: Path) -> None:
    """What belongs to the folder's owner is shown as the sandbox's user's, what is anybody else's as nobody's."""
    shown = opened(folder)
    assert (shown.stat().st_uid, shown.stat().st_gid) == (SANDBOX, SANDBOX)
    assert (shown / "own").stat().st_uid == SANDBOX
    assert (shown / "roots").stat().st_uid == int(Path("/proc/sys/fs/overflowuid").read_text())
    assert (folder / "own").stat().st_uid == OWNER


def test_nobody_but_the_sandboxs_user_can_make_files(folder: Path) -> None:
    """Root itself, who is in no map, is refused by the kernel: no file of root's ever comes to be there this way."""
    with pytest.raises(OSError, match=os.strerror(errno.EOVERFLOW)):
        (opened(folder) / "made").touch()


def test_a_folder_that_everybody_may_enter(folder: Path) -> None:
    """The owner's programs could be run from there by all; the refusal says what to do, and after that it works. The folder's
    own mode is no answer: functions could change it."""
    folder.parent.chmod(0o755)
    for mode in (0o755, 0o750, 0o700):
        folder.chmod(mode)
        found = trouble(folder)
        assert found.kind == FileSystemTrouble.UNSUITABLE
        assert "put it into a folder that others may not enter (chmod o-x)" in str(found)
    folder.chmod(0o777)
    folder.parent.chmod(0o750)
    opened(folder)


@pytest.mark.parametrize("owner", [(0, OWNER), (OWNER, 0), (0, 0)])
def test_no_function_is_root(folder: Path, owner: tuple[int, int]) -> None:
    """In root's folder, or its group's, functions are strangers: they get in where all are let in."""
    os.chown(folder, *owner)
    found = trouble(folder)
    assert found.kind == FileSystemTrouble.UNSUITABLE
    assert f"chmod o+rwx {folder}" in str(found)
    folder.chmod(0o1777)
    assert opened(folder).stat().st_uid == owner[0]


def test_where_nothing_can_be_mapped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On an old kernel, or a file system that cannot do it, functions are strangers as well."""

    def refuse(tree: int, users: int) -> None:
        raise OSError(errno.EINVAL, "mount_setattr")

    monkeypatch.setattr(linux, "map_owner", refuse)
    assert "no id-mapped mounts" in str(trouble(folder))
    folder.chmod(0o777)
    assert opened(folder).stat().st_uid == OWNER


def test_other_standings(folder: Path) -> None:
    """Without root the user's own folder is a function's own if it is the user itself, and no other folder ever is."""
    assert "belongs to another user" in str(trouble(folder, Standing.USER))
    assert "without root" in str(trouble(folder, Standing.USER_WITH_OTHERS))
    os.chown(folder, 0, 0)  # whom the user is, in a user namespace
    opened(folder, Standing.USER)
    assert "without root" in str(trouble(folder, Standing.USER_WITH_OTHERS))
    folder.parent.chmod(0o755)
    assert "chmod o-x" in str(trouble(folder, Standing.USER))
    folder.chmod(0o777)
    opened(folder, Standing.USER_WITH_OTHERS)


def test_what_is_no_folder_or_none_any_more(folder: Path) -> None:
    """Nothing but a folder, at its own path, is opened; a link on the way is none, wherever it leads."""
    assert trouble(folder / "none").kind == FileSystemTrouble.MISSING
    assert trouble(folder / "own").kind == FileSystemTrouble.MISSING
    link = folder.with_name("link")
    link.symlink_to(folder)
    for path in (link, link / "deeper"):
        found = trouble(path)
        assert (found.kind, "symbolic link" in str(found)) == (FileSystemTrouble.UNSUITABLE, True)
    assert trouble(Path("/proc/self/root")).kind == FileSystemTrouble.UNSUITABLE


def test_a_server_that_does_not_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a network file system says when it is gone counts as missing."""

    def gone(path: str) -> int:
        raise OSError(errno.ESTALE, path)

    monkeypatch.setattr(file_system.linux, "open_folder", gone)
    found = trouble(folder)
    assert (found.kind, "does not answer" in str(found)) == (FileSystemTrouble.MISSING, True)


def test_no_process_is_left(folder: Path) -> None:
    """The one that it takes to make a user namespace is gone, and was buried."""
    before = set(children(os.getpid()))
    opened(folder)
    assert set(children(os.getpid())) <= before
