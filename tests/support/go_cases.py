"""The functions of the conformance suite in Go, for go1.x: one program, whose name or qualifier says what it is to do.

It does what AWS's library for Go does with a handler, of which no more than the standard library is at hand.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from lambdad.runtimes.find import Interpreter
from support.case_functions import Functions
from support.go import built, version
from support.go_rpc import RPC
from support.runtime_cases import Answer, Refusal

_PROGRAM = r"""
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

type Circle struct{ C *Circle }

var name = strings.TrimPrefix(filepath.Base(os.Args[0]), "main_")
var seen = []interface{}{}

type Function struct{ Pinged }

func (f *Function) Invoke(request *InvokeRequest, response *InvokeResponse) error {
	var event interface{}
	err := json.Unmarshal(request.Payload, &event)
	if err == nil {
		response.Payload, err = answer(request, event)
	}
	if err != nil {
		kind := reflect.TypeOf(err)
		if kind.Kind() == reflect.Ptr {
			kind = kind.Elem()
		}
		response.Error = &Failure{Message: err.Error(), Type: kind.Name()}
	}
	return nil
}

func answer(request *InvokeRequest, event interface{}) ([]byte, error) {
	wanted := name
	if name == "shared" {
		parts := strings.Split(request.InvokedFunctionArn, ":")
		wanted = parts[len(parts)-1]
	}
	if wanted == "binary" {
		return []byte{0, 255}, nil
	}
	result, err := handle(wanted, request, event)
	if err != nil {
		return nil, err
	}
	return json.Marshal(result)
}

func handle(wanted string, request *InvokeRequest, event interface{}) (interface{}, error) {
	fails := event == "fail"
	switch wanted {
	case "echo":
		return event, nil
	case "state":
		seen = append(seen, event)
		return seen, nil
	case "nothing":
		return nil, nil
	case "context":
		memory, _ := strconv.Atoi(os.Getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"))
		deadline := time.Unix(request.Deadline.Seconds, request.Deadline.Nanos)
		limited, cancel := context.WithDeadline(context.Background(), deadline)
		defer cancel()
		until, _ := limited.Deadline()
		return []interface{}{request.RequestId, os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), os.Getenv("AWS_LAMBDA_FUNCTION_VERSION"),
			request.InvokedFunctionArn, memory, os.Getenv("AWS_LAMBDA_LOG_GROUP_NAME"), os.Getenv("AWS_LAMBDA_LOG_STREAM_NAME"),
			time.Until(until).Milliseconds()}, nil
	case "client":
		var client struct {
			Custom map[string]string
			Client struct {
				Id string `json:"installation_id"`
			}
			Env map[string]string
		}
		err := json.Unmarshal(request.ClientContext, &client)
		return []string{request.CognitoIdentityId, request.CognitoIdentityPoolId, client.Custom["one"], client.Client.Id,
			client.Env["locale"]}, err
	case "trace":
		return request.XAmznTraceId, nil
	case "surrogate":
		return "\xed\xa0\x80", nil
	case "long_error":
		if size := int(event.(float64)); size > 0 {
			return nil, errors.New(strings.Repeat("x", size))
		}
	case "huge":
		if fails {
			return strings.Repeat("x", 6291600), nil
		}
		return "xxxx", nil
	case "many_lines":
		for number := 0; number < int(event.(float64)); number++ {
			fmt.Println("line", number)
		}
	case "wrapper":
		if value, ok := os.LookupEnv("WRAPPED"); ok {
			return value, nil
		}
		return nil, nil
	case "exit":
		os.Exit(3)
	case "hang":
		fmt.Println("begun")
		time.Sleep(time.Hour)
	}
	if !fails {
		return "fine", nil
	}
	switch wanted {
	case "fails":
		return nil, errors.New("broken: ä")
	case "unserializable":
		return make(chan int), nil
	case "circular":
		circle := &Circle{}
		circle.C = circle
		return circle, nil
	case "recursion":
		debug.SetMaxStack(1 << 20)
		return dive(0), nil
	case "late":
		go func() { time.Sleep(20 * time.Millisecond); panic("too late") }()
	}
	return "fine", nil
}

func dive(depth int) int { return 1 + dive(depth+1) }

func main() {
	switch name {
	case "import_hangs":
		fmt.Println("begun")
		select {}
	case "exit_at_import":
		os.Exit(3)
	}
	serve(new(Function))
}
"""
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
    "unserializable",
    "circular",
    "huge",
    "recursion",
    "late",
    "no_handler",
    "syntax",
    "wrong_architecture",
    "import_hangs",
    "exit_at_import",
    "exit",
    "hang",
    "many_lines",
    "wrapper",
]


@functools.cache
def _program() -> bytes:
    with tempfile.TemporaryDirectory(prefix="lambdad-go-cases-") as folder:
        return built(_PROGRAM, Path(folder), rpc=RPC)


def _write(name: str, folder: Path, interpreter: Interpreter) -> str:
    if name == "wrong_architecture":
        return "native.so"
    program = b"no program" if name == "syntax" else _program()
    (folder / f"main_{name}").write_bytes(program)
    (folder / f"main_{name}").chmod(0o755)
    return "absent" if name == "no_handler" else f"main_{name}"


_ITS_OWN = "what the program does before it listens is its own: test_go_runtime.py"
_NO_MODULES = "a handler is the name of a program, which is there or not: no_handler"

GO = Functions(
    _NAMES,
    _write,
    write_shared=lambda folder, interpreter: _write("shared", folder, interpreter),
    expected={
        "numbers": True,
        "binary": Answer(b"\x00\xff"),
        "surrogate": lambda runtime: Answer(b'"' + (b"\\ufffd" if version() < (1, 27) else "\ufffd".encode()) * 3 + b'"'),
        "fails": "errorString",
        "payload": "errorMessage errorType",
        "unserializable": "UnsupportedTypeError",
        "circular": "UnsupportedValueError",
        "bad_event": "SyntaxError",
        "deep": "SyntaxError",
        "recursion": (None, 2),
        "late": 2,
        "no_handler": Refusal("init/error", "PathError", "^fork/exec .*/absent: no such file or directory$"),
        "syntax": Refusal("init/error", "PathError", "^fork/exec .*/main_syntax: exec format error$"),
        "wrong_architecture": Refusal("init/error", "PathError", "^fork/exec .*/native.so: exec format error$"),
        "wrapper": False,
        "no_wrapper": False,
    },
    dashes={
        "stream": "AWS's runtimes of this language stream nothing",
        **dict.fromkeys(("no_class", "no_module", "malformed"), _NO_MODULES),
        "signature": "the program's library looks at its handler",
        "import_error": "a program is whole",
        "import_fails": _ITS_OWN,
        "log": "what a program writes is its log, a line an entry: many_lines",
        "error_log": "AWS's library for Go logs no errors",
        "json_log": "what a program writes is its log, a line an entry: many_lines",
    },
)
