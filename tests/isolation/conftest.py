"""The arena of the attacks: one server for each backend that isolates, shared by all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from support import ordinary_user
from support.arena import ACCESS_POINT, HOST_SECRET, Arena
from support.ordinary_server import OrdinaryUser, make_home
from support.sandbox import Backend, backends
from support.server import Server, running

#: Of OCI runtimes one is enough for every day: the others are made from the same bundle, and gVisor's starts take a second.
_EVERY_DAY = ("namespace", "oci-runc")
#: What takes so long that one backend is enough for every day.
_HEAVY = "test_bombs.py"
#: And what `tests/contract` holds every backend to as well.
_LIKE_ANOTHER = "test_file_systems.py"
#: Its server is one of an ordinary user's, without cgroups: bombs, which those contain, are not thrown at it.
_WITHOUT_ROOT = "namespace-rootless"


def _attacked() -> list[ParameterSet]:
    return [
        parameter
        if parameter.id in _EVERY_DAY
        else pytest.param(*parameter.values, id=parameter.id, marks=[*parameter.marks, pytest.mark.long])
        for parameter in backends(isolating=True)
    ]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name == _HEAVY and f"[{_WITHOUT_ROOT}" in item.name:
            item.add_marker(pytest.mark.skip(reason="without root and delegated cgroups nothing holds bombs"))
        if item.path.name in (_HEAVY, _LIKE_ANOTHER) and f"[{_EVERY_DAY[0]}" not in item.name:
            item.add_marker(pytest.mark.long)


@pytest.fixture(scope="session", params=_attacked())
def backend(request: pytest.FixtureRequest) -> Backend:
    return request.param


@pytest.fixture(scope="session")
def arena(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    folder = tmp_path_factory.mktemp(f"arena-{backend}")
    secret = {"LAMBDAD_TEST_SECRET": HOST_SECRET}  # for the server to have, and nobody inside
    with started(backend, folder, secret) as server, Arena.of(server, backend.name) as made:
        yield made


def _sharing(folder: Path) -> list[str]:
    """A folder of an ordinary user's in it, as a file system for functions."""
    shared = folder / "shared"
    shared.mkdir(mode=0o770)
    shared.chmod(0o770)
    os.chown(shared, ordinary_user.UID, ordinary_user.UID)
    return ["--file-systems", f"{ACCESS_POINT}={shared}"]


@contextmanager
def started(backend: Backend, folder: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    if backend.name != _WITHOUT_ROOT:
        options = (*backend.options, *_sharing(folder))
        with running(folder, *options, isolation=backend.isolation, environment=environment) as server:
            yield server
    else:
        user = OrdinaryUser(make_home(folder), isolation=backend.isolation, environment=environment)
        user.options += _sharing(user.folder)
        user.start()
        try:
            yield user
        finally:
            assert user.stop() == 0, user.log()
