"""What an OCI runtime is told, as a document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lambdad.sandbox.oci_bundle import Root, Ways, configuration, write_bundle
from lambdad.sandbox.records import FileSystemMount, Program, Start

PROGRAM = Program("python3.11", "/opt/py/bin/python3.11", "/opt/py", "/cache/runtime")
START = Start("one", PROGRAM, "/code/task", "/code/layers", 1769, 512)
USUAL = Ways(memory_besides_mb=0, init_capabilities=())


def made(start: Start = START, ways: Ways = USUAL, shown: tuple[Path, ...] = (Path("/usr"),)) -> Any:
    root = Root(Path("/state/root"), shown)
    document = configuration(start, root, Path("/bundle"), 20_007, Path("/proc/1/fd/9"), "/lambdad-x/7", ways)
    return json.loads(json.dumps(document))


def test_nothing_is_granted() -> None:
    """The process has its user, no capability, no way to one, and few descriptors."""
    process = made()["process"]
    assert (process["user"]["uid"], process["user"]["gid"]) == (20_007, 20_007)
    assert set(process["capabilities"]) == {"bounding", "effective", "inheritable", "permitted", "ambient"}
    assert not any(process["capabilities"].values())
    assert process["noNewPrivileges"] is True
    assert {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024} in process["rlimits"]
    assert process["args"][0] == "/var/lang/bin/python3.11"
    assert process["args"][-2:] == ["20007", "null"]


def test_a_root_of_the_runtimes_own_kernel() -> None:
    """Where the init is root, it is told whom to become, and what it starts inherits nothing."""
    process = made(ways=Ways(64, ("CAP_KILL",), ("/sys",)))["process"]
    assert (process["user"]["uid"], process["args"][-2]) == (0, "20007")
    assert process["capabilities"]["effective"] == process["capabilities"]["bounding"] == ["CAP_KILL"]
    assert process["capabilities"]["ambient"] == process["capabilities"]["inheritable"] == []


def test_namespaces() -> None:
    """All are its own, and the network is the one that was made for it."""
    namespaces = {each["type"]: each.get("path") for each in made()["linux"]["namespaces"]}
    assert namespaces == {"pid": None, "mount": None, "ipc": None, "uts": None, "cgroup": None, "network": "/proc/1/fd/9"}


def test_limits() -> None:
    """Memory with what the runtime itself needs, processes, the share of a processor, no devices."""
    linux = made(ways=Ways(64, ()))["linux"]
    assert linux["cgroupsPath"] == "/lambdad-x/7"
    assert linux["resources"]["memory"] == {"limit": 1833 << 20, "swap": 1833 << 20}
    assert linux["resources"]["pids"] == {"limit": 1024}
    assert linux["resources"]["cpu"] == {"shares": 1024}
    assert linux["resources"]["devices"] == [{"allow": False, "access": "rwm"}]


def test_mounts() -> None:
    """Whatever comes from the machine is read-only and without set-user-id programs; /tmp has its size."""
    document = made()
    mounts = {each["destination"]: each for each in document["mounts"]}
    assert document["root"] == {"path": "/state/root", "readonly": True}
    bound = {target: mount["source"] for target, mount in mounts.items() if mount["type"] == "bind"}
    assert bound.pop("/var/lambdad").endswith("/sandbox/zygote")
    assert bound == {
        "/usr": "/usr",
        "/run": "/bundle/run",
        "/var/lang": "/opt/py",
        "/var/runtime": "/cache/runtime",
        "/var/task": "/code/task",
        "/opt": "/code/layers",
    }
    for target in (*bound, "/var/lambdad"):
        assert {"ro", "nosuid", "nodev"} <= set(mounts[target]["options"])
    assert {"size=512m", "nosuid", "nodev", "mode=1777"} <= set(mounts["/tmp"]["options"])
    assert "hidepid=2" in mounts["/proc"]["options"]


def test_without_layers_and_with_the_systems_language() -> None:
    """There is no /opt and no /var/lang then."""
    start = Start("one", Program("p", "/usr/bin/python3", "/usr", "/cache/runtime"), "/code/task", None, 128, 512)
    document = made(start)
    targets = {each["destination"] for each in document["mounts"]}
    assert not targets & {"/opt", "/var/lang"}
    assert document["process"]["args"][0] == "/usr/bin/python3"


OF_IMAGE = Program(
    "image-1", "/opt/py/bin/python3.11", "/opt/py", "/code/image", python_root="/opt/py", image_root="/code/image"
)
IMAGE = Start("one", OF_IMAGE, None, None, 128, 512)


def test_an_image() -> None:
    """It is a folder with all that is a sandbox's own; the init may go into it, and has no other right."""
    document = made(IMAGE)
    mounts = {each["destination"]: each for each in document["mounts"]}
    image = {target.removeprefix("/var/task") or "/": mount for target, mount in mounts.items() if "/var/task" in target}
    bound = {target: mount["source"] for target, mount in image.items() if mount["type"] == "bind"}
    devices = {f"/dev/{name}": f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom")}
    written = {f"/etc/{name}": f"/state/root/etc/{name}" for name in ("hosts", "resolv.conf")}
    assert bound == {"/": "/code/image", "/dev": "/bundle/dev", "/run": "/bundle/run", **written, **devices}
    for target in ("/", "/dev", "/run", *written):
        assert {"ro", "nosuid", "nodev"} <= set(image[target]["options"])
    assert ("hidepid=2" in image["/proc"]["options"], "size=512m" in image["/tmp"]["options"]) == (True, True)
    assert "/var/runtime" not in mounts
    assert {"/proc/keys", "/var/task/proc/keys"} <= set(document["linux"]["maskedPaths"])
    process = document["process"]
    assert process["args"][-1] == "/var/task"
    assert all(rights == ["CAP_SYS_CHROOT"] for rights in process["capabilities"].values())
    refused = {name for rule in document["linux"]["seccomp"]["syscalls"] for name in rule["names"]}
    assert ("chroot" in refused, "pivot_root" in refused) == (False, True)


def test_an_image_where_the_machines_devices_cannot_be_shown() -> None:
    """The runtime has its own; and an init that is root hands nothing on."""
    document = made(IMAGE, Ways(64, ("CAP_KILL",), ("/sys",), has_devices=True))
    shown = [each for each in document["mounts"] if "/dev" in each["destination"]]
    assert {each["type"] for each in shown} == {"tmpfs", "devtmpfs", "dev"}
    capabilities = document["process"]["capabilities"]
    assert capabilities["effective"] == ["CAP_KILL", "CAP_SYS_CHROOT"]
    assert capabilities["ambient"] == capabilities["inheritable"] == []


def test_the_bundle(tmp_path: Path) -> None:
    """It has the document and the sandbox's own user table."""
    write_bundle(tmp_path, START, Root(tmp_path, ()), 20_007, Path("/proc/1/fd/9"), "/x/7", USUAL)
    assert json.loads((tmp_path / "config.json").read_bytes())["hostname"] == "sandbox"
    assert "sbx_user1051:x:20007:20007::/tmp:" in (tmp_path / "run/passwd").read_text()
    assert "sbx_user1051:x:20007:" in (tmp_path / "run/group").read_text()
    assert not (tmp_path / "dev").exists()


def test_the_bundle_of_an_image(tmp_path: Path) -> None:
    """It has the folder that devices are shown in."""
    write_bundle(tmp_path, IMAGE, Root(tmp_path, ()), 20_007, Path("/proc/1/fd/9"), "/x/7", USUAL)
    assert (tmp_path / "dev/null").is_file()
    assert (tmp_path / "dev/stdin").readlink() == Path("/proc/self/fd/0")


class TestRoot:
    def test_mounts_below_what_is_shown_are_shown(self, tmp_path: Path) -> None:
        """Each on its own, so that each is read-only; others are not there."""
        root = Root.make(tmp_path, [Path("/"), Path("/usr/local"), Path("/usr"), Path("/home"), Path("/usr/local/lib")])
        assert {Path("/usr"), Path("/usr/local"), Path("/usr/local/lib")} <= set(root.shown)
        assert Path("/home") not in root.shown
        assert len(set(root.shown)) == len(root.shown)
        assert list(root.shown).index(Path("/usr")) < list(root.shown).index(Path("/usr/local"))

    def test_it_has_places_for_all_that_is_mounted(self, tmp_path: Path) -> None:
        """A runtime could not make them in a file system that is read-only."""
        root = Root.make(tmp_path, [])
        for mount in made(shown=tuple(root.shown))["mounts"]:
            assert (tmp_path / mount["destination"][1:]).is_dir(), mount

    def test_tmp_is_everybodys(self, tmp_path: Path) -> None:
        """What covers it takes its mode."""
        Root.make(tmp_path, [])
        assert (tmp_path / "tmp").stat().st_mode & 0o7777 == 0o1777


@pytest.mark.parametrize("memory_mb", [128, 10_240])
def test_the_share_of_processors_has_bounds(memory_mb: int) -> None:
    """It grows with memory up to six processors, and is never too small for the kernel."""
    start = Start("one", PROGRAM, "/code/task", None, memory_mb, 512)
    assert 2 <= made(start)["linux"]["resources"]["cpu"]["shares"] <= 6 * 1024


def test_a_file_system() -> None:
    """It can be written to, without set-user-id programs and devices. Who has none has no such mount."""
    start = msgspec.structs.replace(START, file_system=FileSystemMount("arn", "data"))
    root = Root(Path("/state/root"), (Path("/usr"),))
    network = Path("/proc/1/fd/9")
    place = Path("/state/file-systems/7")
    document = configuration(start, root, Path("/bundle"), 20_007, network, "/lambdad-x/7", USUAL, place)
    *others, above, shown = document["mounts"]
    assert (above["destination"], above["type"]) == ("/mnt", "tmpfs")
    assert shown == {
        "destination": "/mnt/data",
        "type": "bind",
        "source": "/state/file-systems/7",
        "options": ["bind", "rw", "nosuid", "nodev"],
    }
    assert others == made()["mounts"]
    assert not [each for each in others if each["destination"].startswith("/mnt")]
