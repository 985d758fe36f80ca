"""All families of runtimes, a row each."""

from __future__ import annotations

from lambdad.runtimes.custom.family import FAMILY as CUSTOM
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
    RUBY,
    GO,
    CUSTOM,
)

#: By runtime identifier.
FAMILY_OF = {runtime: family for family in FAMILIES for runtime in family.runtimes}
