"""The Ruby runtime client as a real process of every Ruby found, against a Runtime API that writes everything down."""

from __future__ import annotations

import json
import re
import struct
import time

import pytest

from support.ruby_runtime import CLIENT, Ruby
from support.runtime_api import ARN, LIMIT, REQUEST_ID, RuntimeProcess, Told

ECHO = "def handler(event:, context:)\n  event\nend\n"


def init_error(ruby: Ruby, process: RuntimeProcess) -> tuple[Told, str]:
    with process:
        told = ruby.api.told.get(timeout=60)
        assert process.wait() == 252
        return told, process.ended_log()


@pytest.mark.parametrize(
    "handler, file, source",
    [
        ("app.handler", "app.rb", "def handler(event:, context:)\n  [event, self.class]\nend\n"),
        ("lib/app.handler", "lib/app.rb", "def handler(event:, context:)\n  [event, self.class]\nend\n"),
        ("app.Handler.call", "app.rb", "class Handler\n  def self.call(event:, context:)\n    [event, self]\n  end\nend\n"),
        (
            "app.Shop::Order.call",
            "app.rb",
            "module Shop\n  module Order\n    def self.call(event:, context:)\n      [event, self]\n    end\n  end\nend\n",
        ),
    ],
)
def test_handler_strings_name_methods_and_methods_of_classes(ruby: Ruby, handler: str, file: str, source: str) -> None:
    """ "file.method" and "file.Class.method", the class perhaps in modules, are called with event and context by keyword."""
    ruby.write(file, source)
    with ruby.start(handler) as process:
        told = process.invoke(b'{"a": "\xe3\x81\x93"}')
    owner = handler.split(".")[1] if handler.count(".") == 2 else "LambdaHandler"
    assert told.path == f"/2018-06-01/runtime/invocation/{REQUEST_ID}/response"
    assert told.headers["content-type"] == "application/json"
    assert json.loads(told.body) == [{"a": "こ"}, owner]


def test_every_kind_of_json_goes_in_and_comes_out(ruby: Ruby) -> None:
    """Bare numbers, strings and null are documents too, and UTF-8 stays UTF-8."""
    events = [b"1", b'"text"', b"null", b"[]", b"true", b"1.5", b'{"a":{"b":[1,null,"\xe3\x81\x93"]}}']
    with ruby.run(ECHO) as process:
        assert [process.invoke(event).body for event in events] == events


def test_what_is_returned_is_told_as_ruby_tells_it(ruby: Ruby) -> None:
    """Symbols and objects become strings, an IO's content goes out raw, and an event that is no JSON arrives as it is."""
    source = """
require 'stringio'
def handler(event:, context:)
  case event
  when 'raw' then StringIO.new("\\x00\\xff".b)
  when 'symbols' then { a: :b, 'c' => Object }
  else event.upcase
  end
end
"""
    with ruby.run(source) as process:
        raw = process.invoke(b'"raw"')
        assert (raw.body, raw.headers["content-type"]) == (b"\x00\xff", "application/unknown")
        assert json.loads(process.invoke(b'"symbols"').body) == {"a": "b", "c": "Object"}
        assert process.invoke(b"plain", content_type="text/plain").body == b'"PLAIN"'


def test_objects_say_how_they_are_told(ruby: Ruby) -> None:
    """By `to_json`, with or without arguments, as Rails puts its own in place of Object's; an empty IO is an empty body."""
    source = """
require 'stringio'
class Money
  def to_json
    '{"amount":"1.50"}'
  end
end
class Time
  def to_json(*)
    strftime('"%Y"')
  end
end
def handler(event:, context:)
  { 'money' => Money.new, 'times' => [Time.at(0).utc], 'empty' => StringIO.new }[event]
end
"""
    with ruby.run(source) as process:
        assert [process.invoke(b'"%s"' % name).body for name in (b"money", b"times", b"empty")] == [
            b'{"amount":"1.50"}',
            b'["1970"]',
            b"",
        ]


def test_libraries_find_what_they_know_of_the_runtime(ruby: Ruby) -> None:
    """The methods that make JSON, which a function may replace, the class of the context, and the request id of loggers."""
    source = """
module AwsLambda
  class Marshaller
    class << self
      alias own marshall_response
      def marshall_request(raw)
        [raw['Lambda-Runtime-Aws-Request-Id'], raw.body]
      end

      def marshall_response(value)
        [own(value), 'application/x-mine']
      end
    end
  end
end
def handler(event:, context:)
  event + [$_global_aws_request_id, context.is_a?(LambdaContext)]
end
"""
    with ruby.run(source) as process:
        told = process.invoke(b"no JSON")
    assert json.loads(told.body) == [REQUEST_ID, "no JSON", REQUEST_ID, True]
    assert told.headers["content-type"] == "application/x-mine"


def test_state_outlives_an_invocation(ruby: Ruby) -> None:
    """The process keeps its state between invocations and asks for the next one after each answer."""
    with ruby.run("$seen = []\ndef handler(event:, context:)\n  $seen << event\nend\n") as process:
        bodies = [json.loads(process.invoke(b"%d" % number).body) for number in range(3)]
    assert bodies == [[0], [0, 1], [0, 1, 2]]


def test_the_context_has_all_fields_of_the_invocation(ruby: Ruby) -> None:
    """Everything from the headers and the environment, the remaining time counting down and never below nothing."""
    source = """
def handler(event:, context:)
  names = %i[aws_request_id invoked_function_arn log_group_name log_stream_name function_name memory_limit_in_mb
             function_version identity client_context tenant_id deadline_ms]
  fields = names.map { |name| [name, context.public_send(name)] }.to_h
  fields.merge(remaining: context.get_remaining_time_in_millis, trace: ENV['_X_AMZN_TRACE_ID'], kind: context.class)
end
"""
    deadline = int(time.time() * 1000) + 20_000
    with ruby.run(source) as process:
        seen = json.loads(
            process.invoke(
                deadline_ms=str(deadline),
                client_context='{"client":{"app_title":"t"},"custom":{"k":1},"env":{}}',
                cognito_identity='{"cognitoIdentityId":"i","cognitoIdentityPoolId":"p"}',
                aws_tenant_id="tenant",
            ).body
        )
        bare = json.loads(process.invoke(deadline_ms="1", trace_id=None).body)
    assert 0 < seen.pop("remaining") <= 20_000
    assert seen == {
        "aws_request_id": REQUEST_ID,
        "invoked_function_arn": ARN,
        "log_group_name": "/aws/lambda/hello",
        "log_stream_name": "2026/11/23/[$LATEST]0123456789abcdef0123456789abcdef",
        "function_name": "hello",
        "memory_limit_in_mb": "128",
        "function_version": "$LATEST",
        "identity": {"cognitoIdentityId": "i", "cognitoIdentityPoolId": "p"},
        "client_context": {"client": {"app_title": "t"}, "custom": {"k": 1}, "env": {}},
        "tenant_id": "tenant",
        "deadline_ms": deadline,
        "trace": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
        "kind": "LambdaRuntime::Context",
    }
    assert (bare["remaining"], bare["identity"], bare["client_context"], bare["trace"]) == (0, None, None, None)


LOAD_FAULTS = {
    "absent-file": ("absent.handler", "", "LoadError", "cannot load such file -- absent"),
    "syntax": ("app.handler", "def handler(event:, context:\n", "SyntaxError", None),
    "raises": ("app.handler", "raise 'not today'", "RuntimeError", "not today"),
    "exits": ("app.handler", "exit 3", "SystemExit", "exit"),
    "requires": ("app.handler", "require 'no/such/gem'", "LoadError", "cannot load such file -- no/such/gem"),
    "one-part": ("handler", "", "ArgumentError", 'Invalid handler ["handler"], must be of form FILENAME.METHOD'),
    "four-parts": ("a.b.c.d", "", "ArgumentError", 'Invalid handler ["a", "b", "c", "d"], must be of form'),
}


@pytest.mark.parametrize("case", LOAD_FAULTS)
def test_a_function_that_cannot_be_loaded_reports_an_init_error(ruby: Ruby, case: str) -> None:
    """Init<Class> with its message is posted and logged, the header tells only classes that AWS tells, and the process ends."""
    handler, source, kind, message = LOAD_FAULTS[case]
    ruby.write("app.rb", source)
    told, log = init_error(ruby, ruby.start(handler))
    assert told.path == "/2018-06-01/runtime/init/error"
    body = json.loads(told.body)
    assert list(body) == ["errorMessage", "errorType", "stackTrace"]
    assert body["errorType"] == f"Init<{kind}>"
    assert message is None or str(body["errorMessage"]).startswith(message)
    header = "Function<UserException>" if kind in {"SyntaxError", "RuntimeError"} else f"Init<{kind}>"
    assert told.headers["lambda-runtime-function-error-type"] == header
    assert log.startswith(f"Init error when loading handler {handler}\r")


def test_a_process_that_is_left_while_loading_just_ends(ruby: Ruby) -> None:
    """exit! runs nothing more: the platform has only the status."""
    with ruby.run("exit! 7") as process:
        assert process.wait() == 7


ORDINARY = {
    "raised": ("raise ArgumentError, 'no é'", "ArgumentError", "no é"),
    "own-class": ("raise Class.new(StandardError), 'mine'", None, "mine"),
    "circular": ("a = []; a << a", "JSON::NestingError", None),
    "no-json": ("Float::NAN", "JSON::GeneratorError", None),
    "binary": ('{ a: "\\xff".b }', None, None),
    "signature": ("other(event)", "ArgumentError", None),
}


def test_an_error_of_the_handler_is_the_invocations_alone(ruby: Ruby) -> None:
    """Function<Class> with message and the function's own frames; the same process serves the next invocation."""
    cases = "".join(f"  when '{case}' then {code}\n" for case, (code, _, _) in ORDINARY.items())
    source = f"def other(event:); end\ndef handler(event:, context:)\n  case event\n{cases}  else event\n  end\nend\n"
    with ruby.run(source) as process:
        for number, (case, (_, kind, message)) in enumerate(ORDINARY.items()):
            told = process.invoke(json.dumps(case).encode())
            assert process.invoke(b"%d" % number).body == b"%d" % number
            body = json.loads(told.body)
            assert told.path == f"/2018-06-01/runtime/invocation/{REQUEST_ID}/error"
            assert kind is None or body["errorType"] == f"Function<{kind}>", case
            assert message is None or body["errorMessage"] == message
            header = body["errorType"] if kind == "ArgumentError" else "Function<UserException>"
            assert told.headers["lambda-runtime-function-error-type"] == header
            assert not [frame for frame in body["stackTrace"] if str(CLIENT) in frame], body
            if case == "raised":
                assert len(body["stackTrace"]) == 1
                assert re.match(rf"{re.escape(str(ruby.task))}/app\.rb:4:in ['`]", body["stackTrace"][0])
        log = process.ended_log()
    assert log.count("Error raised from handler method\r") == len(ORDINARY)


FATAL = {
    "missing": ("app.nothing", "x = 1", "NoMethodError", "undefined method"),
    "missing-class": ("app.Nothing.call", "x = 1", "NameError", "uninitialized constant Nothing"),
    "wrong-method": ("app.Handler.call", "class Handler; end", "NoMethodError", "undefined method"),
    "name": ("app.handler", "def handler(event:, context:)\n  nonsense\nend", "NameError", "undefined local variable"),
    "exit": ("app.handler", "def handler(event:, context:)\n  exit 3\nend", "SystemExit", "exit"),
    "deep": ("app.handler", "def handler(event:, context:)\n  handler(event: 1, context: 2)\nend", "SystemStackError", "stack"),
    "exception": ("app.handler", "def handler(event:, context:)\n  raise Exception, 'x'\nend", "Exception", "x"),
}


@pytest.mark.parametrize("case", FATAL)
def test_some_errors_of_the_handler_end_the_process(ruby: Ruby, case: str) -> None:
    """Names that are not there and what is no StandardError are told to the caller, and then the process ends with 255."""
    handler, source, kind, message = FATAL[case]
    ruby.write("app.rb", source)
    with ruby.start(handler) as process:
        told = process.invoke()
        assert process.wait() == 255
        log = process.ended_log()
    body = json.loads(told.body)
    assert told.kind == "error"
    assert body["errorType"] == f"Function<{kind}>"
    assert str(body["errorMessage"]).startswith(message)
    assert told.headers["lambda-runtime-function-error-type"] == f"Function<{kind}>"
    assert log.startswith("Critical exception from handler\r")


def test_a_wrong_signature_is_the_functions_error(ruby: Ruby) -> None:
    """A method that takes no keywords gets an ArgumentError from Ruby itself."""
    with ruby.run("def handler(a, b)\n  1\nend\n") as process:
        body = json.loads(process.invoke().body)
    assert body["errorType"] == "Function<ArgumentError>"
    assert str(body["errorMessage"]).startswith("wrong number of arguments")


def test_an_answer_may_be_as_long_as_the_limit_and_a_longer_one_ends_nothing(ruby: Ruby) -> None:
    """6,291,556 bytes pass; a longer answer is refused by the Runtime API and the same process serves the next invocation."""
    with ruby.run("def handler(event:, context:)\n  'x' * event\nend\n") as process:
        assert len(process.invoke(b"%d" % (LIMIT - 2)).body) == LIMIT
        assert process.invoke(b"%d" % (LIMIT * 2)).body == b""
        assert process.invoke(b"1").body == b'"x"'


def test_a_forked_child_does_not_answer(ruby: Ruby) -> None:
    """A child that comes back from the handler ends silently."""
    source = "def handler(event:, context:)\n  pid = fork\n  Process.wait(pid) if pid\n  pid ? 'parent' : 'child'\nend\n"
    with ruby.run(source) as process:
        assert [process.invoke().body for _ in range(2)] == [b'"parent"', b'"parent"']


LOGGING = """
require 'logger'
LOG = Logger.new($stdout)
def handler(event:, context:)
  puts "two\\nlines"
  print "printed\\n"
  LOG.info("one\\ntwo é")
  LOG.warn('prog') { 'block' }
  Logger.new($stderr, level: Logger::ERROR).info('unseen')
  nil
end
"""


def frames(log: bytes) -> list[tuple[int, bytes]]:
    """(type, text) of frames; plain text between them has type 0."""
    found = []
    while log:
        if log[:2] == b"\xa5\x5a":
            kind, length, _ = struct.unpack(">IIQ", log[:16])
            found.append((kind, log[16 : 16 + length]))
            log = log[16 + length :]
        else:
            end = log.index(b"\n") + 1
            found.append((0, log[:end]))
            log = log[end:]
    return found


def test_messages_are_framed_where_the_platform_reads_frames(ruby: Ruby) -> None:
    """`puts` and each Logger message are one event each, whatever lines they hold, with the request's id and the level."""
    with ruby.run(LOGGING, _LAMBDA_TELEMETRY_LOG_FD="1") as process:
        process.invoke()
        log = process.ended_log().encode("utf-8", "surrogateescape")
    events = frames(log)
    stamp = rb"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6} #\d+\] "
    assert events[0] == (0xA55A0003, b"two\nlines")
    assert events[1] == (0, b"printed\n")
    assert events[2][0] == 0xA55A000F
    assert re.fullmatch(rb"I, " + stamp + rb" INFO %s -- : one\ntwo \xc3\xa9" % REQUEST_ID.encode(), events[2][1])
    assert events[3][0] == 0xA55A0013
    assert re.fullmatch(rb"W, " + stamp + rb" WARN %s -- prog: block" % REQUEST_ID.encode(), events[3][1])
    assert len(events) == 4


def test_logging_works_without_frames(ruby: Ruby) -> None:
    """Outside the platform, a message is a line with the request's id in which line ends have become carriage returns."""
    with ruby.run(LOGGING) as process:
        process.invoke()
        log = process.ended_log()
    assert log.startswith("two\nlines\nprinted\nI, [")
    assert f" INFO {REQUEST_ID} -- : one\rtwo é\n" in log


STRUCTURED = """
require 'logger'
def handler(event:, context:)
  log = Logger.new($stdout)
  log.info('no')
  log.warn('yes')
  raise 'out'
end
"""
WANTS_JSON = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "WARN", "_LAMBDA_TELEMETRY_LOG_FD": "1"}


def test_the_newest_runtime_writes_json_where_the_function_wants_it(ruby: Ruby) -> None:
    """From ruby4.0 on Logger messages and errors are JSON objects, and the function's level holds."""
    with ruby.run(STRUCTURED, AWS_EXECUTION_ENV="AWS_Lambda_ruby4.0", **WANTS_JSON) as process:
        process.invoke(aws_tenant_id="blue")
        events = frames(process.ended_log().encode("utf-8", "surrogateescape"))
    assert [kind for kind, _ in events] == [0xA55A0012, 0xA55A0016]
    said, failed = (json.loads(text) for _, text in events)
    assert (said["level"], said["message"], said["requestId"]) == ("WARN", "yes", REQUEST_ID)
    assert said["tenantId"] == failed["tenantId"] == "blue"
    assert (failed["level"], failed["errorMessage"], failed["errorType"]) == ("ERROR", "out", "Function<RuntimeError>")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said["timestamp"])


def test_older_runtimes_write_text_whatever_the_function_wants(ruby: Ruby) -> None:
    """Up to ruby3.4 AWS's runtimes know no JSON format."""
    with ruby.run(STRUCTURED, AWS_EXECUTION_ENV="AWS_Lambda_ruby3.4", **WANTS_JSON) as process:
        process.invoke()
        events = frames(process.ended_log().encode("utf-8", "surrogateescape"))
    assert [kind & 3 for kind, _ in events] == [3, 3]


def test_a_long_message_goes_in_frames_that_hold_together(ruby: Ruby) -> None:
    """No frame is longer than what a pipe takes in one piece; all but the last are marked as continued, with the same time."""
    with ruby.run("def handler(event:, context:)\n  puts 'é' * 5000\nend\n", _LAMBDA_TELEMETRY_LOG_FD="1") as process:
        process.invoke()
        log = process.ended_log().encode("utf-8", "surrogateescape")
    pieces = frames(log)
    assert [kind for kind, _ in pieces] == [0xA55A0043, 0xA55A0043, 0xA55A0003]
    assert b"".join(text for _, text in pieces).decode() == "é" * 5000
    assert len({log[8:16], log[4096 + 8 : 4096 + 16]}) == 1


def test_a_function_that_takes_standard_output_keeps_it(ruby: Ruby) -> None:
    """Where $stdout is another object, puts and a Logger write to that one."""
    source = """
require 'stringio'
def handler(event:, context:)
  kept, $stdout = $stdout, StringIO.new
  puts 'inside'
  $stdout.string
ensure
  $stdout = kept
end
"""
    with ruby.run(source, _LAMBDA_TELEMETRY_LOG_FD="1") as process:
        assert process.invoke().body == b'"inside\\n"'
        assert process.ended_log() == ""


def test_the_environment_has_nothing_of_ours(ruby: Ruby) -> None:
    """What the client needs for itself is gone before the function looks, and texts are UTF-8 in any locale."""
    result = "[ENV.keys, Encoding.default_external.to_s, ENV['RUBYLIB'], `printf é`.encoding.to_s]"
    source = f"def handler(event:, context:)\n  {result}\nend\n"
    with ruby.run(source, _LAMBDA_TELEMETRY_LOG_FD="1", LANG="no_SUCH", RUBYLIB="/opt/ruby/lib") as process:
        names, encoding, library, read = json.loads(process.invoke().body)
    assert not [name for name in names if name.startswith("_LAMBDA_TEL")]
    assert (encoding, library, read) == ("UTF-8", "/opt/ruby/lib", "UTF-8")
