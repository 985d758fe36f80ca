"""Ruby 2.5 to 4.0: any Ruby of the right version, with the client in `client/`, which needs the standard library alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lambdad.model.pre_boot import start_pattern
from lambdad.model.runtime_program import StartCommand
from lambdad.runtimes.family import Family, inside
from lambdad.runtimes.find import Interpreter, Lookup, in_own_folder
from lambdad.runtimes.ruby.debian_ruby import sources
from lambdad.runtimes.ruby.sdk import sdk

RUNTIMES = ("ruby2.5", "ruby2.7", "ruby3.2", "ruby3.3", "ruby3.4", "ruby4.0")
_PROBE = ("--disable=gems", "-e", "print RUBY_ENGINE, ' ', RUBY_VERSION, ' ', RUBY_PATCHLEVEL")


def read_answers(path: Path, output: str) -> Sequence[Interpreter]:
    matched = re.fullmatch(r"ruby (\d+)\.(\d+)\.(\d+) (-?\d+)", output)
    if matched is None:
        return []
    version = (int(matched[1]), int(matched[2]), int(matched[3]))
    return [in_own_folder(f"ruby{version[0]}.{version[1]}", version, int(matched[4]) >= 0, path, "ruby")]


def start(interpreter: Interpreter) -> StartCommand:
    """AWS's oldest Ruby runtime knows no wrapper."""
    return StartCommand(
        (inside(interpreter),), ("/var/runtime/bootstrap.rb",), honours_wrapper=interpreter.runtime != "ruby2.5"
    )


def variables(runtime: str) -> Mapping[str, str]:
    interface = f"{runtime.removeprefix('ruby')}.0"  #: as RubyGems names a version in folders
    gems = ("/var/task/vendor/bundle/ruby", "/opt/ruby/gems")
    return {
        "GEM_HOME": "/var/runtime",
        "GEM_PATH": ":".join([*(f"{folder}/{interface}" for folder in gems), "/var/runtime", f"/var/runtime/ruby/{interface}"]),
        "RUBYLIB": "/var/task:/var/runtime/lib:/opt/ruby/lib",
    }


#: The nearest that can be installed, for those that no registry has.
_NEAREST = {"ruby2.5": "ruby2.7", "ruby3.2": "ruby3.3", "ruby4.0": "ruby3.4"}


def advice(runtime: str) -> str:
    text = f"put Ruby {runtime.removeprefix('ruby')} on the PATH of lambdad, or install it with rbenv"
    if runtime not in _NEAREST:
        return text
    return f'{text}; or let another stand in for it, in the settings file: [runtimes] "{runtime}" = "{_NEAREST[runtime]}"'


#: TEST_BUNDLED_GEMS_FAKE_RBCONFIG is Ruby's own; Debian's RubyGems has settings.
START_NAMES = start_pattern("RUBY.*|GEM_.*|BUNDLE.*|DEBIAN_.*|TEST_BUNDLED_GEMS_.*")

FAMILY = Family(
    name="ruby",
    language="Ruby",
    runtimes=RUNTIMES,
    stand_ins=("ruby2.6", "ruby3.0", "ruby3.1"),
    client=Path(__file__).parent / "client",
    lookup=Lookup(re.compile(r"ruby(\d\.\d)?"), _PROBE, read_answers),
    start=start,
    start_names=lambda: START_NAMES,
    variables=variables,
    sdk=sdk,
    sources=sources,
    advice=advice,
)
