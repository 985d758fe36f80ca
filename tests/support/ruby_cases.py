"""The functions of the conformance suite in Ruby, 2.5 to 4.0."""

from __future__ import annotations

from support.case_functions import of_sources
from support.runtime_cases import Answer, Refusal

_SHARED = """
FOUND = {}
def dispatch(event:, context:)
  name = context.invoked_function_arn.split(':').last
  FOUND[name] ||= begin
    require_relative "case_#{name}"
    method(:handler) # which stays what it is when the next file has another one
  end
  FOUND[name].call(event: event, context: context)
end
"""
_SOURCES = {
    "echo": "def handler(event:, context:)\n  event\nend\n",
    "state": "$seen = []\ndef handler(event:, context:)\n  $seen << event\nend\n",
    "nothing": "def handler(event:, context:)\nend\n",
    "context": """
        def handler(event:, context:)
          c = context
          [c.aws_request_id, c.function_name, c.function_version, c.invoked_function_arn, c.memory_limit_in_mb.to_i,
           c.log_group_name, c.log_stream_name, c.get_remaining_time_in_millis]
        end""",
    "client": """
        def handler(event:, context:)
          known, identity = context.client_context, context.identity
          [identity['cognitoIdentityId'], identity['cognitoIdentityPoolId'], known['custom']['one'],
           known['client']['installation_id'], known['env']['locale']]
        end""",
    "trace": "def handler(event:, context:)\n  ENV['_X_AMZN_TRACE_ID']\nend\n",
    "binary": "require 'stringio'\ndef handler(event:, context:)\n  StringIO.new(\"\\x00\\xFF\".b)\nend\n",
    "surrogate": 'def handler(event:, context:)\n  "\\xED\\xA0\\x80"\nend\n',
    "fails": "def handler(event:, context:)\n  raise RangeError, 'broken: ä' if event == 'fail'\n  'fine'\nend\n",
    "long_error": "def handler(event:, context:)\n  raise RangeError, 'x' * event if event > 0\n  'fine'\nend\n",
    "unserializable": "def handler(event:, context:)\n  event == 'fail' ? Float::NAN : 'fine'\nend\n",
    "circular": "def handler(event:, context:)\n  circle = []\n  event == 'fail' ? circle << circle : 'fine'\nend\n",
    "huge": "def handler(event:, context:)\n  'x' * (event == 'fail' ? 6_291_600 : 4)\nend\n",
    "recursion": "def dive\n  1 + dive\nend\ndef handler(event:, context:)\n  event == 'fail' ? dive : 'fine'\nend\n",
    "late": "def handler(event:, context:)\n  Thread.new { raise 'too late' } if event == 'fail'\n  'fine'\nend\n",
    "no_handler": "",
    "no_class": ("", "app.Missing.handler"),
    "no_module": ("", "missing.handler"),
    "malformed": ("", "handler"),
    "signature": "def handler(event:)\nend\n",
    "syntax": "def handler(event:, context:\n",
    "import_error": "require 'absent_module'\n",
    "wrong_architecture": "require 'native'\n",
    "import_fails": "raise RangeError, 'while it loads'",
    "import_hangs": 'STDOUT.write("begun\\n")\nSTDOUT.flush\nloop {}\n',
    "exit_at_import": "exit! 3",
    "exit": "def handler(event:, context:)\n  exit! 3\nend\n",
    "hang": "def handler(event:, context:)\n  puts 'begun'\n  $stdout.flush\n  sleep\nend\n",
    "log": "require 'logger'\ndef handler(event:, context:)\n  Logger.new($stdout).info(\"one\\ntwo 3\")\nend\n",
    "many_lines": "def handler(event:, context:)\n  event.times { |number| puts \"line #{number}\" }\n  'fine'\nend\n",
    "json_log": """
        require 'logger'
        def handler(event:, context:)
          log = Logger.new($stdout)
          log.debug('not this')
          log.warn('this')
        end""",
    "wrapper": "def handler(event:, context:)\n  ENV['WRAPPED']\nend\n",
}


def _has_wrapper(runtime: str) -> bool:
    return runtime != "ruby2.5"


RUBY = of_sources(
    _SOURCES,
    "rb",
    (_SHARED, "app.dispatch"),
    expected={
        "binary": Answer(b"\x00\xff", "application/unknown"),
        "surrogate": Answer(error_type="Function<JSON::GeneratorError>"),
        "fails": "Function<RangeError>",
        "payload": "errorMessage errorType stackTrace",
        "error_log": "Function<RangeError>",
        "unserializable": "Function<JSON::GeneratorError>",
        "circular": "Function<JSON::NestingError>",
        "bad_event": "Function<JSON::ParserError>",
        "deep": "Function<JSON::NestingError>",
        "recursion": ("Function<SystemStackError>", 255),
        # A method or class that does not exist is noticed when it is called, as on AWS.
        "no_handler": Refusal("error", "Function<NoMethodError>", "^undefined method .handler' for "),
        "no_class": Refusal("error", "Function<NameError>", "^uninitialized constant Missing"),
        "no_module": Refusal("init/error", "Init<LoadError>", "^cannot load such file -- missing$"),
        "malformed": Refusal("init/error", "Init<ArgumentError>", "^Invalid handler "),
        "signature": Refusal("error", "Function<ArgumentError>", "^unknown keyword: :?context$"),
        "syntax": Refusal("init/error", "Init<SyntaxError>", "app.rb:1: "),
        "import_error": Refusal("init/error", "Init<LoadError>", "^cannot load such file -- absent_module$"),
        "wrong_architecture": Refusal("init/error", "Init<LoadError>", "/native.so"),
        "import_fails": Refusal("init/error", "Init<RangeError>", "^while it loads$"),
        "wrapper": _has_wrapper,
        "no_wrapper": _has_wrapper,
    },
    dashes={
        "stream": "AWS's runtimes of this language stream nothing",
        "json_log": lambda runtime: None if runtime == "ruby4.0" else "before ruby4.0 all logs are text: test_ruby_runtime.py",
    },
)
