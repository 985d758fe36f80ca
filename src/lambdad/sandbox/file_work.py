"""What the launcher does with files for the server: has packages unpacked, and removes what was unpacked."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from lambdad.sandbox import job
from lambdad.sandbox.base import UnpackLimits, UnpackReport
from lambdad.sandbox.job import Job
from lambdad.sandbox.records import Failed, GiveUp, Merge, Remove, Removed, Unpack, Unpacked, UnpackLayer


class Watch(Protocol):
    """The part of an event loop that is needed here."""

    def watch(self, source: int, handler: Callable[[], None]) -> None: ...

    def forget(self, source: int) -> None: ...


Reply = Unpacked | Removed | Failed


class FileWork:
    """`staging` is a folder on the file system of all destinations; whatever is in it at a start is rubbish."""

    def __init__(self, loop: Watch, staging: Path, uid: int, filter_program: bytes, answer: Callable[[Reply], None]) -> None:
        self._loop = loop
        self._staging = staging
        self._uid = uid
        self._filter = filter_program
        self._answer = answer
        self._jobs: dict[int, Job] = {}
        self._unpacking: dict[int, Job] = {}  #: by the numbers of the requests

    def unpack(self, record: Unpack, archive: int) -> None:
        def start(staging: Path) -> Job:
            return job.start_unpacking(archive, staging, _limits(record), self._uid, self._filter)

        self._unpack(record, start)

    def merge(self, record: Merge) -> None:
        def start(staging: Path) -> Job:
            with contextlib.ExitStack() as opened:
                trees = []
                for tree in record.trees:
                    trees.append(_opened_folder(tree))
                    opened.callback(os.close, trees[-1])
                return job.start_merging(trees, staging, _limits(record), self._uid, self._filter)

        self._unpack(record, start)

    def unpack_layer(self, record: UnpackLayer, layer: int) -> None:
        def start(staging: Path) -> Job:
            below = None if record.below is None else _opened_folder(record.below)
            try:
                return job.start_unpacking_layer(layer, below, staging, _limits(record), self._uid, self._filter)
            finally:
                if below is not None:
                    os.close(below)

        self._unpack(record, start)

    def _unpack(self, record: Unpack | Merge | UnpackLayer, start: Callable[[Path], Job]) -> None:
        destination, staging = Path(record.destination), self._staging / f"unpacked-{record.request}"
        try:
            if os.path.lexists(destination):
                raise FileExistsError(errno.EEXIST, f"{destination} is there already")
            staging.mkdir(mode=0o755)
            started = start(staging)
        except OSError as error:
            self._answer(Failed(record.request, str(error)))
            return
        self._unpacking[record.request] = started
        self._follow(started, lambda report: self._finish_unpacking(record, staging, report))

    def give_up(self, record: GiveUp) -> None:
        if record.request in self._unpacking:
            self._unpacking[record.request].kill()

    def remove(self, record: Remove) -> None:
        """Only folders that unpacking has made: their owner tells."""
        tree, doomed = Path(record.tree), self._staging / f"removed-{record.request}"
        try:
            if tree.lstat().st_uid != self._uid:
                raise PermissionError(errno.EPERM, f"{tree} was not made by unpacking")
            tree.rename(doomed)
        except FileNotFoundError:
            self._answer(Removed(record.request))
        except OSError as error:
            self._answer(Failed(record.request, str(error)))
        else:
            self._discard(doomed, Removed(record.request))

    def close(self) -> None:
        for running in self._jobs.values():
            running.kill()
            running.finish()

    def _finish_unpacking(self, record: Unpack | Merge | UnpackLayer, staging: Path, answer: bytes) -> None:
        del self._unpacking[record.request]
        try:
            report = msgspec.json.decode(answer, type=UnpackReport)
            if report.refusal is None:
                staging.rename(record.destination)
        except (msgspec.DecodeError, OSError) as error:
            reason = str(error) if answer else "the unpacking process was killed, perhaps by one of its own limits"
            self._discard(staging, Failed(record.request, f"unpacking failed: {reason}"))
            return
        told = (report.unpacked_bytes, report.refusal, report.detail, report.diff_id, report.disk_bytes, report.inodes)
        reply = Unpacked(record.request, *told)
        if report.refusal is None:
            self._answer(reply)
        else:
            self._discard(staging, reply)

    def _discard(self, tree: Path, reply: Reply) -> None:
        self._follow(job.start_removing(tree), lambda _: self._answer(reply))

    def _follow(self, started: Job, finished: Callable[[bytes], None]) -> None:
        def end() -> None:
            self._loop.forget(started.handle)
            del self._jobs[started.pid]
            finished(started.finish())

        self._jobs[started.pid] = started
        self._loop.watch(started.handle, end)


def _opened_folder(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _limits(record: Unpack | Merge | UnpackLayer) -> UnpackLimits:
    if isinstance(record, UnpackLayer):
        return UnpackLimits(record.unpacked_bytes, record.files, record.disk_bytes, record.inodes)
    return UnpackLimits(record.unpacked_bytes, record.files)
