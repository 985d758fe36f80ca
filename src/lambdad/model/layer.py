"""A layer version: an archive that functions share, mounted at /opt."""

from __future__ import annotations

from dataclasses import dataclass

from lambdad.model.version import CodeArchive


@dataclass(frozen=True, slots=True)
class LayerVersion:
    """Immutable once published. Functions that use it keep a copy, so deleting it takes nothing from them."""

    account_id: str
    region: str
    name: str
    version: int
    code: CodeArchive
    created_at: float
    description: str = ""
    compatible_runtimes: tuple[str, ...] | None = None
    compatible_architectures: tuple[str, ...] | None = None
    license_info: str | None = None

    @property
    def layer_arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account_id}:layer:{self.name}"

    @property
    def version_arn(self) -> str:
        return f"{self.layer_arn}:{self.version}"

    def suits(self, runtime: str | None, architecture: str | None) -> bool:
        """Whether a listing narrowed to a runtime or an architecture shows this version."""
        fits_runtime = runtime is None or runtime in (self.compatible_runtimes or ())
        fits_architecture = architecture is None or architecture in (self.compatible_architectures or ("x86_64",))
        return fits_runtime and fits_architecture


@dataclass(frozen=True, slots=True)
class LayerUse:
    """A layer version as a function holds it."""

    arn: str
    code: CodeArchive
