"""A function for go1.x: what AWS's library for it makes of a handler, written with Go's own net/rpc."""

from __future__ import annotations

FUNCTION = r"""
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

type Function struct {
	Pinged
	count int
}

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
	if os.Getenv("STRANGE") != "" {
		serve()
		return
	}
	serve(new(Function))
}
"""
