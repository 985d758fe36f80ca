"""The services: what each works with, and the ways between them."""

from __future__ import annotations

import os
import platform
import secrets
from dataclasses import dataclass
from functools import partial

import msgspec.structs

from lambdad.adapters import fetch_from, principal_of
from lambdad.assembly.data_plane import DataPlane
from lambdad.assembly.foundation import Foundation
from lambdad.client_settings import endpoint_credentials
from lambdad.config import Settings
from lambdad.delivery import Delivery
from lambdad.event_queue.counters import EventCounters
from lambdad.event_queue.queue import EventQueue
from lambdad.images.account_share import AccountShares
from lambdad.images.places import ImagePlaces
from lambdad.images.proven_parts import ProvenParts
from lambdad.model.request import BodyStream, RequestContext
from lambdad.model.service import BoundService
from lambdad.remote import RemoteServices
from lambdad.services.ecr import SERVICE as ECR
from lambdad.services.ecr.model import RepositoryName
from lambdad.services.ecr.own_images import OwnImages
from lambdad.services.ecr.pull_right import PullRight
from lambdad.services.ecr.records import EcrRecords
from lambdad.services.ecr.registry_site import RegistrySite
from lambdad.services.ecr.state import EcrState
from lambdad.services.ecr.token import Tokens
from lambdad.services.iam import SERVICE as IAM
from lambdad.services.iam.directory import Directory
from lambdad.services.iam.records import IamRecords
from lambdad.services.iam.state import IamState
from lambdad.services.lambda_ import SERVICE as LAMBDA
from lambdad.services.lambda_.archive import Archives
from lambdad.services.lambda_.code_location import CodeLocations
from lambdad.services.lambda_.function_table import FunctionTable
from lambdad.services.lambda_.image import ImageIntake
from lambdad.services.lambda_.image_fetch import ImageFetch
from lambdad.services.lambda_.managed_planner import ManagedPlanner
from lambdad.services.lambda_.provisioner import Provisioner
from lambdad.services.lambda_.receiver import LambdaReceiver
from lambdad.services.lambda_.reclaiming import Reclaimer
from lambdad.services.lambda_.settling import Settler
from lambdad.services.lambda_.state import LambdaState
from lambdad.services.logs import SERVICE as LOGS
from lambdad.services.logs.state import LogsState
from lambdad.services.s3 import SERVICE as S3
from lambdad.services.s3.object_write import put_object
from lambdad.services.s3.receiver import S3Receiver
from lambdad.services.s3.state import S3State
from lambdad.services.signer import SERVICE as SIGNER
from lambdad.services.signer.records import SignerRecords
from lambdad.services.signer.state import SignerState
from lambdad.services.signer.trust import SignatureTrust
from lambdad.services.sts import SERVICE as STS
from lambdad.services.sts.state import StsState


@dataclass(frozen=True, slots=True)
class ControlPlanes:
    lambda_: LambdaState
    s3: S3State
    logs: LogsState
    iam: IamState
    sts: StsState
    ecr: EcrState
    signer: SignerState
    directory: Directory  #: who is who, and may what
    delivery: Delivery
    events: EventQueue
    counters: EventCounters
    registry: RegistrySite
    code_locations: CodeLocations

    def bound(self) -> list[BoundService]:
        return [
            BoundService(LAMBDA, self.lambda_),
            BoundService(S3, self.s3),
            BoundService(LOGS, self.logs),
            BoundService(IAM, self.iam),
            BoundService(STS, self.sts),
            BoundService(ECR, self.ecr),
            BoundService(SIGNER, self.signer),
        ]


async def build_control_planes(base: Foundation, plane: DataPlane) -> ControlPlanes:
    is_enforced = base.settings.checks_signatures
    iam_records = IamRecords(base.store)
    await iam_records.open()
    directory = Directory(iam_records, base.identities.lookup, base.clock)
    signer_records = SignerRecords(base.store)
    delivery = Delivery(directory.permit_delivery if is_enforced else None)
    s3 = S3State(base.store, base.blobs, base.store, delivery)
    counters = EventCounters()
    events = EventQueue(base.store, counters)
    code_locations = CodeLocations(secrets.token_bytes(32), base.blobs)
    ecr = _ecr_state(base, directory)
    await ecr.records.open()
    images = _image_places(base.settings, ecr)
    trust = SignatureTrust(signer_records)
    lambda_ = _lambda_state(base, plane, trust, events, counters, code_locations, s3, delivery, images, directory)
    registry = RegistrySite(ecr)
    base.parts.push_async_callback(registry.close)
    delivery.register("lambda", LambdaReceiver(lambda_))
    delivery.register("s3", S3Receiver(s3))
    remote = RemoteServices(base.settings.endpoints, endpoint_credentials(os.environ, base.settings))
    remote.register_with(delivery)
    base.parts.push_async_callback(remote.close)
    return ControlPlanes(
        lambda_=lambda_,
        s3=s3,
        logs=plane.logs,
        iam=IamState(iam_records, base.identities, base.clock),
        sts=StsState(directory, base.identities, is_enforced, base.clock),
        ecr=ecr,
        signer=_signer_state(base, signer_records, s3),
        directory=directory,
        delivery=delivery,
        events=events,
        counters=counters,
        registry=registry,
        code_locations=code_locations,
    )


def _lambda_state(
    base: Foundation,
    plane: DataPlane,
    signature_trust: SignatureTrust,
    events: EventQueue,
    counters: EventCounters,
    code_locations: CodeLocations,
    s3: S3State,
    delivery: Delivery,
    images: ImagePlaces,
    directory: Directory,
) -> LambdaState:
    settings, limits, records, invoker = base.settings, base.limits, plane.functions, plane.invoker
    archives = Archives(records, base.blobs, plane.code, signature_trust, limits.unzipped_bytes)
    functions = FunctionTable(records, archives.release)
    proven = ProvenParts()
    image_fetch = ImageFetch(images, base.blobs, proven)
    settler = Settler(
        records, functions, archives, image_fetch, plane.programs, invoker, invoker.snapshots, invoker.managed
    )  # fmt: skip
    days = settings.inactive_after_days
    idle_seconds = None if days is None else days * 86400.0
    return LambdaState(
        records=records,
        functions=functions,
        archives=archives,
        settler=settler,
        reclaimer=Reclaimer(records, functions, settler, idle_seconds, clock=base.clock),
        provisioner=Provisioner(records, functions, invoker.provisioned),
        managed=ManagedPlanner(records, functions, invoker.managed),
        code_locations=code_locations,
        signature_trust=signature_trust,
        invoker=invoker,
        events=events,
        counters=counters,
        runtimes=plane.programs,
        fetch_object=fetch_from(s3),
        delivery=delivery,
        clock=base.clock,
        quotas=limits,
        network_can_be_withheld=base.sandboxes.network.mode != "host",
        snapshot_problem=base.sandboxes.snapshot_problem,
        file_systems=settings.file_systems,
        file_system_problem=base.sandboxes.file_system_problem,
        images=ImageIntake(images, base.blobs, proven, base.sandboxes.image_problem),
        can_assume=partial(directory.may_be_assumed_by, "lambda.amazonaws.com") if settings.checks_signatures else None,
        architecture="arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64",
    )


def _ecr_state(base: Foundation, directory: Directory) -> EcrState:
    settings = base.settings
    return EcrState(
        records=EcrRecords(base.store, base.blobs, AccountShares(_share_bytes(settings))),
        blobs=base.blobs,
        tokens=Tokens(secrets.token_bytes(32), clock=base.clock),
        account_id=settings.account_id,
        region=settings.region,
        port=base.port,
        is_enforced=settings.checks_signatures,
        principal_of=partial(principal_of, base.identities, base.clock),
        subject_of=directory.subject_of if settings.checks_signatures else None,
        clock=base.clock,
        quotas=base.limits,
    )


def _share_bytes(settings: Settings) -> int:
    disk = os.statvfs(settings.data_dir)
    return settings.image_share_mb << 20 or disk.f_blocks * disk.f_frsize // 4


def _image_places(settings: Settings, ecr: EcrState) -> ImagePlaces:
    right = PullRight(ecr)

    async def check_pull(context: RequestContext, account_id: str, region: str, repository: str, function_arn: str) -> None:
        await right.check(context, RepositoryName(account_id, region, repository), function_arn)

    return ImagePlaces(
        lambda account_id, region, repository: OwnImages(ecr, RepositoryName(account_id, region, repository)),
        settings.image_folders,
        settings.registries,
        check_pull=check_pull if ecr.subject_of is not None else None,
        pull_seconds=settings.image_pull_seconds,
    )


def _signer_state(base: Foundation, records: SignerRecords, s3: S3State) -> SignerState:
    async def store_object(context: RequestContext, bucket: str, key: str, content: BodyStream) -> None:
        as_caller = msgspec.structs.replace(context, service="s3", operation="PutObject", headers={})
        await put_object(s3, as_caller, {"Bucket": bucket, "Key": key, "Body": content})

    scratch = base.settings.data_dir / "signing"
    scratch.mkdir(mode=0o700, exist_ok=True)
    return SignerState(
        records=records,
        fetch_object=fetch_from(s3),
        store_object=store_object,
        scratch=scratch,
        max_package_bytes=base.limits.unzipped_bytes,  # as of packages that Lambda takes from S3
        max_unpacked_bytes=base.limits.unzipped_bytes,
        clock=base.clock,
    )
