"""A function for go1.x: what AWS's library for it makes of a handler, written with Go's own net/rpc."""

from __future__ import annotations

FUNCTION = r"""
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/rpc"
	"os"
	"strings"
	"time"
)

type Timestamp struct{ Seconds, Nanos int64 }
type PingRequest struct{}
type PingResponse struct{}
type InvokeRequest struct {
	Payload               []byte
	RequestId             string
	XAmznTraceId          string
	Deadline              Timestamp
	InvokedFunctionArn    string
	CognitoIdentityId     string
	CognitoIdentityPoolId string
	ClientContext         []byte
}
type StackFrame struct {
	Path  string
	Line  int32
	Label string
}
type Failure struct {
	Message    string
	Type       string
	StackTrace []*StackFrame
	ShouldExit bool
}
type InvokeResponse struct {
	Payload []byte
	Error   *Failure
}

type Function struct{ count int }

func (f *Function) Ping(request *PingRequest, response *PingResponse) error { return nil }

func (f *Function) Invoke(request *InvokeRequest, response *InvokeResponse) error {
	f.count++
	var event interface{}
	if err := json.Unmarshal(request.Payload, &event); err != nil {
		response.Error = &Failure{Message: err.Error(), Type: "SyntaxError"}
		return nil
	}
	switch what := fmt.Sprint(event); {
	case what == "fail":
		response.Error = &Failure{Message: "as asked é", Type: "errorString"}
	case what == "panic":
		frames := []*StackFrame{{"main.go", 7, "main.handler"}, {"", 0, ""}}
		response.Error = &Failure{Message: "at once", Type: "string", StackTrace: frames, ShouldExit: true}
	case what == "exit":
		os.Exit(3)
	case what == "refuse":
		return fmt.Errorf("not this one")
	case what == "sleep":
		time.Sleep(time.Hour)
	case strings.HasPrefix(what, "huge"):
		response.Payload = []byte("\"" + strings.Repeat("x", 7<<20) + "\"")
	default:
		fmt.Println("said", what)
		answer := map[string]interface{}{"event": event, "request": request, "count": f.count, "environment": os.Environ(),
			"client": string(request.ClientContext)}
		response.Payload, _ = json.Marshal(answer)
	}
	return nil
}

func main() {
	if os.Getenv("DIE") != "" {
		os.Exit(4)
	}
	listener, err := net.Listen("tcp", "localhost:"+os.Getenv("_LAMBDA_SERVER_PORT"))
	if err != nil {
		panic(err)
	}
	if os.Getenv("STRANGE") == "" {
		rpc.Register(new(Function))
	}
	rpc.Accept(listener)
}
"""
