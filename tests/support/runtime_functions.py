"""The functions of the conformance suite in each family's language: the same behaviour by the same name (`runtime_cases`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lambdad.runtimes.find import Interpreter
from support import dotnet_cases, java_cases
from support.runtime_cases import Case


@dataclass(frozen=True)
class Functions:
    """`write` puts the function of a case into a folder, built if it has to be, and returns its handler; None where the
    language has no such thing. `types` are the error types that callers get, by case, where they differ from the case's own."""

    write: Callable[[Case, Path, Interpreter], str | None]
    types: Mapping[str, str] = field(default_factory=dict)


def _files(sources: Mapping[str, str | tuple[str, str]], name: str) -> Callable[[Case, Path, Interpreter], str | None]:
    """Of languages whose source is the package: the text of file `name`, with its handler, app.handler if it names none."""

    def write(case: Case, folder: Path, interpreter: Interpreter) -> str | None:
        source = sources.get(case.name)
        if source is None:
            return None
        text, handler = (source, "app.handler") if isinstance(source, str) else source
        (folder / name).write_text(text, encoding="utf-8")
        return handler

    return write


NODE = Functions(
    _files(
        {
            "echo": "exports.handler = async (event) => event;",
            "state": "let seen = []; exports.handler = async (event) => { seen.push(event); return seen; };",
            "nothing": "exports.handler = async () => {};",
            "context": """
                exports.handler = async (event, c) => [c.awsRequestId, c.functionName, c.functionVersion, c.invokedFunctionArn,
                  Number(c.memoryLimitInMB), c.logGroupName, c.logStreamName, c.getRemainingTimeInMillis()];""",
            "client": """
                exports.handler = async (event, c) => [c.identity.cognitoIdentityId, c.identity.cognitoIdentityPoolId,
                  c.clientContext.custom.one, c.clientContext.client.installation_id, c.clientContext.env.locale];""",
            "trace": "exports.handler = async () => process.env._X_AMZN_TRACE_ID;",
            "fails": "exports.handler = async (e) => { if (e === 'fail') throw new RangeError('broken: ä'); return 'fine'; };",
            "unserializable": """
                exports.handler = async (e) => { if (e === 'fail') { const c = {}; c.c = c; return c; } return 'fine'; };""",
            "huge": "exports.handler = async (e) => 'x'.repeat(e === 'fail' ? 6291600 : 4);",
            "bad_event": "exports.handler = async (event) => 'fine';",
            "no_handler": ("exports.other = 1;", "app.handler"),
            "no_module": ("", "missing.handler"),
            "malformed": ("exports.handler = 1;", "handler"),
            "syntax": "exports.handler = async ( => 1;",
            "import_fails": "throw new RangeError('while it loads');",
            "exit_at_import": "process.exit(3);",
            "exit": "exports.handler = async () => process.exit(3);",
            "log": "exports.handler = async () => { console.log('one\\ntwo', 3); };",
            "json_log": "exports.handler = async () => { console.debug('not this'); console.warn('this'); };",
        },
        "app.js",
    ),
    types={
        "fails": "RangeError",
        "unserializable": "Error",
        "bad_event": "SyntaxError",
        "import_fails": "RangeError",
    },
)

PYTHON = Functions(
    _files(
        {
            "echo": "def handler(event, context):\n    return event\n",
            "state": "seen = []\ndef handler(event, context):\n    seen.append(event)\n    return seen\n",
            "nothing": "def handler(event, context):\n    pass\n",
            "context": (
                "def handler(event, c):\n    return [c.aws_request_id, c.function_name, c.function_version,"
                " c.invoked_function_arn, int(c.memory_limit_in_mb), c.log_group_name, c.log_stream_name,"
                " c.get_remaining_time_in_millis()]\n"
            ),
            "client": (
                "def handler(event, c):\n    return [c.identity.cognito_identity_id, c.identity.cognito_identity_pool_id,"
                " c.client_context.custom['one'], c.client_context.client.installation_id, c.client_context.env['locale']]\n"
            ),
            "trace": "import os\ndef handler(event, context):\n    return os.environ['_X_AMZN_TRACE_ID']\n",
            "fails": (
                "# coding: utf-8\ndef handler(event, context):\n    if event == 'fail':\n"
                "        raise ValueError(u'broken: \\xe4'.encode('utf-8') if str is bytes else 'broken: \\xe4')\n"
                "    return 'fine'\n"
            ),
            "unserializable": "def handler(event, context):\n    return object() if event == 'fail' else 'fine'\n",
            "huge": "def handler(event, context):\n    return 'x' * (6291600 if event == 'fail' else 4)\n",
            "bad_event": "def handler(event, context):\n    return 'fine'\n",
            "no_handler": ("other = 1\n", "app.handler"),
            "no_module": ("", "missing.handler"),
            "malformed": ("def handler(event, context):\n    pass\n", "handler"),
            "syntax": "def handler(event, context:\n    pass\n",
            "import_fails": "raise ValueError('while it loads')\n",
            "exit_at_import": "import os\nos._exit(3)\n",
            "exit": "import os\ndef handler(event, context):\n    os._exit(3)\n",
            "log": (
                "import logging\ndef handler(event, context):\n    logging.getLogger().setLevel('INFO')\n"
                "    logging.info('one\\ntwo 3')\n"
            ),
            "json_log": (
                "import logging\ndef handler(event, context):\n    logging.debug('not this')\n    logging.warning('this')\n"
            ),
        },
        "app.py",
    ),
    types={
        "fails": "ValueError",
        "unserializable": "Runtime.MarshalError",
        "bad_event": "Runtime.UnmarshalError",
        "import_fails": "ValueError",
    },
)

JAVA = Functions(
    java_cases.write,
    types={
        "fails": "java.lang.IllegalArgumentException",
        "unserializable": "java.lang.RuntimeException",
        "bad_event": "java.lang.RuntimeException",
        "import_fails": "java.lang.ExceptionInInitializerError",
    },
)

DOTNET = Functions(
    dotnet_cases.write,
    types={
        "fails": "ArgumentException",
        "unserializable": "JsonSerializerException",
        "bad_event": "JsonSerializerException",
        "no_handler": "LambdaException",
        "no_module": "LambdaException",
        "malformed": "LambdaException",
        "import_fails": "TargetInvocationException",
    },
)

_RUBY_SOURCES: Mapping[str, str | tuple[str, str]] = {
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
    "fails": "def handler(event:, context:)\n  raise RangeError, 'broken: ä' if event == 'fail'\n  'fine'\nend\n",
    "unserializable": "def handler(event:, context:)\n  circle = []\n  event == 'fail' ? circle << circle : 'fine'\nend\n",
    "huge": "def handler(event:, context:)\n  'x' * (event == 'fail' ? 6_291_600 : 4)\nend\n",
    "bad_event": "def handler(event:, context:)\n  'fine'\nend\n",
    # A method that does not exist is noticed when it is called, as on AWS: `test_ruby_runtime` holds that.
    "no_module": ("", "missing.handler"),
    "malformed": ("", "handler"),
    "syntax": "def handler(event:, context:\n",
    "import_fails": "raise RangeError, 'while it loads'",
    "exit_at_import": "exit! 3",
    "exit": "def handler(event:, context:)\n  exit! 3\nend\n",
    "log": "require 'logger'\ndef handler(event:, context:)\n  Logger.new($stdout).info(\"one\\ntwo 3\")\nend\n",
    "json_log": """
        require 'logger'
        def handler(event:, context:)
          log = Logger.new($stdout)
          log.debug('not this')
          log.warn('this')
        end""",
}


def _write_ruby(case: Case, folder: Path, interpreter: Interpreter) -> str | None:
    """AWS's Ruby runtimes know JSON logs from ruby4.0 on."""
    if case.name == "json_log" and interpreter.runtime != "ruby4.0":
        return None
    return _files(_RUBY_SOURCES, "app.rb")(case, folder, interpreter)


RUBY = Functions(
    _write_ruby,
    types={
        "fails": "Function<RangeError>",
        "unserializable": "Function<JSON::NestingError>",
        "bad_event": "Function<JSON::ParserError>",
        "no_module": "Init<LoadError>",
        "malformed": "Init<ArgumentError>",
        "syntax": "Init<SyntaxError>",
        "import_fails": "Init<RangeError>",
    },
)

#: By family; one that is not here yet has no conformance suite.
FUNCTIONS: Mapping[str, Functions] = {"dotnet": DOTNET, "java": JAVA, "node": NODE, "python": PYTHON, "ruby": RUBY}
