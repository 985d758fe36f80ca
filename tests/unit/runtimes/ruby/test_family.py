"""How Rubies are recognized and started, and what their functions find in the environment."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lambdad.runtimes.find import Interpreter
from lambdad.runtimes.ruby.debian_ruby import arrange, sources
from lambdad.runtimes.ruby.family import FAMILY, read_answers, start, variables


@pytest.mark.parametrize(
    "said, runtime, is_final",
    [("ruby 3.3.8 144", "ruby3.3", True), ("ruby 2.5.9 229", "ruby2.5", True), ("ruby 4.0.0 -1", "ruby4.0", False)],
)
def test_a_ruby_is_the_runtime_of_its_minor_version(said: str, runtime: str, is_final: bool) -> None:
    """A preview is no final release."""
    (found,) = read_answers(Path("/opt/rubies/x/bin/ruby"), said)
    assert (found.runtime, found.is_final, found.problem) == (runtime, is_final, None)
    assert (found.executable, found.language_root) == (Path("/opt/rubies/x/bin/ruby"), Path("/opt/rubies/x"))


@pytest.mark.parametrize("said", ["jruby 3.1.4 0", "truffleruby 3.2.2 0", "", "ruby", "ruby 3.3 1", "ruby 3.3.8 144\nmore"])
def test_what_is_not_rubys_own_is_none(said: str) -> None:
    """Other implementations and other answers are passed over."""
    assert read_answers(Path("/usr/bin/ruby"), said) == []


def test_a_ruby_outside_of_a_folder_of_its_own_is_a_problem() -> None:
    """A sandbox would have to be shown more than the language."""
    (found,) = read_answers(Path("/srv/ruby"), "ruby 3.3.8 144")
    assert found.problem == "/srv/ruby is not in a folder of its own (NAME/bin/ruby) that a sandbox could be shown."


@pytest.mark.parametrize("name", ["ruby", "ruby2.7", "ruby3.4"])
def test_files_are_recognized_by_name(name: str) -> None:
    """With or without a version, and nothing else that Ruby installs."""
    assert FAMILY.lookup is not None
    assert FAMILY.lookup.pattern.fullmatch(name)
    assert not FAMILY.lookup.pattern.fullmatch(name + "-build")


def test_every_runtime_but_the_oldest_honours_a_wrapper() -> None:
    """Ruby 2.5 knew none on AWS."""
    of = {name: Interpreter(name, (3, 3, 0), True, Path("/r/bin/ruby"), Path("/r")) for name in FAMILY.runtimes}
    commands = {name: start(interpreter) for name, interpreter in of.items()}
    assert [name for name, command in commands.items() if not command.honours_wrapper] == ["ruby2.5"]
    assert {command.programs for command in commands.values()} == {("/var/lang/bin/ruby",)}


def test_gems_are_looked_for_where_aws_has_them() -> None:
    """In the package's bundle, in layers, and beside the client."""
    assert variables("ruby3.4") == {
        "GEM_HOME": "/var/runtime",
        "GEM_PATH": "/var/task/vendor/bundle/ruby/3.4.0:/opt/ruby/gems/3.4.0:/var/runtime:/var/runtime/ruby/3.4.0",
        "RUBYLIB": "/var/task:/var/runtime/lib:/opt/ruby/lib",
    }


def test_debian_has_three_of_awss_rubies() -> None:
    """Each a source with its release; nothing is offered for the others."""
    found = {name: [source.name for source in sources(name)] for name in FAMILY.runtimes}
    assert {name: names for name, names in found.items() if names} == {
        "ruby2.7": ["package ruby2.7 of Debian 11"],
        "ruby3.3": ["package ruby3.3 of Debian 13"],
        "ruby3.4": ["package ruby3.4 of Debian experimental"],
    }


def test_a_ruby_that_is_nowhere_may_have_a_substitute() -> None:
    """One that can be installed and runs what was written for it, if anything does."""
    assert FAMILY.advice("ruby3.3") == "put Ruby 3.3 on the PATH of lambdad, or install it with rbenv"
    for runtime in FAMILY.runtimes:
        advice = FAMILY.advice(runtime)
        assert ("[runtimes]" in advice) == (not sources(runtime))
    assert FAMILY.advice("ruby3.2").endswith('stand in for it, in the settings file: [runtimes] "ruby3.2" = "ruby3.3"')


def test_the_program_gives_way_to_a_script_that_starts_it(tmp_path: Path) -> None:
    """In usr/bin, where Ruby looks for itself, and in bin, where a sandbox does."""
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/ruby3.3").write_bytes(b"\x7fELF")
    for version in ("3.2", "3.3"):  # the release's own may come along
        (tmp_path / f"usr/lib/x/ruby/{version}.0").mkdir(parents=True)
        (tmp_path / f"usr/lib/x/libruby-{version}.so.{version}").touch()
    arrange(tmp_path, "3.3")
    assert (tmp_path / "usr/bin/ruby3.3.bin").read_bytes() == b"\x7fELF"
    kept = sorted(path.name for path in (tmp_path / "usr/lib").rglob("*3*"))
    assert kept == ["3.3.0", "libruby-3.3.so.3.3"]
    for place in ("usr/bin/ruby3.3", "bin/ruby"):
        assert (tmp_path / place).read_text().startswith("#!/bin/sh\n") and (tmp_path / place).stat().st_mode & 0o111


@pytest.mark.long
@pytest.mark.parametrize("name", ["ruby2.7", "ruby3.3", "ruby3.4"])
async def test_a_real_ruby_of_debian_runs_wherever_it_lies(name: str, tmp_path: Path) -> None:
    """Fetched by the machine's mirror, moved, and asked for what needs libraries of its own; it takes itself for the script."""
    (source,) = sources(name)
    if source.problem() is not None:
        pytest.skip(str(source.problem()))
    await source.fetch(tmp_path / "made", lambda line: None)
    (tmp_path / "made").rename(tmp_path / "moved")
    program = tmp_path / "moved/bin/ruby"
    code = "require 'openssl'; require 'yaml'; require 'zlib'; require 'bigdecimal'; print RUBY_VERSION, ' ', RbConfig.ruby"
    said = subprocess.run([program, "-e", code], capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert said[0].startswith(name.removeprefix("ruby") + ".")
    assert said[1] == str(tmp_path / f"moved/usr/bin/{name}")
