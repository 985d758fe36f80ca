"""What a sandbox runs for a function that is made from a container image: the image's own command, in the image's own files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from lambdad.model.image import IMAGE_RUNTIME, ImageUse
from lambdad.model.runtime_program import RuntimeProgram, StartCommand
from lambdad.runtimes.find import own_interpreter


def image_program(use: ImageUse, root: Path) -> RuntimeProgram:
    """`root` is the tree of the image's files. Its sandboxes share a zygote with those that run the same in the same files."""
    command = use.command
    line = (*command.entry_point, *command.command)
    start = StartCommand(line[:1], line[1:], folder=command.working_directory or "/")
    identity = hashlib.sha256(msgspec.json.encode([use.image.chain, start])).hexdigest()
    own = own_interpreter(IMAGE_RUNTIME)
    return RuntimeProgram(
        name=f"{IMAGE_RUNTIME}-{identity[:24]}",
        interpreter=own.executable,
        language_root=own.language_root,
        runtime_dir=root,
        start=start,
        python_root=own.language_root,
        image_root=root,
    )


def tree_in_image(root: Path, name: str) -> Path | None:
    """A folder of the image's, as seen from outside; None if it has none, or one that a link leads out of it for."""
    folder = root / name
    return folder if folder.is_dir() and folder.resolve() == root.resolve() / name else None
