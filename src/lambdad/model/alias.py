"""An alias: a name for a version, or for two versions that share the invocations by weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Alias:
    name: str
    function_version: str
    revision_id: str
    description: str = ""
    weights: Mapping[str, float] = field(default_factory=dict)  #: of the one additional version, 0.0-1.0

    def pick(self, draw: float) -> str:
        """The version that serves one invocation, for a random number in [0, 1)."""
        for version, weight in self.weights.items():
            if draw < weight:
                return version
        return self.function_version

    def versions(self) -> set[str]:
        return {self.function_version, *self.weights}
