"""Functions that bring their runtime along, as an executable file `bootstrap` in the package or in a layer."""

from __future__ import annotations

from lambdad.model.runtime_program import StartCommand
from lambdad.runtimes.family import Family

START = StartCommand(("/var/task/bootstrap", "/opt/bootstrap"))

FAMILY = Family(
    name="custom",
    language="custom runtimes",
    runtimes=("provided", "provided.al2", "provided.al2023"),
    client=None,
    lookup=None,
    start=lambda interpreter: START,
    has_language_paths=False,
    has_frames=False,
)
