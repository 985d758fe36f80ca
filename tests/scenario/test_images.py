"""Functions from container images: from lambdad's registry, another one, a folder and a file; run in their own files only."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from support.image_layers import Entry, folder, link
from support.images import HandMade, RegistryClient, digest_of, image, write_archive, write_layout
from support.probe_program import probe_program
from support.server import ROLE, Server, running, wait_until, zipped

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def base() -> list[Entry]:
    """The layer that every image here begins with."""
    return [folder("app"), Entry("app/probe", probe_program(), mode=0o755), Entry("etc/os-release", b"handmade")]


@pytest.fixture(scope="module")
def probe(base: list[Entry]) -> HandMade:
    more = [Entry("app/data", b"1"), Entry("app/private", b"", mode=0o600), Entry(".wh.gone"), Entry("etc/hosts", b"1.1.1.1 x")]
    return image(
        [*base, Entry("gone")],
        more,
        compressions=["tar+gzip", "tar+zstd"],
        Entrypoint=["probe", "one"],
        Cmd=["two words"],
        Env=["PATH=/app", "AA=1"],
        WorkingDir="/app",
    )


@pytest.fixture(scope="module")
def pushed(server: Server, probe: HandMade) -> str:
    """Address of a repository that has the image as v1."""
    server.client("ecr").create_repository(repositoryName="functions/probe")
    RegistryClient(server.endpoint, "functions/probe").push(probe, "v1")
    return f"localhost:{server.port}/functions/probe"


def create(server: Server, name: str, uri: str, **settings: Any) -> dict[str, Any]:
    made = server.client("lambda").create_function(
        FunctionName=name, Role=ROLE, PackageType="Image", Code={"ImageUri": uri}, Timeout=15, **settings
    )
    server.wait_active(name)
    return dict(made)


def refused(call: Any, **parameters: Any) -> str:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    assert caught.value.response["Error"]["Code"] == "InvalidParameterValueException"
    return str(caught.value.response["Error"]["Message"])


def test_an_image_runs_as_it_says(server: Server, pushed: str, probe: HandMade) -> None:
    """Its entry point with its command, in its folder, with its variables and those of the function, as no privileged user."""
    made = create(server, "image-runs", f"{pushed}:v1", Environment={"Variables": {"AA": "2", "BB": "3"}})
    assert (made["PackageType"], made["CodeSize"], made["CodeSha256"]) == ("Image", 0, probe.digest[7:])
    assert not {"Runtime", "Handler", "Layers", "RuntimeVersionConfig"} & set(made)
    seen = server.invoke("image-runs")
    assert seen.pop("user") > 0
    assert seen == {"arguments": ["probe", "one", "two words"], "folder": "/app"}
    variables = {name: server.invoke("image-runs", f"env {name}") for name in ("AA", "BB", "PATH", "AWS_LAMBDA_FUNCTION_NAME")}
    assert variables == {"AA": "2", "BB": "3", "PATH": "/app", "AWS_LAMBDA_FUNCTION_NAME": "image-runs"}
    assert server.invoke("image-runs", "env _HANDLER") is None
    code = server.client("lambda").get_function(FunctionName="image-runs")["Code"]
    resolved = f"{pushed}@{probe.digest}"
    assert code == {"RepositoryType": "ECR", "ImageUri": f"{pushed}:v1", "ResolvedImageUri": resolved}


def test_an_image_sees_its_own_files_and_no_others(server: Server, pushed: str) -> None:
    """Read-only but for /tmp; with names and a network that are the sandbox's; nothing of this machine."""
    create(server, "image-files", f"{pushed}:v1")

    def ask(event: str) -> Any:
        return server.invoke("image-files", event)

    assert set(ask("list /")) == {"app", "dev", "etc", "mnt", "proc", "run", "tmp", "var"}
    assert set(ask("list /app")) == {"data", "private", "probe"}
    assert ask("read /etc/os-release") == "handmade"
    assert "sandbox" in ask("read /etc/hosts")
    assert ask("read /app/private") == "errno Permission denied"
    assert ask("write /app/new") == "errno Read-only file system"
    assert ask("write /etc/hosts") in ("errno Read-only file system", "errno Permission denied")
    assert ask("write /var/empty/x") in ("errno Read-only file system", "errno Permission denied")
    assert ask("write /tmp/new") == "written"
    assert ask("write /dev/null") == "written"
    assert ask("list /var/empty") == []
    assert len([name for name in ask("list /proc") if name.isdigit()]) == 1
    assert ask("read /proc/1/environ") == "errno No such file or directory"
    mounts = ask("read /proc/self/mounts")
    assert str(server.data_dir) not in mounts


def test_a_tag_that_moves_changes_no_function(server: Server, pushed: str, base: list[Entry]) -> None:
    """Until its code is updated; published versions keep theirs, also when the repository is gone and after a kill."""
    ecr, lambda_ = server.client("ecr"), server.client("lambda")
    ecr.create_repository(repositoryName="moving")
    registry = RegistryClient(server.endpoint, "moving")
    images = {tag: image(base, [Entry("etc/version", tag.encode())], Entrypoint=["/app/probe"]) for tag in ("first", "second")}
    registry.push(images["first"], "latest")
    uri = "000000000000.dkr.ecr.us-east-1.amazonaws.com/moving"
    create(server, "image-moving", uri)
    registry.push(images["second"], "latest")
    assert server.invoke("image-moving", "read /etc/version") == "first"
    published = lambda_.publish_version(FunctionName="image-moving", CodeSha256=images["first"].digest[7:])["Version"]
    updated = lambda_.update_function_code(FunctionName="image-moving", ImageUri=uri)
    assert updated["CodeSha256"] == images["second"].digest[7:]
    lambda_.get_waiter("function_updated_v2").wait(FunctionName="image-moving", WaiterConfig={"Delay": 1})
    ecr.delete_repository(repositoryName="moving", force=True)
    assert server.invoke("image-moving", "read /etc/version") == "second"
    answer = lambda_.invoke(FunctionName="image-moving", Qualifier=published, Payload=b'"read /etc/version"')
    assert json.loads(answer["Payload"].read()) == "first"


def test_the_functions_settings_take_the_place_of_the_images(server: Server, pushed: str) -> None:
    """Each part by itself, and none when they are taken away again."""
    config = {"EntryPoint": ["/app/probe"], "Command": ["x", "y"], "WorkingDirectory": "/etc"}
    made = create(server, "image-config", f"{pushed}:v1", ImageConfig=config)
    assert made["ImageConfigResponse"] == {"ImageConfig": config}
    seen = server.invoke("image-config")
    assert (seen["arguments"], seen["folder"]) == (["/app/probe", "x", "y"], "/etc")
    lambda_ = server.client("lambda")

    def configure(**config: Any) -> None:
        lambda_.update_function_configuration(FunctionName="image-config", ImageConfig=config)
        lambda_.get_waiter("function_updated_v2").wait(FunctionName="image-config", WaiterConfig={"Delay": 1})

    configure(Command=["{memory:80}"])
    assert server.invoke("image-config")["arguments"] == ["probe", "one", "{memory:80}"]
    configure()
    assert server.invoke("image-config")["arguments"] == ["probe", "one", "two words"]
    assert "ImageConfigResponse" not in lambda_.get_function_configuration(FunctionName="image-config")
    configure(EntryPoint=["/app/nowhere"])
    told = server.failure("image-config", {})
    assert told["errorType"] == "Runtime.InvalidEntrypoint"
    assert told["errorMessage"].endswith(" Error: fork/exec /app/nowhere: no such file or directory")
    configure(EntryPoint=["/etc/os-release"])
    assert server.failure("image-config", {})["errorType"] == "Runtime.InvalidEntrypoint"
    configure(WorkingDirectory="/nowhere")
    assert server.failure("image-config", {})["errorType"] == "Runtime.InvalidWorkingDir"
    configure()
    assert server.invoke("image-config")["folder"] == "/app"


def test_images_share_what_they_have_in_common(server: Server, base: list[Entry]) -> None:
    """A layer that two images begin with is on the disk once, and goes with the last of them."""
    server.client("ecr").create_repository(repositoryName="shared")
    registry = RegistryClient(server.endpoint, "shared")
    marker = os.urandom(16).hex().encode()
    lower = [*base, Entry("app/marker", marker)]
    for tag in ("one", "two"):
        registry.push(image(lower, [Entry("app/own", tag.encode())], Entrypoint=["/app/probe"]), tag)
        create(server, f"image-shared-{tag}", f"localhost:{server.port}/shared:{tag}")
    found = [path for path in (server.data_dir / "code").glob("*/tree/app/marker") if path.read_bytes() == marker]
    assert len(found) == 3  # the tree of the lower layer, and one of each image
    assert len({path.stat().st_ino for path in found}) == 1
    assert server.invoke("image-shared-two", "read /app/own") == "two"
    lambda_ = server.client("lambda")
    for tag in ("one", "two"):
        lambda_.delete_function(FunctionName=f"image-shared-{tag}")
    wait_until(lambda: not any(path.exists() for path in found), 30, "the removal of the trees")


def test_a_function_made_again_of_an_image_finds_its_files(server: Server, base: list[Entry]) -> None:
    """They went with the function before it; what was kept ready in them does not serve the new one."""
    server.client("ecr").create_repository(repositoryName="again")
    marker = os.urandom(16).hex()
    made = image([*base, Entry("app/marker", marker.encode())], Entrypoint=["/app/probe"])
    RegistryClient(server.endpoint, "again").push(made, "v1")
    for _ in range(2):
        create(server, "image-again", f"localhost:{server.port}/again:v1")
        assert server.invoke("image-again", "read /app/marker") == marker
        found = [path for path in (server.data_dir / "code").glob("*/tree/app/marker") if path.read_text() == marker]
        server.client("lambda").delete_function(FunctionName="image-again")
        wait_until(lambda found=found: not any(path.exists() for path in found), 30, "the removal of the tree")


def test_what_is_wrong_with_an_image_is_said_when_it_is_given(server: Server, pushed: str, base: list[Entry]) -> None:
    """No such image, one for another machine, a place that nobody allowed: AWS's error, with the reason."""
    server.client("ecr").create_repository(repositoryName="wrong-images")
    registry = RegistryClient(server.endpoint, "wrong-images")
    registry.push(image(base, architecture="arm64"), "arm")
    registry.push(attested(image(base)), "attestation")
    lambda_ = server.client("lambda")
    here = f"localhost:{server.port}"
    for uri, reason in {
        f"{pushed}:v9": "does not exist",
        f"{here}/nowhere:v1": "does not exist",
        f"{here}/wrong-images:arm": "for arm64, and not for x86_64",
        f"{here}/wrong-images:attestation": "application/vnd.in-toto+json",
        "registry.example.com/app:v1": "the setting registries does not name it",
        "oci:/etc": "the setting image_folders does not name it",
        "000000000000.dkr.ecr.eu-west-1.amazonaws.com/app:v1": "does not match the region",
        "nonsense": "is not valid",
        "localhost/../etc": "is not valid",
    }.items():
        image_function = {"FunctionName": "image-wrong", "Role": ROLE, "PackageType": "Image", "Code": {"ImageUri": uri}}
        assert reason in refused(lambda_.create_function, **image_function), uri
    with pytest.raises(lambda_.exceptions.ResourceNotFoundException):
        lambda_.get_function(FunctionName="image-wrong")


def attested(made: HandMade) -> HandMade:
    """What docker buildx puts beside an image: its "layers" are statements about it."""
    manifest = json.loads(made.manifest)
    manifest["layers"][0]["mediaType"] = "application/vnd.in-toto+json"
    return HandMade(json.dumps(manifest).encode(), made.config, made.tars, made.blobs)


def test_an_image_that_cannot_be_unpacked_fails_the_function(server: Server, base: list[Entry]) -> None:
    """A layer that is another than its configuration says, one that is no tar, a device: Failed, and InvalidImage."""
    server.client("ecr").create_repository(repositoryName="broken-images")
    registry = RegistryClient(server.endpoint, "broken-images")
    good = image(base, Entrypoint=["/app/probe"])
    other = image([*base, Entry("other")], Entrypoint=["/app/probe"])
    config = json.loads(good.config)
    config["rootfs"] = json.loads(other.config)["rootfs"]
    forged = json.dumps(config).encode()
    manifest = json.loads(good.manifest)
    manifest["config"] |= {"digest": digest_of(forged), "size": len(forged)}
    data = json.dumps(manifest).encode()
    registry.push(HandMade(data, forged, [], {**good.blobs, digest_of(forged): forged}), "forged")
    registry.push(image([*base, link("proc", "/app")], Entrypoint=["/app/probe"]), "link")
    lambda_ = server.client("lambda")
    for tag, reason in {"forged": "not the one that its configuration names", "link": "/proc is not a folder"}.items():
        uri = f"localhost:{server.port}/broken-images:{tag}"
        lambda_.create_function(FunctionName=f"image-{tag}", Role=ROLE, PackageType="Image", Code={"ImageUri": uri})

        def state(name: str = f"image-{tag}") -> dict[str, Any]:
            return dict(lambda_.get_function_configuration(FunctionName=name))

        wait_until(lambda: state()["State"] != "Pending", 60, "the image to be found broken")
        assert (state()["State"], state()["StateReasonCode"]) == ("Failed", "InvalidImage")
        assert reason in state()["StateReason"]


def test_zips_and_images_do_not_mix(server: Server, pushed: str) -> None:
    """What the one kind has the other is refused, when it is made and when it is changed."""
    lambda_, uri = server.client("lambda"), f"{pushed}:v1"
    zip_code = {"ZipFile": zipped({"lambda_function.py": "def handler(event, context): return 1"})}
    of_image = {"FunctionName": "image-mixed", "Role": ROLE, "PackageType": "Image", "Code": {"ImageUri": uri}}
    create_function = lambda_.create_function
    assert "ImageUri" in refused(create_function, **{**of_image, "Code": zip_code})
    assert "Runtime" in refused(create_function, **of_image, Runtime="python3.12")
    assert "Handler" in refused(create_function, **of_image, Handler="a.b")
    assert "SnapStart" in refused(create_function, **of_image, SnapStart={"ApplyOn": "PublishedVersions"})
    layer = lambda_.publish_layer_version(LayerName="mixed", Content=zip_code)["LayerVersionArn"]
    assert "Layers" in refused(create_function, **of_image, Layers=[layer])
    assert "ImageConfig" in refused(create_function, **{**of_image, "ImageConfig": {"Command": ["x" * 17_000]}})
    create(server, "image-mixed", uri)
    server.create_function("zip-mixed", "def handler(event, context): return 1")
    code, configuration = lambda_.update_function_code, lambda_.update_function_configuration
    assert "packageType Image" in refused(code, FunctionName="image-mixed", **zip_code)
    assert "packageType Zip" in refused(code, FunctionName="zip-mixed", ImageUri=uri)
    assert "Handler" in refused(configuration, FunctionName="image-mixed", Handler="a.b")
    assert "Runtime" in refused(configuration, FunctionName="image-mixed", Runtime="python3.12")
    assert "Zip" in refused(configuration, FunctionName="zip-mixed", ImageConfig={"Command": ["x"]})
    management = lambda_.put_runtime_management_config
    assert "container images" in refused(management, FunctionName="image-mixed", UpdateRuntimeOn="Auto")
    assert server.invoke("image-mixed")["folder"] == "/app"


class SlowRegistry(ThreadingHTTPServer):
    """Says at once what the image is, and sends its layers only once it may; without the first one if that is lost."""

    daemon_threads = True

    def __init__(self, made: HandMade) -> None:
        super().__init__(("127.0.0.1", 0), _SlowAnswers)
        self.made = made
        self.may_send = threading.Event()
        self.is_asked = threading.Event()
        self.has_lost_layer = False

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _SlowAnswers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        registry = self.server
        assert isinstance(registry, SlowRegistry)
        made, name = registry.made, self.path.rpartition("/")[2]
        content = made.manifest if "/manifests/" in self.path else made.blobs.get(name)
        if content not in (made.manifest, made.config):
            registry.is_asked.set()
            registry.may_send.wait(60)
            content = None if registry.has_lost_layer else content
        self.send_response(200 if content is not None else 404)
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *_: object) -> None:
        """The tests' output is quiet."""


@pytest.fixture(scope="module")
def slow(base: list[Entry]) -> Iterator[SlowRegistry]:
    made = image(base, [Entry("app/slow", os.urandom(8))], Entrypoint=["/app/probe"])
    with SlowRegistry(made) as registry:
        serving = threading.Thread(target=registry.serve_forever)
        serving.start()
        yield registry
        registry.may_send.set()
        registry.shutdown()
        serving.join()


@pytest.fixture(scope="module")
def other(
    tmp_path_factory: pytest.TempPathFactory, server: Server, pushed: str, probe: HandMade, slow: SlowRegistry
) -> Iterator[Server]:  # fmt: skip
    """A server that may take images from a folder and from the first server's registry, and has little room for them."""
    home = tmp_path_factory.mktemp("other")
    write_layout(home / "images/layout", {"v1": probe})
    write_archive(home / "images/saved.tar", {"probe:v1": probe})
    (home / "images/way-out").symlink_to("/etc")
    options = ["--image-folders", str(home / "images"), "--registries", f"http://127.0.0.1:{server.port},http://{slow.host}"]
    options += ["--image-disk-mb", "24"]
    with running(home, *options) as started:
        yield started


@pytest.mark.parametrize(
    "source", ["oci:{home}/images/layout", "oci:{home}/images/layout:v1", "docker-archive:{home}/images/saved.tar"]
)
def test_an_image_may_come_from_this_machine(other: Server, source: str) -> None:
    """From an OCI layout and from what `docker save` wrote, in a folder that the settings name."""
    name = f"from-{abs(hash(source))}"
    create(other, name, source.format(home=other.folder))
    assert other.invoke(name)["arguments"] == ["probe", "one", "two words"]


def test_an_image_may_come_from_a_registry_elsewhere(other: Server, server: Server, probe: HandMade) -> None:
    """That the settings name, and not from another; nor from where a link in a folder leads."""
    create(other, "from-elsewhere", f"127.0.0.1:{server.port}/functions/probe:v1")
    assert other.invoke("from-elsewhere")["folder"] == "/app"
    code = other.client("lambda").get_function(FunctionName="from-elsewhere")["Code"]
    assert code["ResolvedImageUri"] == f"127.0.0.1:{server.port}/functions/probe@{probe.digest}"
    lambda_ = other.client("lambda")
    parameters = {"FunctionName": "from-nowhere", "Role": ROLE, "PackageType": "Image"}
    uri = f"registry.example.com:{server.port}/functions/probe:v1"
    assert "registries" in refused(lambda_.create_function, **parameters, Code={"ImageUri": uri})
    outside = f"oci:{other.folder}/images/way-out"
    assert "image_folders" in refused(lambda_.create_function, **parameters, Code={"ImageUri": outside})


def test_layers_come_while_the_function_is_pending(other: Server, slow: SlowRegistry) -> None:
    """A registry that takes its time holds no request, and after a kill they are fetched again; one without them is named."""
    lambda_ = other.client("lambda")

    def make(name: str) -> None:
        code = {"ImageUri": f"{slow.host}/app:v1"}
        made = lambda_.create_function(FunctionName=name, Role=ROLE, PackageType="Image", Code=code, Timeout=15)
        assert (made["State"], made["CodeSha256"]) == ("Pending", slow.made.digest[7:])
        assert slow.is_asked.wait(30)

    def state(name: str) -> dict[str, Any]:
        return dict(other.client("lambda").get_function_configuration(FunctionName=name))

    make("slow")
    other.kill()
    slow.is_asked.clear()
    other.start()
    assert slow.is_asked.wait(30)
    assert state("slow")["State"] == "Pending"
    slow.may_send.set()
    other.wait_active("slow")
    assert set(other.invoke("slow", "list /app")) == {"slow", "probe"}
    slow.has_lost_layer = True  # they are in the store, but who asks for them anew must be able to have them
    make("lost")
    wait_until(lambda: state("lost")["State"] != "Pending", 60, "the layers to be missed")
    assert (state("lost")["State"], state("lost")["StateReasonCode"]) == ("Failed", "ImageAccessDenied")
    assert "answered 404 for blobs/sha256:" in state("lost")["StateReason"]
    configure = other.client("lambda").update_function_configuration
    configure(FunctionName="slow", ImageConfig={"Command": ["more"]})
    wait_until(lambda: state("slow")["LastUpdateStatus"] == "Successful", 60, "a change that needs no registry")
    assert other.invoke("slow")["arguments"] == ["/app/probe", "more"]
    for name in ("slow", "lost"):
        other.client("lambda").delete_function(FunctionName=name)


def test_an_image_that_has_no_room_fails_the_function(other: Server, base: list[Entry]) -> None:
    """It says so, leaves nothing, and others go on; when one of them makes room it can be made anew."""
    half = image(base, [Entry("app/half", bytes(12 << 20))], Entrypoint=["/app/probe"])
    more = image([*base, Entry("app/more")], [Entry("app/one", bytes(12 << 20))], Entrypoint=["/app/probe"])
    write_layout(other.folder / "images/large", {"half": half, "more": more})
    uri = f"oci:{other.folder}/images/large"
    before = _trees(other)  # among them perhaps some of functions that are deleted, on their way out
    create(other, "has-room", f"{uri}:half")
    made = _trees(other) - before
    assert made
    lambda_ = other.client("lambda")
    lambda_.create_function(FunctionName="no-room", Role=ROLE, PackageType="Image", Code={"ImageUri": f"{uri}:more"})

    def state() -> dict[str, Any]:
        return dict(lambda_.get_function_configuration(FunctionName="no-room"))

    wait_until(lambda: state()["State"] != "Pending", 60, "the image to be found too large")
    assert (state()["State"], state()["StateReasonCode"]) == ("Failed", "InsufficientCapacity")
    assert "no more room" in state()["StateReason"]
    wait_until(lambda: _trees(other) <= before | made, 30, "nothing of it to be left")
    assert other.invoke("has-room")["folder"] == "/"
    lambda_.delete_function(FunctionName="has-room")
    wait_until(lambda: not made <= _trees(other), 30, "its files to be gone")
    lambda_.delete_function(FunctionName="no-room")
    create(other, "no-room", f"{uri}:more")
    assert other.invoke("no-room")["folder"] == "/"
    lambda_.delete_function(FunctionName="no-room")


def _trees(server: Server) -> set[str]:
    return set(os.listdir(server.data_dir / "code"))


def test_an_image_is_kept_over_a_kill(other: Server) -> None:
    """It is in the store when CreateFunction has answered; what it came from may be gone."""
    create(other, "kept", f"docker-archive:{other.folder}/images/saved.tar:probe:v1")
    (other.folder / "images/saved.tar").unlink()
    other.kill()
    other.start()
    assert other.invoke("kept")["folder"] == "/app"


def test_without_isolation_there_are_no_images(tmp_path: Path) -> None:
    """Their files would need a root folder of their own; the refusal says so."""
    with running(tmp_path, isolation="process") as plain:
        plain.client("ecr").create_repository(repositoryName="app")
        parameters = {"FunctionName": "f", "Role": ROLE, "PackageType": "Image"}
        message = refused(
            plain.client("lambda").create_function, **parameters, Code={"ImageUri": f"localhost:{plain.port}/app:v1"}
        )
        assert "no root folder of their own" in message
