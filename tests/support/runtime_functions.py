"""The functions of the conformance suite by family, in the language of each: the same behaviour by the same name."""

from __future__ import annotations

from collections.abc import Mapping

from support.case_functions import Functions
from support.custom_cases import CUSTOM
from support.dotnet_cases import DOTNET
from support.go_cases import GO
from support.java_cases import JAVA
from support.node_cases import NODE
from support.python_cases import PYTHON
from support.ruby_cases import RUBY

FUNCTIONS: Mapping[str, Functions] = {
    "custom": CUSTOM,
    "dotnet": DOTNET,
    "go": GO,
    "java": JAVA,
    "node": NODE,
    "python": PYTHON,
    "ruby": RUBY,
}
