"""The root folder of functions from images."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from lambdad.sandbox.image_root import lay_image
from lambdad.sandbox.unpack_layer import MOUNT_POINTS
from support.sandbox import make_program

pytestmark = pytest.mark.root


def test_a_zygote_of_an_image_could_not_write_to_this_machine(tmp_path: Path) -> None:
    """Its program is among the machine's files, and a sandbox without root may be the user who owns it."""
    root, staging, owned = tmp_path / "image", tmp_path / "staging", tmp_path / "owned"
    for name in MOUNT_POINTS:
        (root / name).mkdir(parents=True)
    for file in (root / "etc/hosts", root / "etc/resolv.conf", owned):
        file.touch()
    staging.mkdir()
    program = replace(make_program(tmp_path / "runtime"), image_root=root)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            lay_image(staging, program)
            os.write(writer, b"made, ")
            owned.chmod(0o777)
            os.write(writer, b"changed")
        except OSError as error:
            os.write(writer, str(error.strerror).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as told:
        assert told.read() == "made, Read-only file system"
