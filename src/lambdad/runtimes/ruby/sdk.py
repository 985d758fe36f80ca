"""The AWS SDK for Ruby: what Debian has of its gems, which are Ruby alone and run on every one from 2.5 on.

AWS's runtimes have the gems of all services, from RubyGems. Debian's know AWS_ENDPOINT_URL, but for those of old releases.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lambdad.runtimes.apt import Apt, apt_problem
from lambdad.runtimes.find import Interpreter
from lambdad.runtimes.install import InstallError, Progress
from lambdad.runtimes.sdk import Sdk

SUITE = "trixie"
#: Of services those of S3, KMS and CloudFormation; STS is in the core.
GEMS = ("aws-sdk-core", "aws-sdk-s3", "aws-sdk-kms", "aws-sdk-cloudformation")
_NEEDED = ("aws-sigv4", "aws-eventstream", "aws-partitions", "jmespath")
_CLIENT = Path(__file__).parent / "client"
_LOAD = "Gem.use_paths(ARGV[0], [ARGV[0], LambdaRuntime::Gems.of_ruby]); ARGV.drop(1).each { |name| require name }; Aws::STS"


def sdk(runtime: str) -> Sdk:
    return Sdk(
        name="AWS SDK for Ruby",
        use="require 'aws-sdk-s3'",
        requirements=tuple(f"ruby-{gem}/{SUITE}" for gem in (*GEMS, *_NEEDED)),
        installer=DebianGemInstaller(),
        trial=_trial,
    )


def _trial(interpreter: Interpreter, content: Path) -> Sequence[str]:
    return [str(interpreter.executable), "-r", str(_CLIENT / "lambda_runtime_gems.rb"), "-e", _LOAD, str(content), *GEMS]


class DebianGemInstaller:
    """Makes a repository of gems of Debian's packages, in which they lie as Debian likes it: in part among Ruby's own files."""

    async def install(self, requirements: Sequence[str], target: Path, progress: Progress) -> None:
        if problem := apt_problem():
            raise InstallError(problem)
        with tempfile.TemporaryDirectory(prefix="apt-", dir=target.parent.absolute()) as folder:
            apt = await Apt.prepare(Path(folder), (SUITE,))
            await apt.fetch_alone(requirements, progress)
            for archive in apt.fetched():
                tree = Path(folder, "trees", archive.name)
                await apt.unpack(archive, tree, progress)
                try:
                    await asyncio.to_thread(place_gem, tree, target)
                except (OSError, ValueError) as error:
                    raise InstallError(f"{archive.name} is not what it was expected to be: {error}") from error


def place_gem(tree: Path, target: Path) -> None:
    """The one gem of an unpacked package. ValueError if there is another number of them."""
    repository = tree / "usr/share/rubygems-integration/all"
    (described,) = repository.glob("specifications/*.gemspec")
    for name in ("specifications", "gems"):
        (target / name).mkdir(parents=True, exist_ok=True)
    gem = target / "gems" / described.stem
    if (repository / "gems" / described.stem).is_dir():
        shutil.move(repository / "gems" / described.stem, gem)
    library = gem / "lib"
    library.mkdir(parents=True, exist_ok=True)
    for path in tree.glob("usr/lib/ruby/vendor_ruby/*"):
        shutil.move(path, library / path.name)
    shutil.move(described, target / "specifications" / described.name)
