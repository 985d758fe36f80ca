"""All families of runtimes, a row each."""

from __future__ import annotations

from lambdad.model.image import IMAGE_RUNTIME
from lambdad.runtimes.custom.family import FAMILY as CUSTOM
from lambdad.runtimes.dotnet.family import FAMILY as DOTNET
from lambdad.runtimes.family import Family
from lambdad.runtimes.go.family import FAMILY as GO
from lambdad.runtimes.java.family import FAMILY as JAVA
from lambdad.runtimes.node.family import FAMILY as NODE
from lambdad.runtimes.python.family import FAMILY as PYTHON
from lambdad.runtimes.ruby.family import FAMILY as RUBY

FAMILIES: tuple[Family, ...] = (
    PYTHON,
    NODE,
    JAVA,
    DOTNET,
    RUBY,
    GO,
    CUSTOM,
)

#: By runtime identifier.
FAMILY_OF = {runtime: family for family in FAMILIES for runtime in family.runtimes}

_IMAGE = Family(
    name="image",
    language="container images",
    runtimes=(),
    client=None,
    lookup=None,
    has_language_paths=False,
    has_frames=False,
)


def family_of(runtime: str) -> Family:
    """Also of what stands in the place of a runtime for functions that are made from images."""
    return _IMAGE if runtime == IMAGE_RUNTIME else FAMILY_OF[runtime]
