package actors

import (
	"errors"
	"time"

	"github.com/tochemey/goakt/v3/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"rakt/interop/goakt/internal/messages"
)

// maxDelay bounds what one message can ask of Slow.
const maxDelay = time.Minute

// Slow answers messages.Delay with its payload after the time it gives, one after the other.
type Slow struct{ hooks }

// Receive implements actor.Actor.
func (*Slow) Receive(ctx *actor.ReceiveContext) {
	if message, ok := ctx.Message().(*messages.Delay); ok {
		time.Sleep(min(time.Duration(message.Millis)*time.Millisecond, maxDelay))
		ctx.Response(wrapperspb.Bytes(message.Payload))
	}
}

// Failing fails as messages.Fail says, without an answer, and answers with everything else it is asked.
type Failing struct{ hooks }

// Receive implements actor.Actor.
func (*Failing) Receive(ctx *actor.ReceiveContext) {
	if message, ok := ctx.Message().(*messages.Fail); ok {
		switch message.How {
		case messages.FailByPanic:
			panic("asked to panic")
		case messages.FailByError:
			ctx.Err(errors.New("asked to fail"))
			return
		}
	}
	echo(ctx)
}
