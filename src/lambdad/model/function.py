"""A function: `$LATEST`, its published readings, and the states they go through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from lambdad.model.file_system import FileSystem
from lambdad.model.image import ImageUse
from lambdad.model.layer import LayerUse
from lambdad.model.log_settings import TEXT, LogSettings
from lambdad.model.managed import LATEST_PUBLISHED, ProviderUse
from lambdad.model.network_choice import has_network
from lambdad.model.runtime_version import UpdateRuntimeOn
from lambdad.model.version import LATEST, CodeArchive, Version

State = Literal["Pending", "Active", "Inactive", "ActiveNonInvocable", "Deactivated", "Failed"]
UpdateStatus = Literal["InProgress", "Successful", "Failed"]

CREATING = "The function is being created."
RESTORING = "The function is being restored."
IDLE = "The function is currently idle."
TERMINATE = "Terminate"  #: recursive loops are stopped

#: What settling may make of a state: (state, update status) -> (on success, on failure). Whatever is not here does not settle.
SETTLING: Mapping[tuple[str, str | None], tuple[tuple[State, UpdateStatus | None], tuple[State, UpdateStatus | None]]] = {
    ("Pending", None): (("Active", "Successful"), ("Failed", None)),
    ("Active", "InProgress"): (("Active", "Successful"), ("Active", "Failed")),
    ("ActiveNonInvocable", "InProgress"): (("ActiveNonInvocable", "Successful"), ("ActiveNonInvocable", "Failed")),
    ("Inactive", "InProgress"): (("Active", "Successful"), ("Inactive", "Failed")),
    # What was idle is being restored: the last update is as long over as it was.
    ("Pending", "Successful"): (("Active", "Successful"), ("Inactive", "Successful")),
    ("Pending", "Failed"): (("Active", "Failed"), ("Inactive", "Failed")),
}
#: What accepting an update makes of a state. Whatever is not here accepts none.
UPDATING: Mapping[tuple[str, str | None], tuple[State, UpdateStatus]] = {
    ("Active", "Successful"): ("Active", "InProgress"),
    ("Active", "Failed"): ("Active", "InProgress"),
    ("ActiveNonInvocable", "Successful"): ("ActiveNonInvocable", "InProgress"),
    ("ActiveNonInvocable", "Failed"): ("ActiveNonInvocable", "InProgress"),
    ("Inactive", "Successful"): ("Inactive", "InProgress"),
    ("Inactive", "Failed"): ("Inactive", "InProgress"),
}
#: What a long time without an invocation makes of a state, where there is something to be taken back.
RECLAIMING: Mapping[tuple[str, str | None], tuple[State, UpdateStatus]] = {
    ("Active", "Successful"): ("Inactive", "Successful"),
    ("Active", "Failed"): ("Inactive", "Failed"),
}
#: What the next invocation, which is refused, makes of it.
WAKING: Mapping[tuple[str, str | None], tuple[State, UpdateStatus]] = {
    ("Inactive", "Successful"): ("Pending", "Successful"),
    ("Inactive", "Failed"): ("Pending", "Failed"),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a function could not be made ready: AWS's reason code and a sentence."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a caller decides about a function. Two equal ones make equal execution environments."""

    runtime: str
    handler: str
    role: str
    code: CodeArchive
    description: str = ""
    timeout_seconds: int = 3
    memory_mb: int = 128
    ephemeral_storage_mb: int = 512
    environment: Mapping[str, str] | None = None  #: None where the caller never sent one: then it is not printed
    layers: tuple[LayerUse, ...] = ()
    architecture: str = "x86_64"
    snap_start: bool = False  #: published versions are to have a snapshot
    log_group: str | None = None  #: None for the default, /aws/lambda/NAME
    log_settings: LogSettings = TEXT
    file_system: FileSystem | None = None
    dead_letter: str | None = None  #: ARN of the queue or topic that gets the events which could not be processed
    capacity: ProviderUse | None = None  #: published versions run on managed instances; from creation on
    is_per_tenant: bool = False  #: each invocation is for a tenant, and no environment serves two of them; from creation on

    #: For a function made from a container image, whose runtime is then IMAGE_RUNTIME and whose `code` names its manifest.
    image: ImageUse | None = None

    def digests(self) -> tuple[str, ...]:
        """Of all blobs that it needs."""
        if self.image is not None:
            return self.image.image.blobs()
        return (self.code.digest, *(layer.code.digest for layer in self.layers))

    def with_stored_image(self) -> Configuration:
        """Once all that its image is made of is in the store."""
        if self.image is None or not self.image.awaits_layers:
            return self
        return replace(self, image=replace(self.image, awaits_layers=False))

    def unpacked_size(self) -> int:
        return self.code.unpacked_size + sum(layer.code.unpacked_size for layer in self.layers)


@dataclass(frozen=True, slots=True)
class FunctionVersion:
    """One reading of a function with its state: `$LATEST` or a published version."""

    account_id: str
    region: str
    function_name: str
    version: str
    configuration: Configuration
    revision_id: str
    last_modified: float
    state: State = "Pending"
    state_reason: str | None = CREATING
    state_reason_code: str | None = "Creating"
    update_status: UpdateStatus | None = None
    update_reason: str | None = None
    update_reason_code: str | None = None
    update_runtime_on: UpdateRuntimeOn = "Auto"
    runtime_version_arn: str | None = None  #: the only version of its runtime that it runs on; None for whichever there is
    #: What a change of its resource policy, or for `$LATEST` a publication, made of a revision: of which, and the new one.
    later_revision: tuple[str, str] | None = None

    @property
    def shown_revision_id(self) -> str:
        """As clients see it, of reading and resource policy together. Environments go by `revision_id`: what they run is not
        another because its policy is, or because it was published."""
        if self.later_revision is not None and self.later_revision[0] == self.revision_id:
            return self.later_revision[1]
        return self.revision_id

    def with_later_revision(self, revision_id: str) -> FunctionVersion:
        return replace(self, later_revision=(self.revision_id, revision_id))

    @property
    def is_unsettled(self) -> bool:
        return (self.state, self.update_status) in SETTLING

    @property
    def has_snapshot(self) -> bool:
        """Its environments come from a snapshot, without which it is not ready."""
        return self.configuration.snap_start and self.version != LATEST

    @property
    def is_managed(self) -> bool:
        """It has environments of its own ahead of invocations, without which it is not ready."""
        return self.configuration.capacity is not None and self.version != LATEST

    @property
    def is_reclaimable(self) -> bool:
        """It holds what is worth to be taken back when nobody invokes it: the files of an image, or a snapshot."""
        return (self.configuration.image is not None or self.has_snapshot) and self.configuration.capacity is None

    @property
    def is_reclaimed(self) -> bool:
        """That was taken back, and no update is on its way to have it made anew."""
        return self.state == "Inactive" and self.update_status != "InProgress"

    @property
    def is_being_restored(self) -> bool:
        return self.state == "Pending" and self.update_status is not None

    @property
    def settles_by_itself(self) -> bool:
        """Apart from its function, since more has to be made ready."""
        return self.has_snapshot or self.is_managed

    def settled(self, revision_id: str, failure: Failure | None = None) -> FunctionVersion:
        """The state after its code and runtime were made ready, or could not be. KeyError when there was nothing to settle."""
        if self.is_being_restored:
            return self._restored(failure)
        on_success, on_failure = SETTLING[(self.state, self.update_status)]
        state, update_status = on_failure if failure else on_success
        if state == "Active" and self.configuration.capacity is not None and self.version == LATEST:
            state = "ActiveNonInvocable"
        of_state = failure if state == "Failed" else None
        of_update = failure if update_status == "Failed" else None
        if state == "Inactive":  # as before, and for the same reason
            of_state = Failure(self.state_reason_code or "Idle", self.state_reason or IDLE)
        return replace(
            self,
            configuration=self.configuration if failure else self.configuration.with_stored_image(),
            revision_id=revision_id,
            state=state,
            state_reason=of_state.reason if of_state else None,
            state_reason_code=of_state.code if of_state else None,
            update_status=update_status,
            update_reason=of_update.reason if of_update else None,
            update_reason_code=of_update.code if of_update else None,
        )

    def _restored(self, failure: Failure | None) -> FunctionVersion:
        """Code and configuration are what they were, and so is the revision."""
        on_success, on_failure = SETTLING[(self.state, self.update_status)]
        state, _ = on_failure if failure else on_success
        return replace(
            self,
            state=state,
            state_reason=failure.reason if failure else None,
            state_reason_code=failure.code if failure else None,
        )

    def updated(self, configuration: Configuration, revision_id: str, now: float) -> FunctionVersion:
        """The state from an update's acceptance until it settles. KeyError when it cannot be updated now."""
        state, update_status = UPDATING[(self.state, self.update_status)]
        return replace(
            self,
            configuration=configuration,
            revision_id=revision_id,
            last_modified=now,
            state=state,
            update_status=update_status,
            update_reason=CREATING,
            update_reason_code="Creating",
        )

    def reclaimed(self) -> FunctionVersion:
        """Nobody has invoked it for long, and what it held is taken back. KeyError when that cannot be done now."""
        state, _ = RECLAIMING[(self.state, self.update_status)]
        return replace(self, state=state, state_reason=IDLE, state_reason_code="Idle")

    def woken(self) -> FunctionVersion:
        """It is to have again what was taken back. KeyError when nothing was, or an update is making it anew."""
        state, _ = WAKING[(self.state, self.update_status)]
        return replace(self, state=state, state_reason=RESTORING, state_reason_code="Restoring")

    def deactivated(self) -> FunctionVersion:
        """It has no environments any more, and is not to get any."""
        return replace(self, state="Deactivated", state_reason=None, state_reason_code=None)

    def activated(self) -> FunctionVersion:
        """It is to get environments, again."""
        return replace(
            self,
            state="Pending",
            state_reason=RESTORING,
            state_reason_code="Restoring",
            update_status=None,
            update_reason=None,
            update_reason_code=None,
        )

    def runnable(self) -> Version:
        """What the data plane needs of it."""
        configuration = self.configuration
        capacity = configuration.capacity if self.is_managed else None
        return Version(
            account_id=self.account_id,
            region=self.region,
            function_name=self.function_name,
            version=self.version,
            revision_id=self.revision_id,
            runtime=configuration.runtime,
            handler=configuration.handler,
            image=configuration.image,
            code=configuration.code,
            layers=tuple(layer.code for layer in configuration.layers),
            timeout_seconds=configuration.timeout_seconds,
            memory_mb=configuration.memory_mb,
            ephemeral_storage_mb=configuration.ephemeral_storage_mb,
            environment=configuration.environment or {},
            role=configuration.role,
            architecture=configuration.architecture,
            has_snapshot=self.has_snapshot,
            log_group=configuration.log_group or f"/aws/lambda/{self.function_name}",
            log_settings=configuration.log_settings,
            file_system=configuration.file_system,
            runtime_version_arn=self.runtime_version_arn,
            managed=None if capacity is None else capacity.instances(configuration.memory_mb),
        )


@dataclass(frozen=True, slots=True)
class Function:
    """What stands under a function's name. `serving` is what invocations of `$LATEST` run while `latest` is being updated."""

    latest: FunctionVersion
    serving: FunctionVersion | None = None
    last_version: int = 0  #: highest number given to a published version; numbers are never used twice
    published_from: str = ""  #: revision of `$LATEST` that the last published version was made from
    tags: Mapping[str, str] = field(default_factory=dict)
    reserved_concurrency: int | None = None  #: of all its versions together
    code_signing_config_arn: str | None = None
    recursive_loop: str = TERMINATE  #: what is done to a chain of requests that keeps invoking it
    republished_from: FunctionVersion | None = None  #: what `$LATEST.PUBLISHED` is until its replacement is ready

    @property
    def has_network(self) -> bool:
        return has_network(self.tags)

    @property
    def running(self) -> FunctionVersion:
        """The reading of `$LATEST` that invocations get."""
        return self.serving or self.latest

    @property
    def settling(self) -> FunctionVersion:
        """The reading of `$LATEST` that is made ready while it is unsettled: what invocations ran before it was idle, or
        what an update is to have them run."""
        return self.running if self.latest.is_being_restored else self.latest

    def readings(self) -> list[FunctionVersion]:
        """What `$LATEST` needs in place: before and after a running update. And what is being replaced."""
        return [self.latest, *(reading for reading in (self.serving, self.republished_from) if reading is not None)]

    def updated(
        self, configuration: Configuration, revision_id: str, now: float, runtime_version_arn: str | None = None
    ) -> Function:
        """Accepts an update: invocations stay on the last reading that settled. `runtime_version_arn` is the version of the
        runtime that there is now, which a function gets with its updates if that is how it gets any."""
        serving = self.serving or (self.latest if self.latest.state in ("Active", "Inactive") else None)
        latest = self.latest.updated(configuration, revision_id, now)
        if latest.update_runtime_on == "FunctionUpdate":
            latest = replace(latest, runtime_version_arn=runtime_version_arn)
        return replace(self, latest=latest, serving=serving)

    def settled(self, revision_id: str, failure: Failure | None = None) -> Function:
        """Ends creation, an update or a restoration. A failed update leaves invocations on the old reading."""
        if self.latest.is_being_restored:
            serving = None if self.serving is None else self.serving.settled(self.serving.revision_id, failure)
            return replace(self, latest=self.latest.settled(revision_id, failure), serving=serving)
        is_published = self.published_from == self.latest.revision_id
        return replace(
            self,
            latest=self.latest.settled(revision_id, failure),
            serving=self.serving if failure else None,
            published_from=revision_id if is_published else self.published_from,
        )

    def reclaimed(self) -> Function:
        """`$LATEST` has not been invoked for long. KeyError when nothing can be taken back now."""
        return replace(self, latest=self.latest.reclaimed(), serving=self.serving and self.serving.reclaimed())

    def woken(self) -> Function:
        """`$LATEST` is to have again what was taken back. KeyError as for a version."""
        return replace(self, latest=self.latest.woken(), serving=self.serving and self.serving.woken())

    def published(self, revision_id: str, now: float, description: str | None) -> tuple[Function, FunctionVersion]:
        """`$LATEST` as the next version: ready if `$LATEST` is and there is no snapshot to be made, else to be settled. What an
        update that failed could not be made ready is not."""
        number = self.last_version + 1
        version = self._as_version(str(number), revision_id, now, description)
        is_ready = self.latest.state == "Active" and self.latest.update_status == "Successful"
        if is_ready and not version.settles_by_itself:
            version = version.settled(revision_id)
        return replace(self, last_version=number, published_from=self.latest.revision_id), version

    def republished(
        self, old: FunctionVersion | None, revision_id: str, now: float, description: str | None
    ) -> tuple[Function, FunctionVersion]:
        """`$LATEST` as `$LATEST.PUBLISHED`. Invocations stay on the one there is until it is ready."""
        version = self._as_version(LATEST_PUBLISHED, revision_id, now, description)
        if old is None or old.state != "Active":
            return replace(self, republished_from=None), version
        version = replace(
            version,
            state="Active",
            state_reason=None,
            state_reason_code=None,
            update_status="InProgress",
            update_reason=CREATING,
            update_reason_code="Creating",
        )
        return replace(self, republished_from=self.republished_from or old), version

    def _as_version(self, number: str, revision_id: str, now: float, description: str | None) -> FunctionVersion:
        latest = self.latest
        configuration = latest.configuration
        if description is not None:
            configuration = replace(configuration, description=description)
        return FunctionVersion(
            account_id=latest.account_id,
            region=latest.region,
            function_name=latest.function_name,
            version=number,
            configuration=configuration,
            revision_id=revision_id,
            last_modified=now,
            update_runtime_on=latest.update_runtime_on,
            runtime_version_arn=latest.runtime_version_arn,
        )


def is_latest(qualifier: str | None) -> bool:
    return qualifier is None or qualifier == LATEST
