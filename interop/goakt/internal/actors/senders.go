package actors

import (
	"fmt"
	"time"

	"github.com/tochemey/goakt/v3/actor"
	"github.com/tochemey/goakt/v3/address"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"rakt/interop/goakt/internal/messages"
	"rakt/interop/goakt/internal/trace"
)

// hopTimeout bounds the ask of a Forwarder.
const hopTimeout = 5 * time.Second

// Replier tells the sender of a BytesValue or StringValue the same message.
type Replier struct{ hooks }

// Receive implements actor.Actor.
func (*Replier) Receive(ctx *actor.ReceiveContext) {
	switch ctx.Message().(type) {
	case *wrapperspb.BytesValue, *wrapperspb.StringValue:
		if sender := ctx.RemoteSender(); sender != nil && sender.Host() != "" {
			ctx.RemoteTell(sender, ctx.Message())
		}
	}
}

// Tracer answers messages.TraceRequest with the trace context that it came with.
type Tracer struct{ hooks }

// Receive implements actor.Actor.
func (*Tracer) Receive(ctx *actor.ReceiveContext) {
	if _, ok := ctx.Message().(*messages.TraceRequest); ok {
		ctx.Response(&messages.Trace{Traceparent: trace.Parent(ctx.Context())})
	}
}

// Forwarder asks another node's tracer in the context of the messages.Hop that tells it to.
type Forwarder struct{ hooks }

// Receive implements actor.Actor.
func (*Forwarder) Receive(ctx *actor.ReceiveContext) {
	hop, ok := ctx.Message().(*messages.Hop)
	if !ok {
		return
	}
	to, err := address.Parse(hop.To)
	if err != nil {
		ctx.Err(fmt.Errorf("hop to %q: %w", hop.To, err))
		return
	}
	// On failure RemoteAsk has called ctx.Err and there is nothing to answer.
	packed := ctx.RemoteAsk(to, &messages.TraceRequest{}, hopTimeout)
	if packed == nil {
		return
	}
	reply, err := packed.UnmarshalNew()
	if err != nil {
		ctx.Err(fmt.Errorf("reply from %q: %w", hop.To, err))
		return
	}
	ctx.Response(reply)
}
