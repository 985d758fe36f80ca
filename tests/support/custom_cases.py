"""The functions of the conformance suite as custom runtimes: one shell script, which asks and answers with curl.

What it is to do stands in its first line or, where that leaves it open, in the qualifier of the ARN that it is invoked by.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lambdad.runtimes.find import Interpreter
from support.case_functions import Functions
from support.runtime_cases import Answer, Refusal

_SCRIPT = r"""#!/bin/sh
NAME=%s
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
folder=$(mktemp -d -p . 2>/dev/null || mktemp -d)  # killed, it leaves that behind: beside the script, where the test clears up
trap 'rm -rf $folder' EXIT
body=$folder/body

header() { sed -n "s/^$1: *//Ip" $folder/headers | tr -d '\r'; }
member() { header "$1" | sed -n "s/.*\"$2\": \"\([^\"]*\)\".*/\1/p"; }
xs() { head -c "$1" /dev/zero | tr '\000' x; }
post() { # path, content type, file
    curl -sS -o /dev/null -H 'Expect:' -H "Content-Type: $2" -H "Lambda-Runtime-Function-Error-Type: $error" \
        --data-binary "@$3" "$api/$1"
}

case $NAME in
import_hangs) echo begun; exec sleep 1000;;
import_fails)
    error=Function.Broken
    printf '{"errorType": "Function.Broken", "errorMessage": "while it loads"}' > $body
    post init/error application/json $body
    exit 1;;
exit_at_import) exit 3;;
esac

seen=
while true; do
    curl -sS -D $folder/headers -o $folder/event "$api/invocation/next" || exit 1
    id=$(header lambda-runtime-aws-request-id)
    arn=$(header lambda-runtime-invoked-function-arn)
    event=$(head -c 100 $folder/event)
    kind=application/json
    error=
    case ${NAME:-${arn##*:}} in
    echo) mv $folder/event $body;;
    state) seen="$seen${seen:+,}$event"; printf '[%%s]' "$seen" > $body;;
    nothing) printf null > $body;;
    context)
        now=$(date +%%s%%3N)
        printf '["%%s","%%s","%%s","%%s",%%s,"%%s","%%s",%%s]' \
            "$id" "$AWS_LAMBDA_FUNCTION_NAME" "$AWS_LAMBDA_FUNCTION_VERSION" "$arn" \
            "$AWS_LAMBDA_FUNCTION_MEMORY_SIZE" "$AWS_LAMBDA_LOG_GROUP_NAME" "$AWS_LAMBDA_LOG_STREAM_NAME" \
            $(($(header lambda-runtime-deadline-ms) - now)) > $body;;
    client)
        context=lambda-runtime-client-context
        identity=lambda-runtime-cognito-identity
        printf '["%%s","%%s","%%s","%%s","%%s"]' \
            "$(member $identity cognitoIdentityId)" "$(member $identity cognitoIdentityPoolId)" \
            "$(member $context one)" "$(member $context installation_id)" "$(member $context locale)" > $body;;
    trace) printf '"%%s"' "$(header lambda-runtime-trace-id)" > $body;;
    binary) printf '\000\377' > $body; kind=application/octet-stream;;
    surrogate) printf '"\355\240\200"' > $body;;
    huge)
        if [ "$event" = '"fail"' ]; then size=6291600; else size=4; fi
        { printf '"'; xs $size; printf '"'; } > $body;;
    many_lines)
        number=0
        while [ $number -lt $event ]; do echo "line $number"; number=$((number + 1)); done
        printf '"fine"' > $body;;
    wrapper) printf "${WRAPPED:+\"}${WRAPPED:-null}${WRAPPED:+\"}" > $body;;
    stream)
        { printf 'one '; printf two; } | curl -sS -o /dev/null -X POST -T - -H 'Expect:' \
            -H 'Lambda-Runtime-Function-Response-Mode: streaming' "$api/invocation/$id/response"
        continue;;
    exit) exit 3;;
    hang) echo begun; exec sleep 1000;;
    fails)
        if [ "$event" = '"fail"' ]; then error=Function.Asked; message='broken: ä'; fi;;
    long_error)
        if [ "$event" != 0 ]; then error=Function.Asked; message=$(xs $event); fi;;
    esac
    if [ -n "$error" ]; then
        printf '{"errorType": "%%s", "errorMessage": "%%s"}' $error "$message" > $body
        post invocation/$id/error $kind $body
    else
        [ -s $body ] || printf '"fine"' > $body
        post invocation/$id/response $kind $body
    fi
    rm -f $body
done
"""
_WITHOUT_CURL = ("exit_at_import", "import_error", "import_hangs", "no_module", "syntax", "wrong_architecture")
_OTHERS = {"syntax": b"no program", "import_error": b"#!/no/such/interpreter\n"}
_NAMES = [
    "echo",
    "state",
    "nothing",
    "context",
    "client",
    "trace",
    "binary",
    "surrogate",
    "fails",
    "long_error",
    "huge",
    "stream",
    "no_module",
    "syntax",
    "import_error",
    "wrong_architecture",
    "import_fails",
    "import_hangs",
    "exit_at_import",
    "exit",
    "hang",
    "many_lines",
    "wrapper",
]


def _write(name: str, folder: Path, interpreter: Interpreter) -> str:
    if name not in _WITHOUT_CURL and shutil.which("curl", path="/usr/local/bin:/usr/bin:/bin") is None:
        pytest.skip("no curl to write custom runtimes in shell with")
    bootstrap = folder / "bootstrap"
    if name == "wrong_architecture":
        bootstrap.symlink_to("native.so")
    elif name != "no_module":
        bootstrap.write_bytes(_OTHERS.get(name) or (_SCRIPT % name).encode())
        bootstrap.chmod(0o755)
    return "app.handler"


_HANDLER = "what a handler means is the function's own affair"
_JSON = "the function reads and writes its JSON by itself, and the bytes pass as they are: binary"
_LOG = "what a function writes is its log, a line an entry: many_lines"

CUSTOM = Functions(
    _NAMES,
    _write,
    write_shared=lambda folder, interpreter: _write("", folder, interpreter),
    expected={
        "letters": True,
        "binary": Answer(b"\x00\xff", "application/octet-stream"),
        "surrogate": Answer(b'"\xed\xa0\x80"'),
        "fails": "Function.Asked",
        "no_module": Refusal("init/error", "Runtime.InvalidEntrypoint", r"^Couldn't find valid bootstrap\(s\): \["),
        "syntax": Refusal("init/error", "Runtime.InvalidEntrypoint", "^fork/exec .*/bootstrap: exec format error$"),
        "import_error": Refusal(
            "init/error", "Runtime.InvalidEntrypoint", "^fork/exec .*/bootstrap: no such file or directory$"
        ),
        "wrong_architecture": Refusal("init/error", "Runtime.InvalidEntrypoint", "^fork/exec .*/bootstrap: exec format error$"),
        "import_fails": Refusal("init/error", "Function.Broken", "^while it loads$"),
        "wrapper": False,
        "no_wrapper": False,
    },
    dashes={
        **dict.fromkeys(("no_handler", "no_class", "malformed", "signature"), _HANDLER),
        "payload": "what the function says of its error is told as it says it: fails",
        **dict.fromkeys(("unserializable", "circular", "bad_event"), _JSON),
        **dict.fromkeys(("log", "error_log", "json_log"), _LOG),
        "recursion": "a process at its end is exit",
        "late": "a process at its end is exit",
    },
)
