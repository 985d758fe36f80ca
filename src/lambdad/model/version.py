"""A version of a function as the data plane needs it: everything an execution environment is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lambdad.model.code_signature import CodeSignature
from lambdad.model.file_system import FileSystem
from lambdad.model.image import ImageUse
from lambdad.model.log_settings import TEXT, LogSettings
from lambdad.model.managed import ManagedInstances

LATEST = "$LATEST"

EnvironmentKey = tuple[str, str, str, str, str, bool, str]  #: account, region, function, version, revision, network, tenant


@dataclass(frozen=True, slots=True)
class CodeArchive:
    """A zip that passed every check, kept as a blob and unpacked once per digest."""

    digest: str  #: hex SHA-256 of the zip bytes; the blob's address
    size: int  #: bytes of the zip
    unpacked_size: int  #: bytes unpacked
    signature: CodeSignature | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable reading of a function's code and configuration; `$LATEST` gets a new one at each update.

    Two Versions with the same `environment_key` may share execution environments.
    """

    account_id: str
    region: str
    function_name: str
    version: str  #: "$LATEST" or "1", "2", ...
    revision_id: str  #: changes with every update of code or configuration
    runtime: str  #: "python3.12"
    handler: str
    code: CodeArchive
    layers: tuple[CodeArchive, ...] = ()
    image: ImageUse | None = None  #: what it runs instead of `code` and `layers`
    timeout_seconds: int = 3
    memory_mb: int = 128
    ephemeral_storage_mb: int = 512
    environment: Mapping[str, str] = field(default_factory=dict)
    role: str = ""
    architecture: str = "x86_64"
    has_network: bool = True  #: False: only its Runtime API and the AWS endpoint
    has_snapshot: bool = False  #: SnapStart: environments are clones of one whose Init is over
    log_group: str = ""  #: "/aws/lambda/NAME" unless the function's LoggingConfig says otherwise
    tenant_id: str = ""  #: whose environments serve it, of a function with tenants; empty for any other
    reserved_concurrency: int | None = None  #: of all versions of the function together
    provisioned_concurrency: int = 0  #: of all versions and aliases of the function together
    provisioned_for: tuple[str, str, str, str] | None = (
        None  #: account, region, function and qualifier whose environments serve it
    )
    log_settings: LogSettings = TEXT
    file_system: FileSystem | None = None
    runtime_version_arn: str | None = None  #: the only version of its runtime that it runs on
    managed: ManagedInstances | None = None  #: its environments take several invocations at once, and are there ahead of them

    @property
    def function_key(self) -> tuple[str, str, str]:
        return (self.account_id, self.region, self.function_name)

    @property
    def function_arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account_id}:function:{self.function_name}"

    @property
    def environment_key(self) -> EnvironmentKey:
        """Identifies the executions environments that may serve this version."""
        return (
            self.account_id,
            self.region,
            self.function_name,
            self.version,
            self.revision_id,
            self.has_network,
            self.tenant_id,
        )
