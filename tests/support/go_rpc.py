"""The half of AWS's library for Go that is the same in every function for go1.x: its types for net/rpc, and their server."""

from __future__ import annotations

#: Beside a program's main.go. A service holds `Pinged`, and has an `Invoke` of its own.
RPC = r"""
package main

import (
	"net"
	"net/rpc"
	"os"
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
type Pinged struct{}

func (p *Pinged) Ping(request *PingRequest, response *PingResponse) error { return nil }

// Answers at the port that the runtime has chosen.
func serve(services ...interface{}) {
	listener, err := net.Listen("tcp", "localhost:"+os.Getenv("_LAMBDA_SERVER_PORT"))
	if err != nil {
		panic(err)
	}
	for _, service := range services {
		rpc.RegisterName("Function", service)
	}
	rpc.Accept(listener)
}
"""
