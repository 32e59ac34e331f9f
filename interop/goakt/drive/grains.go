package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tochemey/goakt/v3/remote"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"rakt/interop/goakt/internal/messages"
	"rakt/interop/goakt/internal/trace"
	"rakt/interop/goakt/internal/wire"
)

// grainKind is the grain kind of the contract.
const grainKind = "main.tally"

// grains is a suite of its own, for nodes that have grains.
func grains() []check {
	return []check{
		{name: "ask of a grain activates it", run: func(ctx context.Context, x *target) error {
			want := wrapperspb.String("are you there?")
			reply, err := x.askGrain(ctx, x.unique("asked"), want, askTimeout)
			if err == nil && !proto.Equal(reply, want) {
				err = fmt.Errorf("%v", reply)
			}
			return err
		}},
		{name: "tell to a grain", run: func(ctx context.Context, x *target) error {
			grain := x.unique("told")
			return errors.Join(
				x.tellGrain(ctx, grain, &messages.Note{Sender: "a", Number: 1}),
				x.tellGrain(ctx, grain, &messages.Note{Sender: "a", Number: 2}),
				x.expectGrainCount(ctx, grain, 2))
		}},
		{name: "activation leaves a grain that is active as it is", run: func(ctx context.Context, x *target) error {
			grain := x.unique("activated")
			return errors.Join(
				x.remoting.RemoteActivateGrain(ctx, x.host, x.port, grainRequest(grain)),
				x.tellGrain(ctx, grain, &messages.Note{Sender: "a", Number: 1}),
				x.remoting.RemoteActivateGrain(ctx, x.host, x.port, grainRequest(grain)),
				x.expectGrainCount(ctx, grain, 1))
		}},
		{name: "poison pill deactivates a grain", run: func(ctx context.Context, x *target) error {
			grain := x.unique("poisoned")
			return errors.Join(
				x.tellGrain(ctx, grain, &messages.Note{Sender: "a", Number: 1}),
				x.tellGrain(ctx, grain, wire.New("goaktpb.PoisonPill")),
				x.expectGrainCount(ctx, grain, 0))
		}},
		{name: "grain that fails", run: func(ctx context.Context, x *target) error {
			_, err := x.askGrain(ctx, x.unique("fails"), &messages.Fail{How: messages.FailByError}, askTimeout)
			return expectText(err, "asked to fail")
		}},
		{name: "grain that takes too long", run: func(ctx context.Context, x *target) error {
			_, err := x.askGrain(ctx, x.unique("slow"), &messages.Delay{Millis: 1000}, shortTimeout)
			return expectText(err, "request timed out")
		}},
		{name: "headers reach a grain", run: func(ctx context.Context, x *target) error {
			ctx = trace.WithParent(ctx, traceparent)
			reply, err := as[*messages.Trace](x.askGrain(ctx, x.unique("traced"), &messages.TraceRequest{}, askTimeout))
			return expectTrace(reply, err)
		}},
	}
}

func grainRequest(name string) *remote.GrainRequest {
	return &remote.GrainRequest{Kind: grainKind, Name: name}
}

func (x *target) askGrain(ctx context.Context, name string, message proto.Message, timeout time.Duration) (proto.Message, error) {
	return unpack(x.remoting.RemoteAskGrain(ctx, x.host, x.port, grainRequest(name), message, timeout))
}

func (x *target) tellGrain(ctx context.Context, name string, message proto.Message) error {
	return x.remoting.RemoteTellGrain(ctx, x.host, x.port, grainRequest(name), message)
}

func (x *target) expectGrainCount(ctx context.Context, name string, notes uint64) error {
	count, err := as[*messages.Count](x.askGrain(ctx, name, &messages.CountRequest{}, askTimeout))
	if err == nil && (count.Notes != notes || count.Violations != 0) {
		err = fmt.Errorf("%d notes of %d, %d out of order", count.Notes, notes, count.Violations)
	}
	return err
}
