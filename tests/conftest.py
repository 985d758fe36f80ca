"""What every kind of test shares: skipping by name what this machine cannot run, and the server of the scenario tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from support.awscli import aws_command
from support.server import Server, running

#: A busy machine makes examples slowly, which says nothing of what they are to show.
settings.register_profile("any-speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-speed")


# Where this is set, each of the hundreds of servers and commands that tests start would compile all of lambdad for itself.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    can_isolate = sys.platform == "linux" and os.geteuid() == 0
    for item in items:
        if item.get_closest_marker("root") and not can_isolate:
            item.add_marker(pytest.mark.skip(reason="needs root on Linux"))
        if item.get_closest_marker("awscli") and aws_command() is None:
            item.add_marker(pytest.mark.skip(reason="needs the AWS command line client"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A lambdad with full isolation that the tests of a session share; names in it must not collide."""
    with running(tmp_path_factory.mktemp("server")) as started:
        yield started
