"""The functions of the conformance suite in Python, 2.7 to 3.14."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.case_functions import of_sources
from support.runtime_cases import Answer, Refusal

_SHARED = """
import importlib
def handler(event, context):
    name = context.invoked_function_arn.rsplit(":", 1)[1]
    return importlib.import_module("case_" + name).handler(event, context)
"""
_SOURCES = {
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
    "binary": "def handler(event, context):\n    return b'\\x00\\xff'\n",
    "surrogate": "def handler(event, context):\n    return u'\\ud800'\n",
    "fails": (
        "# coding: utf-8\ndef handler(event, context):\n    if event == 'fail':\n"
        "        raise ValueError(u'broken: \\xe4'.encode('utf-8') if str is bytes else 'broken: \\xe4')\n"
        "    return 'fine'\n"
    ),
    "long_error": "def handler(event, context):\n    if event:\n        raise ValueError('x' * event)\n    return 'fine'\n",
    "unserializable": "def handler(event, context):\n    return object() if event == 'fail' else 'fine'\n",
    "circular": (
        "def handler(event, context):\n    circle = []\n    circle.append(circle)\n"
        "    return circle if event == 'fail' else 'fine'\n"
    ),
    "huge": "def handler(event, context):\n    return 'x' * (6291600 if event == 'fail' else 4)\n",
    "recursion": "def handler(event, context):\n    return handler(event, context) if event == 'fail' else 'fine'\n",
    "late": (
        "import threading\ndef fail():\n    raise ValueError('too late')\ndef handler(event, context):\n"
        "    if event == 'fail':\n        threading.Thread(target=fail).start()\n    return 'fine'\n"
    ),
    "no_handler": "other = 1\n",
    "no_class": ("", "app.Missing.handler"),
    "no_module": ("", "missing.handler"),
    "malformed": ("def handler(event, context):\n    pass\n", "handler"),
    "signature": "def handler(event):\n    pass\n",
    "syntax": "def handler(event, context:\n    pass\n",
    "import_error": "import absent_module\n",
    "wrong_architecture": "import native\n",
    "import_fails": "raise ValueError('while it loads')\n",
    "import_hangs": "import sys, time\nsys.stdout.write('begun\\n')\nsys.stdout.flush()\ntime.sleep(1000)\n",
    "exit_at_import": "import os\nos._exit(3)\n",
    "exit": "import os\ndef handler(event, context):\n    os._exit(3)\n",
    "hang": (
        "import sys, time\ndef handler(event, context):\n    sys.stdout.write('begun\\n')\n    sys.stdout.flush()\n"
        "    time.sleep(1000)\n"
    ),
    "log": (
        "import logging\ndef handler(event, context):\n    logging.getLogger().setLevel('INFO')\n"
        "    logging.info('one\\ntwo 3')\n"
    ),
    "many_lines": (
        "def handler(event, context):\n    for number in range(event):\n        print('line %d' % number)\n    return 'fine'\n"
    ),
    "json_log": "import logging\ndef handler(event, context):\n    logging.debug('not this')\n    logging.warning('this')\n",
    "wrapper": "import os\ndef handler(event, context):\n    return os.environ.get('WRAPPED')\n",
}


def _from(since: tuple[int, int], value: Any, before: Any) -> Callable[[str], Any]:
    def chosen(runtime: str) -> Any:
        major, minor = runtime.removeprefix("python").split(".")
        return value if (int(major), int(minor)) >= since else before

    return chosen


_MARSHAL_ERROR = Answer(error_type="Runtime.MarshalError")

PYTHON = of_sources(
    _SOURCES,
    "py",
    _SHARED,
    expected={
        "letters": _from((3, 12), False, True),
        "binary": _from((3, 0), Answer(b"\x00\xff", "application/unknown"), _MARSHAL_ERROR),
        "surrogate": _from((3, 12), _MARSHAL_ERROR, Answer(b'"\\ud800"')),
        "fails": "ValueError",
        "payload": _from((3, 9), "errorMessage errorType requestId stackTrace", "errorMessage errorType stackTrace"),
        "error_log": "ValueError",
        "unserializable": "Runtime.MarshalError",
        "circular": "Runtime.MarshalError",
        "bad_event": "Runtime.UnmarshalError",
        "deep": "Runtime.UnmarshalError",
        "recursion": _from((3, 5), ("RecursionError", None), ("RuntimeError", None)),
        "no_handler": Refusal("init/error", "Runtime.HandlerNotFound", "^Handler 'handler' missing on module 'app'$"),
        "no_class": Refusal(
            "init/error", "Runtime.ImportModuleError", "^Unable to import module 'app.Missing': No module named "
        ),
        "no_module": Refusal("init/error", "Runtime.ImportModuleError", "^Unable to import module 'missing': No module named "),
        "malformed": Refusal("init/error", "Runtime.MalformedHandlerName", r"^Bad handler 'handler': .* values? to unpack"),
        "signature": Refusal("error", "TypeError", "takes (1 positional|exactly 1) argument"),
        "syntax": Refusal(
            "init/error", "Runtime.UserCodeSyntaxError", r"^Syntax error in module 'app': .*\(app.py, line \d\)$"
        ),
        "import_error": Refusal(
            "init/error", "Runtime.ImportModuleError", "^Unable to import module 'app': No module named '?absent_module'?$"
        ),
        "wrong_architecture": Refusal(
            "init/error", "Runtime.ImportModuleError", r"^Unable to import module 'app': .*/native\.so: "
        ),
        "import_fails": Refusal("init/error", "ValueError", "^while it loads$"),
        "wrapper": _from((3, 8), True, False),
        "no_wrapper": _from((3, 8), True, False),
    },
    dashes={"stream": "AWS's runtimes of this language stream nothing"},
)
