"""AWS SDKs as they were fetched, once for each version of them and of their language.

A runtime's folder has links to these files. A new version of lambdad, whose runtime client differs, makes that folder anew
and fetches nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from pathlib import Path

from lambdad.runtimes.built_folder import building, publish
from lambdad.runtimes.find import Interpreter
from lambdad.runtimes.install import Installer, Progress
from lambdad.runtimes.sdk import Sdk, try_sdk

_FORMAT = "1"  #: goes into a folder's name; a new one has all fetched anew


class SdkStore:
    """Several servers may share `folder`."""

    def __init__(self, folder: Path, installer: Installer | None = None) -> None:
        self._folder = folder
        self._installer = installer  #: in the place of each SDK's own

    async def lay_out(self, sdk: Sdk, interpreter: Interpreter, target: Path, progress: Progress) -> None:
        """Makes `target` of the SDK's files, fetched and tried if they are not here. InstallError when they cannot be had."""
        name = _name(sdk, interpreter)
        if not (self._folder / name).is_dir():
            async with building(self._folder, name) as content:
                if not (self._folder / name).is_dir():
                    progress(f"Fetching the AWS SDK for {interpreter.runtime}")
                    await (self._installer or sdk.installer).install(sdk.requirements, content, progress)
                    await try_sdk(sdk, interpreter, content)
                    await asyncio.to_thread(publish, content, self._folder / name)
        await asyncio.to_thread(_link_tree, self._folder / name, target)


def _name(sdk: Sdk, interpreter: Interpreter) -> str:
    """Changes with everything that what is fetched depends on."""
    parts = (_FORMAT, sdk.name, *sdk.requirements, ".".join(map(str, interpreter.version)))
    return f"{interpreter.runtime}-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:16]}"


def _link_tree(source: Path, target: Path) -> None:
    """Without bytecode, which some compilers write over what is there: it would be written in both."""
    shutil.copytree(
        source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"), copy_function=_link_or_copy
    )


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # not every file system has links
        shutil.copy2(source, target, follow_symlinks=False)
    return target
