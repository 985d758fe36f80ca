"""Images taken into the store: from a folder, a file and a registry, every part checked, and kept only whole."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import socket
import tarfile
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lambdad.images.archive import DockerArchive
from lambdad.images.document import Descriptor, MalformedImage
from lambdad.images.layout import Layout
from lambdad.images.proven_parts import ProvenParts
from lambdad.images.pull import pulled, pulled_layers
from lambdad.images.registry import Registry, RegistryRepository
from lambdad.images.source import ImageSource, MissingImage
from lambdad.model.image import Image
from lambdad.store.base import refer
from lambdad.store.files import FileBlobs
from lambdad.store.sqlite import SqliteStore
from support.image_layers import Entry
from support.images import MANIFEST, HandMade, digest_of, image, write_archive, write_layout

MADE = image([Entry("a", b"1" * 100_000)], [Entry("b")], Cmd=["/b"])
OTHER = image([Entry("a", b"1" * 100_000)], [Entry("c")])
MOST, ACCOUNT = 1 << 30, "1" * 12


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "store.sqlite")
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def blobs(tmp_path: Path, store: SqliteStore) -> AsyncIterator[FileBlobs]:
    made = FileBlobs(tmp_path / "blobs", store)
    await made.open()
    yield made
    await made.close()


@asynccontextmanager
async def whole(source: ImageSource, blobs: FileBlobs) -> AsyncIterator[Image]:
    """The image v1 with its layers."""
    proven = ProvenParts().of(ACCOUNT)
    async with (
        pulled(source, "v1", "x86_64", blobs, proven, MOST) as taken,
        pulled_layers(source, taken, blobs, proven),
    ):
        yield taken


def kept(blobs: FileBlobs, tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "blobs").rglob("*") if path.is_file()}


@pytest.fixture(params=["layout", "archive"])
def local(request: pytest.FixtureRequest, tmp_path: Path) -> ImageSource:
    if request.param == "layout":
        return Layout(write_layout(tmp_path / "layout", {"v1": MADE, "v2": OTHER}))
    return DockerArchive(write_archive(tmp_path / "saved.tar", {"app:v1": MADE, "app:v2": OTHER}))


async def test_an_image_on_this_machine_is_taken_whole(
    local: ImageSource, blobs: FileBlobs, store: SqliteStore, tmp_path: Path
) -> None:
    """Every part has its reference while it is pinned, and is gone after one that nobody referred to."""
    async with pulled(local, "v1", "x86_64", blobs, ProvenParts().of(ACCOUNT), MOST) as taken:
        assert taken.command.command == ("/b",)
        assert len(taken.layers) == 2
        await store.commit([refer(digest, "test") for digest in taken.blobs()])
    async with pulled(local, "v2", "x86_64", blobs, ProvenParts().of(ACCOUNT), MOST) as other:
        assert other.chain[0] == taken.chain[0]
        assert kept(blobs, tmp_path) >= set(other.blobs())
    assert kept(blobs, tmp_path) == set(taken.blobs())
    await local.close()


async def test_a_part_of_somebody_elses_is_not_had_by_its_digest(tmp_path: Path, blobs: FileBlobs, store: SqliteStore) -> None:
    """It is in the store, but not where the image comes from: nothing there, something else, or what begins like it, ends like
    it and is as long. Who has shown that it has it is not asked for all of it again."""
    made = image([Entry("large", os.urandom(3 << 20))])
    content = list(made.blobs.values())[-1]
    async with blobs.receive() as writer:
        await writer.write(content)
        await store.commit([refer((await writer.finish()).digest, "somebody else")])
    layout, proven = write_layout(tmp_path / "layout", {"v1": made}), ProvenParts()
    part = layout / "blobs/sha256" / list(made.blobs)[-1][7:]
    middle = len(content) // 2
    similar = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]

    async def pull(account_id: str) -> None:
        async with pulled(Layout(layout), None, "x86_64", blobs, proven.of(account_id), MOST):
            pass

    for wrong in (b"", b"something else", similar):
        part.write_bytes(wrong)
        with pytest.raises(MalformedImage, match="something else"):
            await pull(ACCOUNT)
    part.unlink()
    with pytest.raises(MissingImage):
        await pull(ACCOUNT)
    part.write_bytes(content)
    await pull(ACCOUNT)
    part.write_bytes(similar)
    await pull(ACCOUNT)
    with pytest.raises(MalformedImage, match="something else"):
        await pull("2" * 12)
    assert len(kept(blobs, tmp_path)) == 1


async def test_an_image_must_be_named_where_there_are_several(local: ImageSource) -> None:
    """And one that is not there is missing, by the names of those that are."""
    with pytest.raises(MissingImage, match="say which"):
        await local.document(None)
    with pytest.raises(MissingImage, match="v9"):
        await local.document("v9")
    await local.close()


@pytest.mark.parametrize("file", ["oci-layout", "index.json", f"blobs/sha256/{digest_of(MADE.config)[7:]}"])
async def test_a_layout_with_a_piece_missing_is_refused(tmp_path: Path, blobs: FileBlobs, file: str) -> None:
    """By the path of what is missing, and nothing of it stays."""
    layout = write_layout(tmp_path / "layout", {"v1": MADE})
    (layout / file).unlink()
    with pytest.raises(MissingImage, match=file.rpartition("/")[2]):
        async with pulled(Layout(layout), None, "x86_64", blobs, ProvenParts().of(ACCOUNT), MOST):
            pass
    assert kept(blobs, tmp_path) == set()


async def test_a_part_that_is_not_what_it_is_called_is_refused(tmp_path: Path, blobs: FileBlobs) -> None:
    """Be it changed, longer or cut short; parts before it do not stay either."""
    layout = write_layout(tmp_path / "layout", {"v1": MADE})
    part = layout / "blobs/sha256" / list(MADE.blobs)[-1][7:]
    whole = part.read_bytes()
    for wrong in (whole[:-1] + b"x", whole + b"x", whole[:-1], b""):
        part.write_bytes(wrong)
        with pytest.raises(MalformedImage):
            async with pulled(Layout(layout), None, "x86_64", blobs, ProvenParts().of(ACCOUNT), MOST):
                pass
        assert kept(blobs, tmp_path) == set()
    part.unlink()
    part.symlink_to("/etc/passwd")
    with pytest.raises(MissingImage):
        async with pulled(Layout(layout), None, "x86_64", blobs, ProvenParts().of(ACCOUNT), MOST):
            pass


async def test_an_image_that_cannot_run_here_is_refused(tmp_path: Path, blobs: FileBlobs) -> None:
    """One for another processor, one that is too large, one whose configuration counts other layers."""
    arm = image([Entry("a")], architecture="arm64")
    confused = json.loads(MADE.manifest)
    confused["layers"].pop()
    data = json.dumps(confused).encode()
    counted = HandMade(data, MADE.config, MADE.tars, MADE.blobs)
    cases = {
        "for arm64, and not for x86_64": (arm, MOST),
        "more than 10 bytes": (MADE, 10),
        "numbers of layers": (counted, MOST),
    }
    for number, (reason, (made, most)) in enumerate(cases.items()):
        layout = Layout(write_layout(tmp_path / f"layout-{number}", {"v": made}))
        with pytest.raises(MalformedImage, match=reason):
            async with pulled(layout, None, "x86_64", blobs, ProvenParts().of(ACCOUNT), most):
                pass


async def test_a_layer_of_a_saved_image_may_be_a_link_to_another(tmp_path: Path, blobs: FileBlobs) -> None:
    """As older versions of Docker wrote those that are the same, in whichever order."""
    twice = image([Entry("a")], [Entry("a")])
    config = json.dumps([{"Config": "config.json", "RepoTags": None, "Layers": ["one/layer.tar", "two/layer.tar"]}]).encode()
    with tarfile.open(tmp_path / "saved.tar", "w") as tar:
        first = tarfile.TarInfo("one/layer.tar")
        first.type, first.linkname = tarfile.SYMTYPE, "../two/layer.tar"
        tar.addfile(first)
        for name, data in {"two/layer.tar": twice.tars[0], "config.json": twice.config, "manifest.json": config}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    source = DockerArchive(tmp_path / "saved.tar")
    async with pulled(source, None, "x86_64", blobs, ProvenParts().of(ACCOUNT), MOST) as taken:
        assert [layer.size for layer in taken.layers] == [len(tar) for tar in twice.tars]
    await source.close()


async def test_a_part_has_the_size_that_was_said(tmp_path: Path, blobs: FileBlobs, store: SqliteStore) -> None:
    """The bound on what is taken in is one on what is said; also of a part that is there already."""
    layouts = []
    for step in (1, -1):
        changed = json.loads(MADE.manifest)
        changed["layers"][1]["size"] += step
        made = HandMade(json.dumps(changed).encode(), MADE.config, MADE.tars, MADE.blobs)
        layouts.append(Layout(write_layout(tmp_path / f"{step}", {"v": made})))

    proven = ProvenParts().of(ACCOUNT)

    async def are_refused() -> None:
        for layout in layouts:
            with pytest.raises(MalformedImage, match="than was said of it"):
                async with pulled(layout, None, "x86_64", blobs, proven, MOST):
                    pass

    await are_refused()
    good = Layout(write_layout(tmp_path / "good", {"v": MADE}))
    async with pulled(good, None, "x86_64", blobs, proven, MOST) as taken:
        await store.commit([refer(digest, "test") for digest in taken.blobs()])
    await are_refused()
    assert kept(blobs, tmp_path) == set(taken.blobs())


async def test_a_saved_file_is_a_file_of_its_size(tmp_path: Path) -> None:
    """Not a pipe that nobody writes to, not one that says it is endless, and no layer a hundred thousand times."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MissingImage, match="not a file"):
        await DockerArchive(tmp_path / "pipe").document(None)
    config = json.dumps([{"Config": "c.json", "RepoTags": None, "Layers": ["l"] * 100_000}]).encode()
    sparse = tarfile.TarInfo("l")
    sparse.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 60), "GNU.sparse.name": "l"}
    for name, more, reason in (("many", [], "100000 layers"), ("sparse", [sparse], "sparse")):
        with tarfile.open(tmp_path / name, "w", format=tarfile.PAX_FORMAT) as tar:
            member = tarfile.TarInfo("manifest.json")
            member.size = len(config)
            tar.addfile(member, io.BytesIO(config))
            for each in more:
                tar.addfile(each)
        source = DockerArchive(tmp_path / name)
        with pytest.raises(MalformedImage, match=reason):
            await source.document(None)
        await source.close()


class _Announced:
    """A source whose image has a configuration of a size that nobody checks; counts what is read and let go of."""

    is_remote = False
    is_checked = False

    def __init__(self, size: int) -> None:
        manifest = json.loads(MADE.manifest)
        manifest["config"]["size"] = size
        self._manifest = json.dumps(manifest).encode()
        self.read = self.closed = 0

    async def document(self, name: str | None) -> tuple[bytes, str]:
        return self._manifest, MANIFEST

    async def blob(self, descriptor: Descriptor) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                self.read += 1
                yield bytes(1 << 20)
        finally:
            self.closed += 1

    async def close(self) -> None:
        """Nothing is open."""


async def test_a_configuration_is_a_document_of_bounded_size(blobs: FileBlobs) -> None:
    """However large it says it is: it would be in memory as a whole."""
    source = _Announced(1 << 40)
    with pytest.raises(MalformedImage, match="configuration has more than"):
        async with pulled(source, None, "x86_64", blobs, ProvenParts().of(ACCOUNT), MOST):
            pass
    assert source.read == 0


async def test_a_part_that_is_not_read_to_its_end_is_let_go_of(blobs: FileBlobs) -> None:
    """Before its source is closed, which may be a connection."""
    source = _Announced(1000)
    with pytest.raises(MalformedImage, match="longer than was said"):
        async with pulled(source, None, "x86_64", blobs, ProvenParts().of(ACCOUNT), MOST):
            pass
    assert source.closed == 1


async def test_what_docker_save_did_not_write_is_refused(tmp_path: Path) -> None:
    """A file that is no tar, a tar of something else, nothing at all."""
    (tmp_path / "text").write_text("no tar")
    for file in ("text", "missing"):
        with pytest.raises(MissingImage):
            await DockerArchive(tmp_path / file).document(None)


class _Registry(BaseHTTPRequestHandler):
    """A registry that gives tokens, and sends one to another host for the bytes."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str]] = []
    tokens = 1  #: given so far, and one
    token_uses = 1000
    uses = 0

    def do_GET(self) -> None:
        said = self.headers.get("Authorization", "")
        self.seen.append((self.path.partition("?")[0], said))
        if self.path.startswith("/token"):
            is_known = said == "Basic dXNlcjpwYXNz"
            cls = type(self)
            cls.tokens, cls.uses = cls.tokens + 1, 0
            token = json.dumps({"token": f"t{self.tokens}"}).encode()
            self._answer(200 if is_known else 401, token if is_known else b"{}")
        elif self.path.startswith("/bytes/"):
            self._answer(200, MADE.blobs[self.path.removeprefix("/bytes/")])
        elif said != f"Bearer t{self.tokens}" or self.uses >= self.token_uses:
            host = self.headers["Host"]
            self._answer(401, b"", ("WWW-Authenticate", f'Bearer realm="http://{host}/token",service="s"'))
        elif "/manifests/v1" in self.path:
            type(self).uses += 1
            self._answer(200, MADE.manifest, ("Content-Type", MANIFEST))
        elif "/blobs/" in self.path:
            type(self).uses += 1
            where = f"http://{self.headers['Host']}/bytes/{self.path.rpartition('/')[2]}"
            self._answer(307, b"", ("Location", where))
        else:
            self._answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')

    def _answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """The tests' output is quiet."""


@contextmanager
def registry(handler: type[_Registry] = _Registry) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


async def test_an_image_of_a_registry_is_taken_with_a_password(blobs: FileBlobs, tmp_path: Path) -> None:
    """The registry's challenge is answered once, and what it redirects to is followed; its layers come by themselves."""
    with registry() as host:
        source = RegistryRepository(Registry(host, "user", "pass", is_insecure=True), "team/app")
        async with (
            pulled(source, "v1", "x86_64", blobs, ProvenParts().of(ACCOUNT), MOST) as taken,
            pulled_layers(source, taken, blobs, ProvenParts().of(ACCOUNT)),
        ):
            assert set(taken.blobs()) == {digest[7:] for digest in (MADE.digest, *MADE.blobs)}
            assert kept(blobs, tmp_path) == set(taken.blobs())
        with pytest.raises(MissingImage, match="404"):
            await source.document("v2")
        await source.close()


class _ImpatientRegistry(_Registry):
    """Its tokens are good for two requests."""

    token_uses = 2


async def test_a_token_may_end_before_the_image_is_there(blobs: FileBlobs) -> None:
    """Large images take longer than the five minutes for which registries give them: another is asked for."""
    with registry(_ImpatientRegistry) as host:
        source = RegistryRepository(Registry(host, "user", "pass", is_insecure=True), "team/app")
        async with (
            pulled(source, "v1", "x86_64", blobs, ProvenParts().of(ACCOUNT), MOST) as taken,
            pulled_layers(source, taken, blobs, ProvenParts().of(ACCOUNT)),
        ):
            assert len(taken.layers) == 2
        await source.close()
    assert _ImpatientRegistry.tokens > 2


async def test_a_registry_that_wants_a_password_says_so(blobs: FileBlobs) -> None:
    """And one that cannot be reached, or would be asked without TLS, is named."""
    with registry() as host:
        source = RegistryRepository(Registry(host, is_insecure=True), "team/app")
        with pytest.raises(MissingImage, match="no token"):
            await source.document("v1")
        await source.close()
        secure = RegistryRepository(Registry(host), "team/app")
        with pytest.raises(MissingImage, match="cannot be reached"):
            await secure.document("v1")
        await secure.close()


class _BreakingRegistry(_Registry):
    """Says more of a part than it sends."""

    def _answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        if self.path.startswith("/bytes/"):
            self.close_connection = True
            headers = (*headers, ("Content-Length", str(len(body) + 5)))
        super()._answer(status, body, *headers)


async def test_a_part_that_breaks_off_is_not_taken(blobs: FileBlobs, tmp_path: Path) -> None:
    """It says so, and nothing of it stays."""
    with registry(_BreakingRegistry) as host:
        source = RegistryRepository(Registry(host, "user", "pass", is_insecure=True), "team/app")
        with pytest.raises(MissingImage, match="broke off"):
            async with pulled(source, "v1", "x86_64", blobs, ProvenParts().of(ACCOUNT), MOST):
                pass
        await source.close()
    assert kept(blobs, tmp_path) == set()


@contextmanager
def endless_registry(said: bytes) -> Iterator[tuple[str, threading.Event]]:
    """Takes one connection, says this again and again without an end, or nothing, until the other side has closed.

    Yields the address, and what is set when the connection has been taken.
    """
    taken = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)

        def has_ended(connection: socket.socket) -> bool:
            try:
                return not connection.recv(65536)
            except TimeoutError:
                return False

        def serve() -> None:
            try:
                connection = listener.accept()[0]
            except TimeoutError:
                return
            with connection:
                taken.set()
                connection.settimeout(0.01)
                with contextlib.suppress(ConnectionError):
                    while not has_ended(connection):
                        connection.send(said)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}", taken
        finally:
            thread.join(60)
        assert not thread.is_alive(), "the connection is still there"


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"x"], ids=["silence", "patience", "a letter"])
async def test_a_registry_has_so_long_and_no_longer(said: bytes) -> None:
    """However it goes about it; the connection is given up."""
    with endless_registry(said) as (host, _):
        source = RegistryRepository(Registry(host, is_insecure=True), "team/app", seconds=0.3)
        with pytest.raises(MissingImage, match=f"{host} has not sent it within"):
            await source.document("v1")
        with pytest.raises(MissingImage, match="has not sent it within"):
            await source.document("v1")
        await source.close()


async def test_whoever_gives_up_leaves_no_connection_behind() -> None:
    """The registry sees its end, though it never said anything."""
    with endless_registry(b"") as (host, taken):
        source = RegistryRepository(Registry(host, is_insecure=True), "team/app")
        asking = asyncio.create_task(source.document("v1"))
        assert await asyncio.to_thread(taken.wait, 30)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await source.close()
