"""File systems that are got ready on the side: answers, trouble, and folders that do not answer."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdad.errors import FileSystemTrouble
from lambdad.sandbox import file_system_keeper
from lambdad.sandbox.event_loop import EventLoop
from lambdad.sandbox.file_system import Standing
from lambdad.sandbox.file_system_keeper import MOST_STUCK, PATIENCE_SECONDS, FileSystemKeeper

pytestmark = pytest.mark.root

ARN, OTHER = "arn:a", "arn:b"
Found = list[int | FileSystemTrouble]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    made = EventLoop()
    yield made
    made.close()


@pytest.fixture
def keeper(loop: EventLoop, clock: Clock, tmp_path: Path) -> Iterator[FileSystemKeeper]:
    tmp_path.chmod(0o700)
    os.chown(tmp_path, 33_456, 33_456)
    (tmp_path / "link").symlink_to(tmp_path)
    made = FileSystemKeeper(loop, {ARN: str(tmp_path / "link"), OTHER: "/there/is/none"}, Standing.ROOT, clock)
    yield made
    made.close()
    until(loop, lambda: not made._openings)


def until(loop: EventLoop, is_so) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        loop.step(1.0)


def test_an_answer(loop: EventLoop, keeper: FileSystemKeeper) -> None:
    """The mount comes when its process has ended; a link in the settings is followed once, at the start."""
    found: Found = []
    keeper.open(ARN, 20_001, found.append)
    assert keeper.is_busy
    until(loop, lambda: found)
    assert not keeper.is_busy
    assert isinstance(found[0], int)
    assert os.stat(found[0]).st_uid == 20_001
    os.close(found[0])


def test_trouble(loop: EventLoop, keeper: FileSystemKeeper) -> None:
    """What is wrong arrives with its kind; what the settings do not name is refused at once."""
    found: Found = []
    keeper.open("arn:never-heard-of", 20_001, found.append)
    assert isinstance(found[0], FileSystemTrouble)
    assert found[0].kind == FileSystemTrouble.MISSING
    keeper.open(OTHER, 20_001, found.append)
    until(loop, lambda: len(found) == 2)
    assert isinstance(found[1], FileSystemTrouble)
    assert (found[1].kind, str(found[1])) == (FileSystemTrouble.MISSING, "there is no folder /there/is/none")


def test_what_is_known_beforehand(loop: EventLoop, keeper: FileSystemKeeper, clock: Clock, tmp_path: Path) -> None:
    """A folder that is not there when the server starts is told then, and that functions are strangers in every one."""
    missing = "There is no folder /there/is/none, which stands for arn:b: functions that mount it are refused."
    assert keeper.weaknesses == [missing]
    strangers = FileSystemKeeper(loop, {ARN: str(tmp_path)}, Standing.USER_WITH_OTHERS, clock).weaknesses
    assert [text.partition(",")[0] for text in strangers] == ["Functions mount folders as strangers"]
    assert FileSystemKeeper(loop, {}, Standing.USER_WITH_OTHERS, clock).weaknesses == []


def test_many_at_once(loop: EventLoop, keeper: FileSystemKeeper) -> None:
    """Each gets its own answer, for its own user."""
    found: dict[int, int | FileSystemTrouble] = {}
    for uid in range(20_001, 20_011):
        keeper.open(ARN, uid, lambda mount, uid=uid: found.update({uid: mount}))  # type: ignore[misc]
    until(loop, lambda: len(found) == 10)
    for uid, mount in found.items():
        assert isinstance(mount, int)
        assert os.stat(mount).st_uid == uid
        os.close(mount)


def test_a_folder_that_does_not_answer(
    loop: EventLoop, keeper: FileSystemKeeper, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given up in time, holds up nobody else, and what comes late is let go of."""
    found: Found = []
    with monkeypatch.context() as patched:
        patched.setattr(file_system_keeper, "open_file_system", lambda *_: signal.pause())
        keeper.open(ARN, 20_001, found.append)
    keeper.open(ARN, 20_002, found.append)
    until(loop, lambda: found)
    assert isinstance(found[0], int)
    os.close(found.pop())
    clock.now += PATIENCE_SECONDS - 1
    keeper.tend()
    assert not found
    clock.now += 2
    keeper.tend()
    assert isinstance(found[0], FileSystemTrouble)
    assert found[0].kind == FileSystemTrouble.SILENT
    assert not keeper.is_busy
    until(loop, lambda: not keeper._openings)
    assert len(found) == 1


def test_a_process_that_is_killed(loop: EventLoop, keeper: FileSystemKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waited for it is told."""
    found: Found = []
    with monkeypatch.context() as patched:
        patched.setattr(file_system_keeper, "open_file_system", lambda *_: os.kill(os.getpid(), 9))
        keeper.open(ARN, 20_001, found.append)
    until(loop, lambda: found)
    assert isinstance(found[0], FileSystemTrouble)
    assert found[0].kind == FileSystemTrouble.SILENT


def test_a_folder_that_never_answers_is_not_asked_for_ever(
    loop: EventLoop, keeper: FileSystemKeeper, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the processes that wait for it cannot even be killed, there are only so many of them; others are not concerned."""
    found: Found = []
    with monkeypatch.context() as patched:
        patched.setattr(file_system_keeper, "open_file_system", lambda *_: signal.pause())
        patched.setattr(file_system_keeper, "_kill", lambda opening: None)
        for _ in range(MOST_STUCK):
            keeper.open(ARN, 20_001, found.append)
        clock.now += PATIENCE_SECONDS + 1
        keeper.tend()
    assert len(found) == MOST_STUCK
    keeper.open(ARN, 20_001, found.append)
    assert isinstance(found[-1], FileSystemTrouble)
    assert (found[-1].kind, len(keeper._openings)) == (FileSystemTrouble.SILENT, MOST_STUCK)
    keeper.open(OTHER, 20_001, found.append)
    until(loop, lambda: len(found) == MOST_STUCK + 2)
    assert isinstance(found[-1], FileSystemTrouble)
    assert found[-1].kind == FileSystemTrouble.MISSING
    keeper.close()
    until(loop, lambda: not keeper._openings)
    keeper.open(ARN, 20_001, found.append)
    until(loop, lambda: len(found) == MOST_STUCK + 3)
    assert isinstance(found[-1], int)
    os.close(found[-1])


def test_a_process_that_waits_for_a_folder_holds_nothing_else_open(
    loop: EventLoop, keeper: FileSystemKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The launcher's sockets are other sandboxes', whose end would not be noticed."""

    def tell(*_: object) -> int:
        raise FileSystemTrouble(FileSystemTrouble.MISSING, " ".join(sorted(os.listdir("/proc/self/fd"))))

    reader, writer = os.pipe()
    found: Found = []
    with monkeypatch.context() as patched:
        patched.setattr(file_system_keeper, "open_file_system", tell)
        keeper.open(ARN, 20_001, found.append)
    until(loop, lambda: found)
    listed = str(found[0]).split()
    assert not {str(reader), str(writer)} & set(listed)
    assert len(listed) == 5  # the standard three, its answer, and the listing
    os.close(reader)
    os.close(writer)
