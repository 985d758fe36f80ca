"""The functions of the conformance suite in JavaScript, for Node.js 10 to 26."""

from __future__ import annotations

from support.case_functions import of_sources
from support.runtime_cases import Answer, Refusal

_SHARED = """
exports.handler = (event, context) => {
  const name = context.invokedFunctionArn.split(':').pop();
  return require(`./case_${name}`).handler(event, context);
};
"""
_SOURCES = {
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
    "binary": "exports.handler = async () => Buffer.from([0, 255]);",
    "surrogate": "exports.handler = async () => '\\ud800';",
    "fails": "exports.handler = async (e) => { if (e === 'fail') throw new RangeError('broken: ä'); return 'fine'; };",
    "long_error": "exports.handler = async (e) => { if (e > 0) throw new Error('x'.repeat(e)); return 'fine'; };",
    "unserializable": "exports.handler = async (e) => (e === 'fail' ? BigInt(1) : 'fine');",
    "circular": "exports.handler = async (e) => { if (e === 'fail') { const c = {}; c.c = c; return c; } return 'fine'; };",
    "huge": "exports.handler = async (e) => 'x'.repeat(e === 'fail' ? 6291600 : 4);",
    "recursion": """
        const dive = () => 1 + dive();
        exports.handler = async (e) => (e === 'fail' ? dive() : 'fine');""",
    "late": """
        exports.handler = async (e) => {
          if (e === 'fail') setTimeout(() => { throw new Error('too late'); }, 20);
          return 'fine';
        };""",
    "stream": """
        exports.handler = awslambda.streamifyResponse(async (e, stream) => {
          stream.write('one ');
          if (e === 'fail') throw new RangeError('broken: ä');
          stream.end('two');
        });""",
    "no_handler": "exports.other = 1;",
    "no_class": ("exports.other = 1;", "app.Missing.handler"),
    "no_module": ("", "missing.handler"),
    "malformed": ("exports.handler = 1;", "handler"),
    "signature": "exports.handler = 'no function';",
    "syntax": "exports.handler = async ( => 1;",
    "import_error": "require('absent_module');",
    "wrong_architecture": "require('./native.node');",
    "import_fails": "throw new RangeError('while it loads');",
    "import_hangs": "process.stdout.write('begun\\n'); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);",
    "exit_at_import": "process.exit(3);",
    "exit": "exports.handler = async () => process.exit(3);",
    "hang": """
        exports.handler = async () => {
          console.log('begun');
          await new Promise((resolve) => setTimeout(resolve, 1000000));
        };""",
    "log": "exports.handler = async () => { console.log('one\\ntwo', 3); };",
    "many_lines": "exports.handler = async (e) => { for (let n = 0; n < e; n++) console.log(`line ${n}`); return 'fine'; };",
    "json_log": "exports.handler = async () => { console.debug('not this'); console.warn('this'); };",
    "wrapper": "exports.handler = async () => process.env.WRAPPED;",
}


NODE = of_sources(
    _SOURCES,
    "js",
    _SHARED,
    expected={
        "numbers": True,
        "binary": Answer(b'{"type":"Buffer","data":[0,255]}'),
        "surrogate": lambda runtime: Answer(b'"\xef\xbf\xbd"' if runtime == "nodejs10.x" else b'"\\ud800"'),
        "fails": "RangeError",
        "payload": "errorType errorMessage trace",
        "error_log": "RangeError",
        "unserializable": "Error",
        "circular": "Error",
        "bad_event": "SyntaxError",
        "deep": lambda runtime: {"nodejs10.x": "RangeError", "nodejs26.x": None}.get(runtime, "Error"),
        "recursion": ("RangeError", None),
        "late": 129,
        "stream": "RangeError",
        "no_handler": Refusal("init/error", "Runtime.HandlerNotFound", "^app.handler is undefined or not exported$"),
        "no_class": Refusal("init/error", "Runtime.HandlerNotFound", "^app.Missing.handler is undefined or not exported$"),
        "no_module": Refusal("init/error", "Runtime.ImportModuleError", "^Error: Cannot find module 'missing'"),
        "malformed": Refusal("init/error", "Runtime.MalformedHandlerName", "^Bad handler$"),
        "signature": Refusal("init/error", "Runtime.HandlerNotFound", "^app.handler is not a function$"),
        "syntax": Refusal("init/error", "Runtime.UserCodeSyntaxError", "^SyntaxError: "),
        "import_error": Refusal("init/error", "Runtime.ImportModuleError", "^Error: Cannot find module 'absent_module'"),
        "wrong_architecture": Refusal("init/error", "Error", "/native.node: "),
        "import_fails": Refusal("init/error", "RangeError", "^while it loads$"),
        "wrapper": True,
        "no_wrapper": True,
    },
)
