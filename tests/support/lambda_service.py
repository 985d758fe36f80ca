"""A Lambda service over a memory store, real blobs and the real code store; the sandbox and the data plane are fakes."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import itertools
import shutil
import zipfile
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec.structs

from lambdad.delivery import Delivery
from lambdad.errors import SandboxError, ServiceError
from lambdad.event_queue.queue import EventQueue
from lambdad.images.places import ImagePlaces
from lambdad.images.proven_parts import ProvenParts
from lambdad.images.source import ImageSource, MissingImage
from lambdad.invocation.code import CodeStore
from lambdad.invocation.managed import ManagedPlan
from lambdad.model.function import Failure
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.managed import ProviderKey
from lambdad.model.provisioned_concurrency import ProvisionedKey, ProvisionedPlan, ProvisionedStatus
from lambdad.model.quota import quotas
from lambdad.model.request import Principal, RequestContext, Response
from lambdad.model.runtime_version import RuntimeVersion, runtime_version
from lambdad.model.version import EnvironmentKey, Version
from lambdad.sandbox.base import UnpackLimits, UnpackReport
from lambdad.services.lambda_.archive import Archives
from lambdad.services.lambda_.code_location import CodeLocations
from lambdad.services.lambda_.function_table import FunctionTable
from lambdad.services.lambda_.image import ImageIntake
from lambdad.services.lambda_.image_fetch import ImageFetch
from lambdad.services.lambda_.managed_planner import ManagedPlanner
from lambdad.services.lambda_.operations import OPERATIONS
from lambdad.services.lambda_.provisioner import Provisioner
from lambdad.services.lambda_.receiver import LambdaReceiver
from lambdad.services.lambda_.reclaiming import Reclaimer
from lambdad.services.lambda_.records import LambdaRecords
from lambdad.services.lambda_.settling import Settler
from lambdad.services.lambda_.state import LambdaState
from lambdad.services.lambda_.stored_function import FunctionKey
from lambdad.services.signer.records import SignerRecords
from lambdad.services.signer.trust import SignatureTrust
from lambdad.store.files import FileBlobs
from lambdad.store.memory import MemoryStore

ACCOUNT = "123456789012"
OTHER_ACCOUNT = "210987654321"
REGION = "us-east-1"
IDLE_SECONDS = 14 * 86400.0  #: without an invocation, after which what a version holds is taken back
ROLE = f"arn:aws:iam::{ACCOUNT}:role/worker"


class ZipSandboxes:
    """The part of a sandbox backend that the code store uses, by `zipfile`."""

    name = "zip"
    weaknesses: Sequence[str] = ()

    def __init__(self) -> None:
        self.begun: list[Path] = []  #: layers
        self.gate = asyncio.Event()  #: where their unpacking waits
        self.gate.set()
        self.reports: list[UnpackReport] = []  #: of the next ones, in the place of what they would be

    async def unpack(self, archive: Path, destination: Path, limits: UnpackLimits) -> UnpackReport:
        destination.mkdir(parents=True)
        try:
            with zipfile.ZipFile(archive) as opened:
                total = sum(entry.file_size for entry in opened.infolist())
                if total > limits.unpacked_bytes:
                    shutil.rmtree(destination)
                    return UnpackReport(total, "too-big", f"{total} bytes")
                opened.extractall(destination)
        except zipfile.BadZipFile as error:
            shutil.rmtree(destination)
            return UnpackReport(0, "not-a-zip", str(error))
        return UnpackReport(total)

    async def merge(self, trees: Sequence[Path], destination: Path, limits: UnpackLimits) -> UnpackReport:
        for tree in trees:
            shutil.copytree(tree, destination, dirs_exist_ok=True)
        return UnpackReport(sum(file.stat().st_size for tree in trees for file in tree.rglob("*") if file.is_file()))

    async def unpack_layer(self, layer: Path, below: Path | None, destination: Path, limits: UnpackLimits) -> UnpackReport:
        self.begun.append(layer)
        await self.gate.wait()
        if self.reports:
            report = self.reports.pop(0)
            if report.refusal is None:
                destination.mkdir(parents=True)
            return report
        destination.mkdir(parents=True)
        content = layer.read_bytes()
        is_zipped = content.startswith(b"\x1f\x8b")
        return UnpackReport(0, diff_id=digest_of(gzip.decompress(content) if is_zipped else content))

    async def remove(self, tree: Path) -> None:
        shutil.rmtree(tree)


@dataclass
class FakeInvoker:
    """Answers what it was told and remembers what it was asked."""

    result: InvocationResult = field(default_factory=lambda: InvocationResult(b'"done"', "$LATEST"))
    invocations: list[Invocation] = field(default_factory=list)
    retired: list[tuple[str | None, ...]] = field(default_factory=list)
    newest_revisions: list[str | None] = field(default_factory=list)  #: which were not to be retired

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        self.invocations.append(invocation)
        return msgspec.structs.replace(self.result, executed_version=invocation.version.version)

    async def retire(
        self, account_id: str, region: str, function_name: str, version: str | None = None, revision: str | None = None
    ) -> None:
        self.retired.append((account_id, region, function_name, version))
        self.newest_revisions.append(revision)


@dataclass
class FakeRuntimes:
    names: tuple[str, ...] = ("python3.8", "python3.11", "python3.12")
    patch: int = 1  #: of every interpreter
    installed: tuple[str, ...] = ()  #: since the last look
    failure: str | None = None
    gate: asyncio.Event | None = None  #: while set and not open, preparation waits
    prepared: list[str] = field(default_factory=list)

    def available(self) -> tuple[str, ...]:
        return self.names

    async def look_again(self) -> None:
        self.names += self.installed

    def version(self, runtime: str) -> RuntimeVersion | None:
        return runtime_version(runtime, self.patch) if runtime in self.names else None

    async def prepare(self, runtime: str) -> object:
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise SandboxError(self.failure)
        self.prepared.append(runtime)
        return runtime


class FakeSnapshots:
    """Makes none; the outcomes are the test's to set."""

    def __init__(self) -> None:
        self.prepared: list[Version] = []
        self.outcomes: list[Failure | Exception | asyncio.Event] = []  #: of the next ones; an event is waited for

    async def prepare(self, version: Version) -> Failure | None:
        self.prepared.append(version)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, asyncio.Event):
            await outcome.wait()
            return None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@dataclass
class FakePools:
    """Starts nothing: what was planned last, and statuses that are the test's to set."""

    plans: dict[FunctionKey, dict[str, ProvisionedPlan]] = field(default_factory=dict)
    statuses: dict[ProvisionedKey, ProvisionedStatus] = field(default_factory=dict)

    def plan(self, function: FunctionKey, plans: Mapping[str, ProvisionedPlan], /) -> None:
        self.plans[function] = dict(plans)

    def status(self, key: ProvisionedKey, /) -> ProvisionedStatus:
        return self.statuses.get(key, ProvisionedStatus())


@dataclass
class FakeManaged:
    """Starts nothing: what was planned last, and outcomes that are the test's to set."""

    plans: dict[FunctionKey, dict[EnvironmentKey, ManagedPlan]] = field(default_factory=dict)
    limits: dict[ProviderKey, int] = field(default_factory=dict)
    prepared: list[Version] = field(default_factory=list)
    outcomes: list[Failure | asyncio.Event | None] = field(default_factory=list)  #: of the next ones; an event is waited for

    def plan(self, function: FunctionKey, plans: Mapping[EnvironmentKey, ManagedPlan], /) -> None:
        self.plans[function] = dict(plans)

    def limit(self, provider: ProviderKey, vcpus: int, /) -> None:
        self.limits[provider] = vcpus

    async def prepare(self, version: Version) -> Failure | None:
        self.prepared.append(version)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, asyncio.Event):
            await outcome.wait()
            return None
        return outcome


@dataclass
class World:
    """The service and everything around it that a test may look at."""

    state: LambdaState
    store: MemoryStore
    blobs: FileBlobs
    code_store: CodeStore
    sandboxes: ZipSandboxes
    invoker: FakeInvoker
    runtimes: FakeRuntimes
    snapshots: FakeSnapshots
    pools: FakePools
    managed: FakeManaged
    queue: EventQueue
    delivery: Delivery
    image_folder: Path  #: from which images may be taken
    objects: dict[tuple[str, str], bytes]
    now: list[float]
    draws: list[float]
    pauses: list[float]

    async def call(
        self, operation: str, /, *, account: str = ACCOUNT, headers: Mapping[str, str] | None = None, **request: Any
    ) -> Any:
        """The output of an operation, without the Response around it."""
        answered = await self.answer(operation, account=account, headers=headers, **request)
        return answered.output if isinstance(answered, Response) else answered

    async def answer(
        self, operation: str, /, *, account: str = ACCOUNT, headers: Mapping[str, str] | None = None, **request: Any
    ) -> Any:
        return await OPERATIONS[operation](self.state, context(operation, account, headers), request)

    async def create(self, name: str = "f", **request: Any) -> dict[str, Any]:
        """A function that is ready."""
        created = await self.call("CreateFunction", **{**function_request(name), **request})
        await self.settled(name)
        return created

    async def settled(self, name: str = "f") -> None:
        await self.state.settler.settled((ACCOUNT, REGION, name))

    async def events(self, name: str = "f") -> list[bytes]:
        queued = await self.store.receive(f"event:{ACCOUNT}:{REGION}:{name}", limit=100, lease_seconds=60)
        return [message.body for message in queued]

    def restarted(self) -> LambdaState:
        """A second service over the same store, as after a restart."""
        return make_state(self)


def context(operation: str, account: str = ACCOUNT, headers: Mapping[str, str] | None = None) -> RequestContext:
    return RequestContext(
        request_id="11111111-2222-3333-4444-555555555555",
        service="lambda",
        operation=operation,
        account_id=account,
        region=REGION,
        principal=Principal(account, f"arn:aws:iam::{account}:root"),
        source_ip="127.0.0.1",
        endpoint="http://127.0.0.1:4566",
        headers=headers or {},
    )


def zip_of(files: Mapping[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


CODE = zip_of({"app.py": "def handler(event, context): return event"})
OTHER_CODE = zip_of({"app.py": "def handler(event, context): return 1"})


def function_request(name: str = "f") -> dict[str, Any]:
    return {"FunctionName": name, "Runtime": "python3.12", "Role": ROLE, "Handler": "app.handler", "Code": {"ZipFile": CODE}}


async def create_provider(world: World, name: str = "p", **request: Any) -> dict[str, Any]:
    """A capacity provider."""
    made = await world.call(
        "CreateCapacityProvider",
        **{
            "CapacityProviderName": name,
            "VpcConfig": {"SubnetIds": ["subnet-local"], "SecurityGroupIds": []},
            "PermissionsConfig": {"CapacityProviderOperatorRoleArn": ROLE},
            **request,
        },
    )
    return dict(made["CapacityProvider"])


def capacity(name: str = "p", **settings: Any) -> dict[str, Any]:
    """The CapacityProviderConfig of a function."""
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:capacity-provider:{name}"
    return {"LambdaManagedInstancesCapacityProviderConfig": {"CapacityProviderArn": arn, **settings}}


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def no_repository(account_id: str, region: str, repository: str) -> ImageSource:
    raise MissingImage(f"there is no repository {repository}")


def make_state(world: World) -> LambdaState:
    ids = itertools.count(1)
    limits = quotas()
    records = LambdaRecords(world.store)
    trust = SignatureTrust(SignerRecords(world.store))
    archives = Archives(records, world.blobs, world.code_store, trust, limits.unzipped_bytes)
    functions = FunctionTable(records, archives.release)

    async def pause(seconds: float) -> None:
        world.pauses.append(seconds)
        await asyncio.sleep(0)

    async def fetch_object(account: str, bucket: str, key: str, version: str | None) -> AsyncIterator[bytes]:
        if (bucket, key) not in world.objects:
            raise ServiceError("NoSuchKey", "The specified key does not exist.", status=404)
        yield world.objects[bucket, key]

    def new_id() -> str:
        return f"00000000-0000-4000-8000-{next(ids):012d}"

    provisioner = Provisioner(records, functions, world.pools)
    places, proven = ImagePlaces(no_repository, (world.image_folder,), ()), ProvenParts()
    settler = Settler(
        records,
        functions,
        archives,
        ImageFetch(places, world.blobs, proven),
        world.runtimes,
        world.invoker,
        world.snapshots,
        world.managed,
        new_id=new_id,
        pause=pause,
    )
    return LambdaState(
        records=records,
        functions=functions,
        archives=archives,
        settler=settler,
        reclaimer=Reclaimer(records, functions, settler, IDLE_SECONDS, clock=lambda: world.now[0]),
        provisioner=provisioner,
        signature_trust=trust,
        managed=ManagedPlanner(records, functions, world.managed),
        code_locations=CodeLocations(b"secret", world.blobs, clock=lambda: world.now[0]),
        invoker=world.invoker,
        events=world.queue,
        runtimes=world.runtimes,
        fetch_object=fetch_object,
        delivery=world.delivery,
        quotas=limits,
        images=ImageIntake(places, world.blobs, proven),
        clock=lambda: world.now[0],
        new_id=new_id,
        draw=lambda: world.draws.pop(0),
    )


@asynccontextmanager
async def lambda_world(tmp_path: Path) -> AsyncIterator[World]:
    store = MemoryStore()
    blobs = FileBlobs(tmp_path / "blobs", store)
    await blobs.open()
    sandboxes = ZipSandboxes()
    code_store = CodeStore(sandboxes, blobs, tmp_path / "code")  # type: ignore[arg-type]
    await code_store.open()
    made = World(
        state=None,  # type: ignore[arg-type]
        store=store,
        blobs=blobs,
        code_store=code_store,
        sandboxes=sandboxes,
        invoker=FakeInvoker(),
        runtimes=FakeRuntimes(),
        snapshots=FakeSnapshots(),
        pools=FakePools(),
        managed=FakeManaged(),
        queue=EventQueue(store),
        delivery=Delivery(),
        image_folder=tmp_path / "images",
        objects={},
        now=[1_612_443_007.629],
        draws=[],
        pauses=[],
    )
    made.state = make_state(made)
    made.delivery.register("lambda", LambdaReceiver(made.state))
    await made.state.settler.start()
    yield made
    await made.state.settler.stop()
    await code_store.close()
    await blobs.close()


async def refused(call: Awaitable[Any]) -> ServiceError:
    """The error of a call that is to be refused."""
    try:
        await call
    except ServiceError as error:
        return error
    raise AssertionError("nothing was refused")
