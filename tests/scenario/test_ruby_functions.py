"""Functions in Ruby on a running server."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.server import ROLE, Server, running, wait_until, zipped

pytestmark = pytest.mark.root

FUNCTION = """
require 'logger'
require 'from_gem'
require 'from_lib'
require 'openssl'
require 'rexml/document'
LOG = Logger.new($stdout)

def native
  return unless File.size?('/opt/lib/libfrom_layer.so')
  require 'fiddle'
  Fiddle::Function.new(Fiddle.dlopen('libfrom_layer.so')['answer'], [], Fiddle::TYPE_INT).call
end

def handler(event:, context:)
  puts "two\\nlines"
  LOG.info("logged\\ntwice")
  case event
  when 'fail' then raise ArgumentError, 'as asked'
  when 'name' then nonsense
  when 'exit' then exit! 3
  when 'sleep' then sleep
  when 'huge' then 'x' * (7 << 20)
  else
    { event: event, env: ENV.to_h, count: $count = $count.to_i + 1, gem: FromGem::NAME, lib: FromLib::NAME,
      id: context.aws_request_id, library: OpenSSL::Digest.hexdigest('SHA256', ''), version: RUBY_VERSION,
      inner: `ruby -e 'print RUBY_VERSION'`, program: `from_layer`, native: native }
  end
end
"""
SDK = """
require 'aws-sdk-s3'
S3 = Aws::S3::Client.new
def handler(event:, context:)
  S3.put_object(bucket: event, key: 'a b', body: 'hello')
  begin
    require 'aws-sdk-dynamodb'
  rescue LoadError => e
    missing = e.message
  end
  [S3.get_object(bucket: event, key: 'a b').body.read, Aws::STS::Client.new.get_caller_identity.account, missing]
end
"""
GEMSPEC = "Gem::Specification.new { |s| s.name = 'from_gem'; s.version = '1.0'; s.summary = 's'; s.authors = ['a'] }\n"


@dataclass(frozen=True)
class Place:
    """A server and the newest of AWS's Rubies that it can run. `is_own` says that no other Ruby stands in for it."""

    server: Server
    runtime: str
    is_own: bool


@pytest.fixture(scope="module")
def place(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Where the machine has none but Debian 12's, which is not one of AWS's, a server whose settings let that stand in."""
    ready = [name for name in server.health()["runtimes"]["available"] if name.startswith("ruby")]
    if ready:
        yield Place(server, ready[-1], is_own=True)
        return
    with running(tmp_path_factory.mktemp("ruby"), "--runtime-substitutes", "ruby3.2=ruby3.1") as other:
        if "ruby3.2" not in other.health()["runtimes"]["available"]:
            pytest.skip("no Ruby on this machine (Debian: apt-get install ruby; or lambdad runtime install ruby3.3)")
        yield Place(other, "ruby3.2", is_own=False)


def _library(folder: Path) -> bytes:
    """One that needs no other; empty where there is no compiler."""
    if shutil.which("cc") is None:
        return b""
    (folder / "answer.c").write_text("int answer(void) { return 42; }\n")
    subprocess.run(["cc", "-shared", "-nostdlib", "-fPIC", "-o", "answer.so", "answer.c"], cwd=folder, check=True, timeout=60)
    return (folder / "answer.so").read_bytes()


def create(place: Place, name: str, source: str = FUNCTION, **settings: Any) -> None:
    settings = {"Handler": "app.handler", "Timeout": 15, "MemorySize": 256, **settings}
    code = {"ZipFile": zipped({"app.rb": source})}
    lambda_ = place.server.client("lambda")
    lambda_.create_function(FunctionName=name, Runtime=place.runtime, Role=ROLE, Code=code, **settings)
    place.server.wait_active(name)


def test_a_function_in_ruby_lives_as_on_aws(place: Place, tmp_path: Path) -> None:
    """Gems, programs and libraries come from layers, AWS's variables are there, messages are one log event each, and after
    every failure, also one that ends the process, the next invocation works."""
    server, runtime = place.server, place.runtime
    interface = f"{runtime.removeprefix('ruby')}.0"
    layers = []
    for name, files in {
        "gem": {
            f"ruby/gems/{interface}/gems/from_gem-1.0/lib/from_gem.rb": "module FromGem; NAME = 'gem'; end\n",
            f"ruby/gems/{interface}/specifications/from_gem-1.0.gemspec": GEMSPEC,
            "ruby/lib/from_lib.rb": "module FromLib; NAME = 'first'; end\n",
            "bin/from_layer": "#!/bin/sh\nprintf program\n",
            "lib/libfrom_layer.so": _library(tmp_path),
        },
        "lib": {"ruby/lib/from_lib.rb": "module FromLib; NAME = 'second'; end\n"},
    }.items():
        made = server.client("lambda").publish_layer_version(
            LayerName=f"ruby-{name}", Content={"ZipFile": zipped(files, ("bin/from_layer",))}
        )
        layers.append(made["LayerVersionArn"])
    create(place, "ruby-function", Layers=layers, Timeout=8)
    answer = server.invoke("ruby-function", {"k": "こ"})
    assert (answer["event"], answer["gem"], answer["lib"], answer["count"]) == ({"k": "こ"}, "gem", "second", 1)
    assert (answer["program"], answer["native"]) == ("program", 42 if shutil.which("cc") else None)
    assert answer["library"].startswith("e3b0c442") and answer["inner"] == answer["version"]
    assert answer["version"].startswith(runtime.removeprefix("ruby") if place.is_own else "3.1")
    variables = answer["env"]
    assert variables["AWS_EXECUTION_ENV"] == f"AWS_Lambda_{runtime}"
    assert variables["GEM_HOME"] == "/var/runtime"
    assert variables["GEM_PATH"].startswith(f"/var/task/vendor/bundle/ruby/{interface}:/opt/ruby/gems/{interface}:")
    assert variables["RUBYLIB"] == "/var/task:/var/runtime/lib:/opt/ruby/lib"
    assert not [name for name in variables if name.startswith("_LAMBDA")]
    raised = server.fail_again("ruby-function", "fail")
    assert (raised["errorType"], raised["errorMessage"]) == ("Function<ArgumentError>", "as asked")
    assert raised["stackTrace"][0].startswith("/var/task/app.rb:19:in ")
    assert server.fail_again("ruby-function", "huge")["errorType"] == "Function.ResponseSizeTooLarge"
    assert server.invoke_again("ruby-function")["count"] == 2
    assert server.fail_again("ruby-function", "name")["errorType"] == "Function<NameError>"
    assert server.invoke_again("ruby-function")["count"] == 1
    assert server.fail_again("ruby-function", "exit")["errorMessage"].endswith("Runtime exited with error: exit status 3")
    assert server.invoke_again("ruby-function")["count"] == 1
    # The caller has its answer before the last line has been read from the function.
    wait_until(lambda: server.messages("/aws/lambda/ruby-function").count("two\nlines\n") == 8, 20, "eight messages")
    messages = server.messages("/aws/lambda/ruby-function")
    assert [text for text in messages if f"INFO {answer['id']} -- : logged\ntwice" in text]
    assert any(text.startswith(f"INIT_START Runtime Version: {runtime.replace('ruby', 'ruby:')}.") for text in messages)


@pytest.mark.parametrize(
    "source, handler, error_type",
    [
        ("def handler(event:, context:\n", "app.handler", "Init<SyntaxError>"),
        ("raise 'not today'", "app.handler", "Init<RuntimeError>"),
        ("exit 3", "app.handler", "Init<SystemExit>"),
        ("exit! 3", "app.handler", "Runtime.ExitError"),
        ("", "absent.handler", "Init<LoadError>"),
        ("", "app.handler", "Function<NoMethodError>"),
    ],
    ids=["syntax", "raises", "exits", "leaves", "absent", "no-method"],
)
def test_a_function_in_ruby_that_cannot_be_loaded_says_why_each_time(
    place: Place, request: pytest.FixtureRequest, source: str, handler: str, error_type: str
) -> None:
    """Two invocations, two answers with the same error."""
    name = f"ruby-load-{request.node.callspec.id}"
    create(place, name, source, Handler=handler)
    assert [place.server.failure(name)["errorType"] for _ in range(2)] == [error_type] * 2


def test_a_function_in_ruby_that_never_returns_times_out(place: Place) -> None:
    """Its process is killed, and the next invocation has a new one."""
    create(place, "ruby-sleeps", "def handler(event:, context:)\n  event ? sleep : 1\nend\n", Timeout=4)
    assert "Task timed out after 4.00 seconds" in place.server.failure("ruby-sleeps", 1)["errorMessage"]
    assert place.server.invoke("ruby-sleeps") == 1


def test_functions_use_the_sdk_that_the_runtime_brings(place: Place) -> None:
    """Without a word on where lambdad is; a service that Debian has no gem of is Ruby's own error."""
    server = place.server
    server.client("s3").create_bucket(Bucket="ruby-sdk")
    create(place, "ruby-sdk", SDK, Timeout=30)
    problem = server.health()["runtimes"]["problems"].get(place.runtime, "")
    if "apt" in problem:  # it could not be fetched; whether it runs is what this is about
        pytest.skip(problem)
    assert problem == ""
    answer = server.client("lambda").invoke(FunctionName="ruby-sdk", Payload=b'"ruby-sdk"')
    expected = ["hello", "000000000000", "cannot load such file -- aws-sdk-dynamodb"]
    assert json.loads(answer["Payload"].read()) == expected
    assert server.client("s3").get_object(Bucket="ruby-sdk", Key="a b")["Body"].read() == b"hello"
