package main

import (
	"context"
	"fmt"

	"github.com/tochemey/goakt/v3/actor"
	"github.com/tochemey/goakt/v3/address"
	"github.com/tochemey/goakt/v3/log"

	"rakt/interop/goakt/internal/actors"
	"rakt/interop/goakt/internal/host"
	"rakt/interop/goakt/internal/messages"
	"rakt/interop/goakt/internal/trace"
)

// traceparent is the example of the W3C recommendation.
const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func headers() []check {
	return []check{
		{name: "traceparent reaches the actor", run: func(ctx context.Context, x *target) error {
			ctx = trace.WithParent(ctx, traceparent)
			return expectTrace(askFor[*messages.Trace](ctx, x, actors.TracerName, &messages.TraceRequest{}))
		}},
		{name: "no traceparent, none arrives", run: func(ctx context.Context, x *target) error {
			reply, err := askFor[*messages.Trace](ctx, x, actors.TracerName, &messages.TraceRequest{})
			if err == nil && reply.Traceparent != "" {
				err = fmt.Errorf("%q out of nowhere", reply.Traceparent)
			}
			return err
		}},
		{name: "traceparent from Go through the node and back to Go", run: func(ctx context.Context, x *target) error {
			return x.withNode(ctx, func(own actor.ActorSystem) error {
				hop := &messages.Hop{To: addressIn(own, actors.TracerName).String()}
				ctx = trace.WithParent(ctx, traceparent)
				return expectTrace(askFor[*messages.Trace](ctx, x, actors.ForwarderName, hop))
			})
		}},
		{name: "traceparent from the node's forwarder to its own tracer", run: func(ctx context.Context, x *target) error {
			hop := &messages.Hop{To: x.address(actors.TracerName).String()}
			ctx = trace.WithParent(ctx, traceparent)
			return expectTrace(askFor[*messages.Trace](ctx, x, actors.ForwarderName, hop))
		}},
	}
}

func expectTrace(reply *messages.Trace, err error) error {
	if err == nil && reply.Traceparent != traceparent {
		err = fmt.Errorf("traceparent %q, not %q", reply.Traceparent, traceparent)
	}
	return err
}

// withNode runs a GoAkt node beside the target for as long as do takes.
func (x *target) withNode(ctx context.Context, do func(actor.ActorSystem) error) error {
	own, err := host.Start(ctx, host.Config{
		System:      "driver",
		Compression: x.compression,
		TLS:         x.tls,
		Propagator:  true,
		Logger:      log.DiscardLogger,
	})
	if err != nil {
		return err
	}
	defer func() { _ = own.Stop(ctx) }()
	return do(own)
}

func addressIn(system actor.ActorSystem, name string) *address.Address {
	return address.New(name, system.Name(), system.Host(), system.Port())
}
