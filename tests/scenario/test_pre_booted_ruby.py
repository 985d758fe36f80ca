"""Ruby functions that begin in an interpreter which was booted before they were known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from support.pre_booted import masked
from support.server import ROLE, Server, running, zipped

pytestmark = pytest.mark.root

#: All that a function could tell its start by.
PROBE = """
# The kernel keeps what a program was started with.
WAITED = File.read('/proc/self/environ').include?('_LAMBDAD_BOOT')
GC.start
COUNTS = ObjectSpace.count_objects.slice(:T_CLASS, :T_MODULE, :T_ICLASS, :T_FILE)
FEATURES = $LOADED_FEATURES.map(&:dup)
SPECS = Gem.loaded_specs.map { |name, spec| [name, spec.version.to_s, spec.full_gem_path] }
OPENED = File.open('/dev/null', &:fileno)
MARKED = $marked
$marked = ENV['AWS_LAMBDA_FUNCTION_NAME']

def handler(event:, context:)
  return exit! 3 if event == 'exit'
  status = File.readlines('/proc/self/status').grep(/^(Cap|Sig|Shd|NoNew|Seccomp|Umask|NS|Threads)/)
  state = lambda do |object|
    names = object.instance_variables - %i[@path_to_default_spec_map @loaded_specs @paths]
    names.sort.map { |name| [name, object.instance_variable_get(name).inspect.gsub(/0x\\h+/, '')] }
  end
  { waited: WAITED, marked: MARKED, inherited: ENV['SECRET'], uid: Process.uid, tmp: Dir.children('/tmp'),
    random: [Random.new_seed, rand(2**64)].map(&:to_s),
    child: `env`.lines.map(&:chomp),
    alike: {
      objects: COUNTS,
      environment: ENV.to_a, encodings: ENV.to_a.flatten.map(&:encoding).uniq.map(&:to_s),
      features: FEATURES, load_path: $LOAD_PATH.map(&:to_s), specs: SPECS,
      gem_path: Gem.path, gem_dir: Gem.dir, gem: state.call(Gem), gem_paths: state.call(Gem.paths),
      gem_classes: Gem::Specification.class_variables.sort,
      default_files: Gem.instance_variable_get(:@path_to_default_spec_map)&.size,
      program: [$0, $PROGRAM_NAME, ARGV, __FILE__, RbConfig.ruby],
      pwd: [Dir.pwd, File.expand_path('x'), Dir.children('.').sort],
      limits: %i[CORE CPU DATA FSIZE NOFILE NPROC STACK AS].map { |name| [name, Process.getrlimit(name)] },
      opened: OPENED, descriptors: Dir.children('/proc/self/fd').sort.map { |name|
        [name, File.readlink("/proc/self/fd/#{name}").gsub(/\\d+/, '#')] rescue nil },
      signals: (Signal.list.keys - %w[EXIT KILL STOP VTALRM SEGV BUS ILL FPE]).map { |name|
        [name, (old = trap(name, 'DEFAULT')).to_s, trap(name, old).to_s] rescue name },
      threads: Thread.list.map { |thread| [thread.status, thread.name, thread.priority] }, ids: [Process.pid, Process.ppid],
      default_encodings: [Encoding.default_external, Encoding.default_internal, Encoding.find('locale'),
                          Encoding.find('filesystem'), $stdin.external_encoding, $stdout.external_encoding].map(&:to_s),
      streams: [$stdin, $stdout, $stderr].map { |io| [io.fileno, io.sync, io.tty?, io.close_on_exec?, io.binmode?] },
      gc: GC.stress, verbose: [$VERBOSE, $DEBUG].map(&:to_s),
      time: Time.at(0).to_s, umask: File.umask, groups: Process.groups.size, session: Process.getpgrp,
      globals: global_variables.sort, constants: Object.constants.sort,
      mounts: File.read('/proc/self/mounts').gsub(/uid=\\d+|lambdad-\\w+/, ''),
      line: File.read('/proc/self/cmdline'), score: File.read('/proc/self/oom_score_adj'), status: status,
      others: Dir.children('/proc').grep(/^\\d+$/).sort.first(3),
    } }
end
"""
#: Whoever sets one of Ruby's variables gets an interpreter of its own.
APART = {"Variables": {"RUBY_APART": "1"}}


@dataclass(frozen=True)
class Place:
    server: Server
    runtime: str
    #: It is not started by a script of lambdad's, whose shell sorts the variables in its own way.
    keeps_order: bool


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Where the machine has no Ruby but Debian 12's, which is not one of AWS's, that stands in."""
    with running(tmp_path_factory.mktemp("pre-booted"), "--runtime-substitutes", "ruby3.2=ruby3.1") as server:
        ready = [name for name in server.health()["runtimes"]["available"] if name.startswith("ruby")]
        if not ready:
            pytest.skip("no Ruby on this machine (Debian: apt-get install ruby; or lambdad runtime install ruby3.3)")
        runtime = "ruby3.2" if "ruby3.2" in ready else ready[-1]
        yield Place(server, runtime, keeps_order=runtime == "ruby3.2")


def create(place: Place, name: str, source: str = PROBE, **settings: Any) -> None:
    settings = {"Runtime": place.runtime, "Handler": "app.handler", "Timeout": 20, "MemorySize": 256, **settings}
    files = settings.pop("files", {})
    code = {"ZipFile": zipped({"app.rb": source, **files}, tuple(name for name in files if "/" not in name))}
    place.server.client("lambda").create_function(FunctionName=name, Role=ROLE, Code=code, **settings)
    place.server.wait_active(name)


def begun(place: Place, name: str, event: Any = None, runtime: str | None = None) -> tuple[bool, dict[str, Any]]:
    """Whether a function's first invocation, with one runtime waiting, was run by that; and what it answered."""
    runtime = runtime or place.runtime
    place.server.wait_for_pre_booted(runtime)
    answer = place.server.invoke(name, event)
    return answer["waited"], answer


@pytest.fixture(scope="module")
def primed(place: Place) -> dict[str, Any]:
    """What a function answers that was started by itself: the first of its memory size."""
    create(place, "by-itself", Environment={"Variables": {"SECRET": "of another", "COLOUR": "grün", "LINES": 'a\n"b"\\'}})
    return place.server.invoke("by-itself")


def test_a_function_cannot_tell_whether_its_interpreter_was_there_before(place: Place, primed: dict[str, Any]) -> None:
    """Variables in their order, also of programs that it starts; what is loaded; RubyGems; descriptors, signals, threads."""
    create(place, "in-waiting", Environment={"Variables": {"SECRET": "mine", "COLOUR": "grün", "LINES": 'a\n"b"\\'}})
    was_waiting, answer = begun(place, "in-waiting")
    assert was_waiting
    check_alike(place, primed, answer)
    assert dict(answer["alike"]["environment"])["LINES"] == 'a\n"b"\\'


def check_alike(place: Place, ordinary: dict[str, Any], answer: dict[str, Any]) -> None:
    """But for what is each function's own, of which only its own is there."""
    assert (answer["marked"], answer["inherited"], answer["tmp"]) == (None, "mine", [])
    assert answer["uid"] != ordinary["uid"]
    assert not set(answer["random"]) & set(ordinary["random"])
    assert "SECRET=mine" in answer["child"]
    both = [dict(each["alike"]) for each in (ordinary, answer)]
    for each in both:
        each["environment"] = masked(each["environment"])
        if not place.keeps_order:
            each["environment"].sort()
    for name in both[0]:
        assert both[1][name] == both[0][name], name
    children = [[line.partition("=")[0] for line in each["child"]] for each in (ordinary, answer)]
    assert children[0] == children[1] if place.keeps_order else sorted(children[0]) == sorted(children[1])


GEMSPEC = (
    "Gem::Specification.new {{ |s| s.name = '{0}'; s.version = '99.0'; s.summary = 's'; s.authors = ['a']; s.files = {1} }}\n"
)


def gem(place: Place, name: str, files: dict[str, str]) -> dict[str, str]:
    """Of version 99.0, in a package."""
    folder = f"vendor/bundle/ruby/{place.runtime.removeprefix('ruby')}.0"
    listed = json.dumps([f"lib/{path}" for path in files])
    return {
        f"{folder}/specifications/{name}-99.0.gemspec": GEMSPEC.format(name, listed),
        **{f"{folder}/gems/{name}-99.0/lib/{path}": text for path, text in files.items()},
    }


SOCKET = "SOCKET_OF_FUNCTION = 1\nrequire 'socket.so'\n"
VERSIONED = """
# The kernel keeps what a program was started with.
WAITED = File.read('/proc/self/environ').include?('_LAMBDAD_BOOT')
def handler(event:, context:)
  { waited: WAITED, logger: defined?(Logger::OWN), json: defined?(JSON::OWN), spelling: defined?(DidYouMean::OWN),
    socket: defined?(SOCKET_OF_FUNCTION), tag: ENV['TAG'],
    zone: Time.at(0).to_s, options: $-w, opened: File.open('/dev/null', &:fileno), files: Dir.children('/proc/self/fd').size,
    names: ENV.keys - %w[TAG RUBY_APART], program: [$0, ARGV, Dir.pwd], line: File.read('/proc/self/cmdline'),
    status: File.readlines('/proc/self/status').grep(/^(Sig|Threads|Cap)/),
    homes: [Dir.home, Gem.user_home, Gem.user_dir, Gem.instance_variables.grep(/_home/).sort.map { |name|
      [name, Gem.instance_variable_get(name)] }] }
end
"""


def test_a_function_that_brings_a_newer_library_has_its_own(place: Place, primed: dict[str, Any]) -> None:
    """Of those that the client loads, in an interpreter that waited; as in one that did not. Its home is its own, too."""
    home = {"HOME": "/var/task", "XDG_DATA_HOME": "/var/task/data"}
    own = "load File.join(RbConfig::CONFIG['rubylibdir'], '{0}.rb')\n{1}::OWN = 1\n"
    files = {
        **gem(place, "logger", {"logger.rb": own.format("logger", "Logger")}),
        **gem(place, "json", {"json.rb": own.format("json", "JSON")}),
    }
    create(place, "newer-apart", VERSIONED, files=files, Environment={"Variables": {**home, **APART["Variables"]}})
    apart = place.server.invoke("newer-apart")
    create(place, "newer", VERSIONED, files=files, Environment={"Variables": home})
    was_waiting, answer = begun(place, "newer")
    assert was_waiting
    assert {**answer, "waited": False} == apart
    assert (answer["logger"], answer["json"]) == ("constant", "constant")


@pytest.mark.parametrize("which", ["gem", "file"])
def test_what_ruby_would_load_at_its_start_is_loaded(place: Place, primed: dict[str, Any], which: str) -> None:
    """A function that has something in the place of what has been loaded already: Ruby is started anew, with its variables."""
    files = {"socket.rb": SOCKET}
    if which == "gem":
        files = gem(place, "did_you_mean", {"did_you_mean.rb": "module DidYouMean; OWN = 1; end\n"})
    create(place, f"early-{which}-apart", VERSIONED, files=files, Environment=APART)
    apart = place.server.invoke(f"early-{which}-apart")
    create(place, f"early-{which}", VERSIONED, files=files, Environment={"Variables": {"TAG": which}})
    answer = begun(place, f"early-{which}")[1]
    assert answer == {**apart, "tag": which}
    assert answer["socket" if which == "file" else "spelling"]


@pytest.mark.parametrize("name, value", [("TZ", "Asia/Tokyo"), ("RUBYOPT", "-w"), ("GEM_VENDOR", "/opt")])
def test_what_ruby_reads_when_it_starts_is_honoured(place: Place, primed: dict[str, Any], name: str, value: str) -> None:
    """Such a function gets an interpreter of its own."""
    create(place, f"sets-{name}", VERSIONED, Environment={"Variables": {name: value}})
    was_waiting, answer = begun(place, f"sets-{name}")
    assert not was_waiting
    assert ("+0900" in answer["zone"]) == (name == "TZ")
    assert bool(answer["options"]) == (name == "RUBYOPT")


def test_failures_are_as_ever(place: Place, primed: dict[str, Any]) -> None:
    """What does not load is an error of Init; what ends is started again, and not in an interpreter that waited."""
    create(place, "broken", "raise RangeError, 'at load'")
    place.server.wait_for_pre_booted(place.runtime)
    client = place.server.client("lambda")
    answer = json.loads(client.invoke(FunctionName="broken")["Payload"].read())
    assert (answer["errorType"], answer["errorMessage"]) == ("Init<RangeError>", "at load")
    create(place, "exits")
    assert begun(place, "exits")[0]
    assert "Runtime.ExitError" in client.invoke(FunctionName="exits", Payload=b'"exit"')["Payload"].read().decode()
    again = place.server.invoke("exits")
    assert (again["waited"], again["marked"]) == (False, None)


@pytest.mark.long
@pytest.mark.parametrize("runtime", ["ruby2.7", "ruby3.3", "ruby3.4"])
def test_nor_can_one_in_another_version(place: Place, runtime: str) -> None:
    """Each release of Ruby has its own ways to start. Last, since four kinds of runtimes wait at most."""
    if runtime not in place.server.health()["runtimes"]["available"]:
        pytest.skip(f"no interpreter for {runtime}")
    first, second = (f"{name}-{runtime.replace('.', '')}" for name in ("by-itself", "in-waiting"))
    create(place, first, Runtime=runtime, Environment={"Variables": {"SECRET": "of another"}})
    ordinary = place.server.invoke(first)
    create(place, second, Runtime=runtime, Environment={"Variables": {"SECRET": "mine"}})
    was_waiting, answer = begun(place, second, runtime=runtime)
    assert was_waiting
    check_alike(Place(place.server, runtime, keeps_order=False), ordinary, answer)
    third = f"early-{runtime.replace('.', '')}"
    create(place, third, VERSIONED, Runtime=runtime, files={"socket.rb": SOCKET}, Environment={"Variables": {"TAG": "own"}})
    was_waiting, answer = begun(place, third, runtime=runtime)
    assert (was_waiting, answer["socket"], answer["tag"]) == (False, "constant", "own")
