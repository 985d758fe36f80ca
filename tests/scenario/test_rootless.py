"""A server of a user without root: what works, what is held, and what is said to be weaker."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from support import ordinary_user
from support.image_layers import Entry
from support.images import RegistryClient, image
from support.ordinary_server import OrdinaryUser, make_home
from support.probe_program import probe_program
from support.processes import descendants, is_running
from support.server import ROLE, Server, wait_until

pytestmark = pytest.mark.root  # to become somebody else

CGROUPS = Path("/sys/fs/cgroup")
WALK = """
import os
def handler(event, context):
    if event["do"] == "look":
        seen = {path: os.path.exists(path) for path in event["paths"]}
        for pid in event["pids"]:
            try:
                os.kill(pid, 0)
                seen[str(pid)] = True
            except OSError as error:
                seen[str(pid)] = False
        return {"seen": seen, "uid": os.getuid(), "groups": os.getgroups()}
    if event["do"] == "write":
        open("/tmp/mine", "w").close()
    if event["do"] == "list":
        return os.listdir("/tmp")
    if event["do"] == "sleep":
        import time
        time.sleep(60)
    if event["do"] == "exit":
        os._exit(3)
    if event["do"] == "buckets":
        import boto3
        return [bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]]
    if event["do"] == "grow":
        import time
        blocks = []
        for _ in range(60):
            blocks.append(bytearray(b"x") * (10 << 20))
            time.sleep(0.02)
    if event["do"] == "fork":
        count = 0
        try:
            while True:
                pid = os.fork()
                if pid == 0:
                    import signal
                    signal.pause()
                count += 1
        except OSError:
            pass
        return count
"""


STORE = """
def handler(event, context):
    with open("/mnt/data/file", "w") as file:
        file.write("written")
    return open("/mnt/data/file").read()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    started = OrdinaryUser(home).start()
    yield started
    family = descendants(started.process.pid)
    assert started.stop() == 0, started.log()
    assert not any(is_running(pid) for pid in family)


@pytest.fixture(scope="module")
def walk(server: Server) -> str:
    server.create_function("walk", WALK, Timeout=10, MemorySize=256)
    return "walk"


def test_it_says_what_is_weaker(server: Server) -> None:
    """Functions are isolated; the banner and `health` name what is not as it is with root."""
    isolation = server.health()["isolation"]
    assert isolation["backend"] == "namespace"
    for text in ("All functions run as user 33456", "No cgroup holds memory"):
        assert any(text in weakness for weakness in isolation["weaknesses"]), isolation
        assert text in server.log()
    assert server.health()["cpu"] == "none", "without a cgroup nothing shares the processors"
    assert "  cpu        none: " in server.log()


def test_nothing_of_it_is_root(server: Server, walk: str) -> None:
    """Server, launcher, zygotes and functions are all the user's own on the machine."""
    server.invoke(walk, {"do": "list"})
    below = descendants(server.process.pid)
    assert len(below) > 4
    assert _users([server.process.pid, *below]) == {ordinary_user.UID}


def test_a_function_sees_itself_alone(server: Server, walk: str) -> None:
    """Neither the folders of the user whose process it is on the machine, nor his processes, nor his other functions."""
    paths = [os.fspath(server.data_dir), os.fspath(server.folder), "/root", "/home", "/sys", "/etc/shadow"]
    pids = [server.process.pid, *descendants(server.process.pid)]
    seen = server.invoke(walk, {"do": "look", "paths": paths, "pids": [pid for pid in pids if pid > 1000]})
    assert not any(seen["seen"].values()), seen
    assert seen["uid"] >= 20_000
    server.create_function("other", WALK)
    server.invoke("other", {"do": "write"})
    assert server.invoke(walk, {"do": "list"}) == []
    assert server.invoke("other", {"do": "list"}) == ["mine"]


def test_the_endpoint_is_reached_from_inside(server: Server, walk: str) -> None:
    """Functions use AWS's SDK against this server."""
    server.client("s3").create_bucket(Bucket="mine")
    assert "mine" in server.invoke(walk, {"do": "buckets"})


def test_timeouts_and_crashes_are_reset(server: Server) -> None:
    """A function that hangs or dies fails that invocation; the next one runs."""
    server.create_function("fragile", WALK, Timeout=3)
    assert "timed out" in _failure(server, "fragile", {"do": "sleep"})
    assert server.invoke("fragile", {"do": "list"}) == []
    assert "exit status 3" in _failure(server, "fragile", {"do": "exit"})
    assert server.invoke("fragile", {"do": "list"}) == []


def test_too_much_memory(server: Server, walk: str) -> None:
    """It is measured and the function killed, as AWS says it; the others go on."""
    server.create_function("greedy", WALK, MemorySize=128, Timeout=60)
    assert "signal: killed" in _failure(server, "greedy", {"do": "grow"})
    assert server.invoke(walk, {"do": "list"}) == []
    report = wait_until(
        lambda: [line for line in server.messages("/aws/lambda/greedy") if line.startswith("REPORT")], 20, "its report"
    )
    assert "Error Type: Runtime.OutOfMemory" in report[0]


def test_a_fork_bomb_comes_to_an_end(server: Server, walk: str) -> None:
    """The kernel counts processes by user namespace; other functions start theirs meanwhile."""
    server.create_function("bomb", WALK, Timeout=30, MemorySize=3008)
    assert 500 < server.invoke("bomb", {"do": "fork"}) < 1024
    assert server.invoke(walk, {"do": "list"}) == []


def test_nothing_is_left_behind_by_a_killed_server(home: Path) -> None:
    """kill -9: every process ends, nothing is mounted on the machine, and the next server of the folder has the functions."""
    server = OrdinaryUser(home).start()
    server.create_function("kept", WALK)
    assert server.invoke("kept", {"do": "list"}) == []
    below = descendants(server.process.pid)
    server.kill()
    wait_until(lambda: not any(is_running(pid) for pid in below), 20, "the end of all processes")
    assert os.fspath(server.folder) not in Path("/proc/self/mountinfo").read_text()
    server.start()
    assert server.invoke("kept", {"do": "list"}) == []
    assert server.stop() == 0
    shutil.rmtree(server.data_dir)  # nothing in it is anybody else's


def test_the_launcher_killed(home: Path) -> None:
    """Its end is that of every sandbox and of the server, which says so."""
    server = OrdinaryUser(home).start()
    server.create_function("kept", WALK)
    assert server.invoke("kept", {"do": "list"}) == []
    below = descendants(server.process.pid)
    os.kill(below[0], 9)
    assert server.process.wait(30) == 1
    assert "the launcher has ended" in server.log()
    wait_until(lambda: not any(is_running(pid) for pid in below), 20, "the end of all processes")


def test_cgroups_of_this_user(home: Path, own_cgroups: list[Path]) -> None:
    """In cgroups that an administrator has given to the user, the kernel holds memory and processors as with root."""
    places = [word for cgroup in own_cgroups for word in ("--join", os.fspath(cgroup))]
    server = OrdinaryUser(home, "--cpu", "strict", places=places).start()
    try:
        health = server.health()
        assert not any("cgroup" in weakness for weakness in health["isolation"]["weaknesses"]), health
        assert health["cpu"] == "strict"
        server.create_function("greedy", WALK, MemorySize=128, Timeout=60)
        assert server.invoke("greedy", {"do": "list"}) == []
        files = [file for cgroup in own_cgroups for file in cgroup.glob("lambdad-*/*/memory.limit_in_bytes")]
        assert 128 << 20 in map(_number, files)
        assert "signal: killed" in _failure(server, "greedy", {"do": "grow"})
        below = descendants(server.process.pid)
        server.kill()
        wait_until(lambda: not any(is_running(pid) for pid in below), 20, "the end of all processes")
        wait_until(lambda: not any(list(cgroup.glob("lambdad-*")) for cgroup in own_cgroups), 20, "the end of all cgroups")
    finally:
        if server.process.poll() is None:
            server.kill()


def test_a_quota_of_processors_needs_a_cgroup(home: Path) -> None:
    """--cpu strict without a cgroup is refused, with what would give one."""
    server = OrdinaryUser(home, "--cpu", "strict")
    with pytest.raises(AssertionError, match="lambdad ended with 1"):
        server.start()
    assert "--cpu strict needs a cgroup" in server.log()
    assert "Delegate=yes" in server.log()


def test_a_way_out_needs_root(server: Server, home: Path) -> None:
    """By default functions have none, and `health` says why; asked for, it is refused."""
    assert server.health()["network"]["mode"] == "none"
    assert "takes root" in json.dumps(server.health()["network"])
    refused = OrdinaryUser(home, "--network", "nat")
    with pytest.raises(AssertionError, match="lambdad ended with 1"):
        refused.start()
    assert "--network nat cannot be had" in refused.log()


def test_where_user_namespaces_are_forbidden(home: Path) -> None:
    """The server does not start, and says which setting of the machine forbids them and which would allow them."""
    server = OrdinaryUser(home)
    limit = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    server.prefix = [*server.prefix[:-1], "unshare", "--user", "--map-root-user", "sh", "-c", limit, "sh", sys.executable]
    with pytest.raises(AssertionError, match="lambdad ended with 1"):
        server.start()
    assert "Functions cannot be isolated here" in server.log()
    assert "user.max_user_namespaces" in server.log()
    assert "--isolation process" in server.log()


@pytest.mark.skipif(shutil.which("newuidmap") is None, reason="needs newuidmap (Debian: apt-get install uidmap)")
def test_users_of_their_own(home: Path) -> None:
    """With a range of ids for the user every environment is somebody else on the machine, and a stranger in its folders."""
    shown = {
        "/etc/passwd": "root:x:0:0::/root:/bin/sh\\nada:x:33456:33456::/tmp:/bin/sh\\n",
        "/etc/subuid": "ada:300000:65536\\n",
        "/etc/subgid": "ada:400000:65536\\n",
    }
    places = [word for file in shown for word in ("--show", f"{file}={shown[file]}")]
    arn = "arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/fsap-0123456789abcdef"
    for name, mode in (("open", 0o777), ("closed", 0o770)):
        (home / name).mkdir()
        (home / name).chmod(mode)
        os.chown(home / name, ordinary_user.UID, ordinary_user.UID)
    folders = f"{arn}0={home}/open,{arn}1={home}/closed"
    server = OrdinaryUser(home, "--file-systems", folders, places=places).start()
    try:
        assert any("mount folders as strangers" in weakness for weakness in server.health()["isolation"]["weaknesses"])
        for digit, name in enumerate(("open", "closed")):
            server.create_function(name, STORE, FileSystemConfigs=[{"Arn": f"{arn}{digit}", "LocalMountPath": "/mnt/data"}])
        assert server.invoke("open", {}) == "written"
        assert 300_000 <= (home / "open/file").stat().st_uid < 365_536
        assert f"chmod o+rwx {home}/closed" in _failure(server, "closed", {})
        assert not any("functions run as" in weakness for weakness in server.health()["isolation"]["weaknesses"])
        for name in ("one", "two"):
            server.create_function(name, WALK)
            server.invoke(name, {"do": "write"})
        owners = _users(descendants(server.process.pid))
        assert len({owner for owner in owners if 300_000 <= owner < 365_536}) >= 2
        assert owners <= {ordinary_user.UID, *range(300_000, 365_536)}
    finally:
        assert server.stop() == 0, server.log()
    shutil.rmtree(server.data_dir)


@pytest.fixture
def own_cgroups() -> Iterator[list[Path]]:
    """One in each hierarchy of version 1, given to the ordinary user."""
    names = ("memory", "pids", "cpu", "freezer")
    if not all((CGROUPS / name / "cgroup.procs").exists() for name in names):
        pytest.skip("needs cgroups of version 1")
    made = [CGROUPS / name / "lambdad-test-ordinary-user" for name in names]
    for folder in made:
        folder.mkdir(exist_ok=True)
        for path in (folder, folder / "cgroup.procs"):
            os.chown(path, ordinary_user.UID, ordinary_user.UID)
    yield made
    for folder in made:
        wait_until(lambda folder=folder: not (folder / "cgroup.procs").read_text(), 10, "empty cgroups")
        folder.rmdir()


def _failure(server: Server, name: str, event: Any) -> str:
    """The error's message."""
    try:
        answer = server.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode())
    except botocore.exceptions.ClientError as error:
        return str(error)
    assert "FunctionError" in answer
    return str(json.loads(answer["Payload"].read())["errorMessage"])


def _users(pids: list[int]) -> set[int]:
    """Those of the processes that have not ended meanwhile."""
    found = set()
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.add(int(Path(f"/proc/{pid}/status").read_text().split("Uid:")[1].split()[0]))
    return found


def _number(file: Path) -> int | None:
    """What is in it, if its sandbox has not just ended."""
    with contextlib.suppress(OSError):
        return int(file.read_text())
    return None


def test_a_function_runs_from_an_image_in_its_own_files(server: Server) -> None:
    """Without root as with it: its files, read-only, and none of this machine's."""
    made = image([Entry("probe", probe_program(), mode=0o755)], [Entry("etc/mine", b"1")], Entrypoint=["/probe"])
    server.client("ecr").create_repository(repositoryName="rootless")
    RegistryClient(server.endpoint, "rootless").push(made, "v1")
    lambda_ = server.client("lambda")
    code = {"ImageUri": f"localhost:{server.port}/rootless:v1"}
    lambda_.create_function(FunctionName="image", Role=ROLE, PackageType="Image", Code=code, Timeout=30)
    server.wait_active("image")
    assert set(server.invoke("image", "list /")) == {"dev", "etc", "mnt", "probe", "proc", "run", "tmp", "var"}
    assert server.invoke("image", "read /etc/mine") == "1"
    assert server.invoke("image", "write /etc/mine").startswith("errno ")
    assert server.invoke("image", "write /tmp/new") == "written"
