"""The gems of AWS's SDK: how they come from Debian's packages, and whose a function sees."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lambdad.runtimes.install import InstallError
from lambdad.runtimes.ruby.family import FAMILY
from lambdad.runtimes.ruby.sdk import DebianGemInstaller, place_gem
from support.fake_apt import fake_apt

MIRROR = "echo 'http://mirror.test/debian/ stable'"


@pytest.mark.parametrize("runtime", FAMILY.runtimes)
def test_every_ruby_has_the_gems_of_one_release(runtime: str) -> None:
    """Those of services and what they need, each by its package and suite."""
    sdk = FAMILY.sdk(runtime)
    assert sdk is not None
    assert {"ruby-aws-sdk-s3/trixie", "ruby-aws-sigv4/trixie"} <= set(sdk.requirements)
    assert all(requirement.endswith("/trixie") for requirement in sdk.requirements)


def package(tree: Path, name: str, *files: str) -> Path:
    for file in (f"usr/share/rubygems-integration/all/specifications/{name}.gemspec", *files):
        (tree / file).parent.mkdir(parents=True, exist_ok=True)
        (tree / file).write_text(name)
    return tree


def test_a_package_becomes_a_gem_wherever_its_files_lie(tmp_path: Path) -> None:
    """In a folder of its own, among Ruby's own files, or some here and some there."""
    gems = "usr/share/rubygems-integration/all/gems"
    place_gem(package(tmp_path / "1", "a-1.0", f"{gems}/a-1.0/lib/a.rb", f"{gems}/a-1.0/VERSION"), tmp_path / "target")
    place_gem(
        package(tmp_path / "2", "b-2.0", "usr/lib/ruby/vendor_ruby/b.rb", "usr/lib/ruby/vendor_ruby/b/c.rb"),
        tmp_path / "target",
    )
    place_gem(package(tmp_path / "3", "c-3.0", f"{gems}/c-3.0/x.json", "usr/lib/ruby/vendor_ruby/c.rb"), tmp_path / "target")
    files = {path.relative_to(tmp_path / "target").as_posix() for path in (tmp_path / "target").rglob("*") if path.is_file()}
    assert files == {
        *(f"specifications/{name}.gemspec" for name in ("a-1.0", "b-2.0", "c-3.0")),
        *("gems/a-1.0/lib/a.rb", "gems/a-1.0/VERSION", "gems/b-2.0/lib/b.rb", "gems/b-2.0/lib/b/c.rb"),
        *("gems/c-3.0/x.json", "gems/c-3.0/lib/c.rb"),
    }


async def test_packages_that_cannot_be_had_or_are_no_gems_are_an_install_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mirror that is away, a package without a gem, a machine without apt."""
    fake_apt(tmp_path / "away", monkeypatch, mirror=MIRROR, update="echo no route; exit 100")
    with pytest.raises(InstallError, match="apt-get failed: no route"):
        await DebianGemInstaller().install(["a"], tmp_path / "target", lambda line: None)
    fake_apt(tmp_path / "fake", monkeypatch, mirror=MIRROR)
    with pytest.raises(InstallError, match=r"language_1_all\.deb is not what it was expected to be"):
        await DebianGemInstaller().install(["a"], tmp_path / "target", lambda line: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InstallError, match="this machine has no apt-get"):
        await DebianGemInstaller().install(["a"], tmp_path / "target", lambda line: None)


#: A core of the SDK as far as its client knows it, a gem of each version in its repository.
CORE = "module Aws; VERSION = '%s'; def self.config; @config ||= {}; end; end"
SPECIFICATION = "Gem::Specification.new { |s| s.name = 'aws-sdk-core'; s.version = '%s'; s.summary = 's'; s.authors = ['a'] }"
SCRIPT = """
require ARGV[0]
require 'json'
LambdaRuntime::Gems.settle
taught = defined?(Aws) ? true : false
begin
  require 'aws-sdk-core'
rescue LoadError
  module Aws; VERSION = nil; def self.config; {}; end; end
end
require 'rexml/document'
print JSON.generate([Aws::VERSION, taught, Aws.config])
"""


def repository(folder: Path, version: str) -> None:
    (folder / "specifications").mkdir(parents=True)
    (folder / f"specifications/aws-sdk-core-{version}.gemspec").write_text(SPECIFICATION % version)
    (folder / f"gems/aws-sdk-core-{version}/lib").mkdir(parents=True)
    (folder / f"gems/aws-sdk-core-{version}/lib/aws-sdk-core.rb").write_text(CORE % version)


@pytest.mark.parametrize(
    "own, layer, variables, expected",
    [
        (None, None, {"AWS_ENDPOINT_URL": "http://l:1"}, ["3.212.0", False, {}]),
        ("3.190.0", None, {"AWS_ENDPOINT_URL": "http://l:1"}, ["3.190.0", False, {}]),
        (None, "3.190.0", {}, ["3.190.0", False, {}]),
        (
            "3.104.3",
            None,
            {"AWS_ENDPOINT_URL": "http://l:1"},
            ["3.104.3", True, {"endpoint": "http://l:1", "s3": {"force_path_style": True}}],
        ),
        (
            "3.104.3",
            None,
            {"AWS_ENDPOINT_URL_S3": "http://l:2"},
            ["3.104.3", True, {"s3": {"force_path_style": True, "endpoint": "http://l:2"}}],
        ),
        ("3.104.3", None, {}, ["3.104.3", False, {}]),
        ("nonsense", None, {"AWS_ENDPOINT_URL": "http://l:1"}, ["3.212.0", False, {}]),
    ],
)
def test_a_functions_own_sdk_wins_and_finds_lambdad(
    tmp_path: Path, own: str | None, layer: str | None, variables: dict[str, str], expected: list[object]
) -> None:
    """Whatever its version: one that does not know the endpoint variables is told them. Ruby's own gems are always there."""
    ruby = shutil.which("ruby")
    if ruby is None:
        pytest.skip("no ruby on the PATH")
    assert FAMILY.client is not None
    repository(tmp_path / "runtime", "3.212.0")
    for name, version in (("task", own), ("layer", layer)):
        if version == "nonsense":
            (tmp_path / name / "specifications").mkdir(parents=True)
            (tmp_path / name / "specifications/aws-sdk-core-nonsense.gemspec").write_text("raise 'no'")
        elif version is not None:
            repository(tmp_path / name, version)
    paths = ":".join(str(tmp_path / name) for name in ("task", "layer", "runtime"))
    environment = {"PATH": os.environ["PATH"], "GEM_HOME": str(tmp_path / "runtime"), "GEM_PATH": paths, **variables}
    command = [ruby, "-e", SCRIPT, str(FAMILY.client / "lambda_runtime_gems")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == expected
