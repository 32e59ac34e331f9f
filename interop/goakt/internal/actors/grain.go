package actors

import (
	"context"
	"errors"
	"time"

	"github.com/tochemey/goakt/v3/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"rakt/interop/goakt/internal/messages"
	"rakt/interop/goakt/internal/trace"
)

// Grain does as a grain what Counter, Slow, Failing and Tracer do as actors.
type Grain struct{ tally tally }

// OnActivate implements actor.Grain.
func (x *Grain) OnActivate(context.Context, *actor.GrainProps) error {
	x.tally = tally{}
	return nil
}

// OnReceive implements actor.Grain.
func (x *Grain) OnReceive(ctx *actor.GrainContext) {
	switch message := ctx.Message().(type) {
	case *messages.Note:
		x.tally.note(message)
		ctx.NoErr()
	case *messages.CountRequest:
		ctx.Response(x.tally.count(message.Sender))
	case *messages.Delay:
		time.Sleep(min(time.Duration(message.Millis)*time.Millisecond, maxDelay))
		ctx.Response(wrapperspb.Bytes(message.Payload))
	case *messages.Fail:
		ctx.Err(errors.New("asked to fail"))
	case *messages.TraceRequest:
		ctx.Response(&messages.Trace{Traceparent: trace.Parent(ctx.Context())})
	case *wrapperspb.BytesValue, *wrapperspb.StringValue:
		ctx.Response(message)
	default:
		ctx.Unhandled()
	}
}

// OnDeactivate implements actor.Grain.
func (*Grain) OnDeactivate(context.Context, *actor.GrainProps) error { return nil }
