package actors

import (
	"fmt"
	"sync"
	"time"

	"github.com/tochemey/goakt/v3/actor"
	"github.com/tochemey/goakt/v3/address"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"rakt/interop/goakt/internal/messages"
	"rakt/interop/goakt/internal/wire"
)

// requestTimeout is how long a request may take; Outcomes waits for it twice as long.
const requestTimeout = 3 * time.Second

// Requester sends the payload of a messages.Relay as an asynchronous request and answers with Empty at once. What
// comes of the request is told by Outcomes.
//
// Without a cluster GoAkt sends such requests to local actors alone, though it can answer those of other nodes.
// So the request goes to a local courier, which passes it on in the envelope that GoAkt itself would use.
// Correlation, timeout and reply are GoAkt's own.
type Requester struct {
	hooks
	board *board
}

// Receive implements actor.Actor.
func (x *Requester) Receive(ctx *actor.ReceiveContext) {
	relay, ok := ctx.Message().(*messages.Relay)
	if !ok {
		return
	}
	call := ctx.RequestName(courierName, relay, actor.WithRequestTimeout(requestTimeout))
	if call == nil {
		return
	}
	call.Then(func(reply proto.Message, err error) {
		outcome := &messages.Outcome{Id: relay.Id}
		if payload, ok := reply.(*wrapperspb.BytesValue); err == nil && ok {
			outcome.Payload = payload.GetValue()
		} else if err == nil {
			outcome.Error = fmt.Sprintf("a reply of the type %T", reply)
		} else {
			outcome.Error = err.Error()
		}
		x.board.post(outcome)
	})
	ctx.Response(&emptypb.Empty{})
}

// courier passes a request on to another node, in the name of the actor that it is from.
type courier struct{ hooks }

func (*courier) Receive(ctx *actor.ReceiveContext) {
	relay, ok := ctx.Message().(*messages.Relay)
	if !ok {
		return
	}
	if err := deliver(ctx, relay); err != nil {
		response := wire.New("internalpb.AsyncResponse")
		wire.Set(response, "correlation_id", protoreflect.ValueOf(ctx.CorrelationID()))
		wire.Set(response, "error", protoreflect.ValueOf(err.Error()))
		ctx.Tell(ctx.Sender(), response)
	}
}

func deliver(ctx *actor.ReceiveContext, relay *messages.Relay) error {
	to, err := address.Parse(relay.To)
	if err != nil {
		return err
	}
	payload, err := anypb.New(wrapperspb.Bytes(relay.Payload))
	if err != nil {
		return err
	}
	request := wire.New("internalpb.AsyncRequest")
	wire.Set(request, "correlation_id", protoreflect.ValueOf(ctx.CorrelationID()))
	wire.Set(request, "reply_to", protoreflect.ValueOf(ctx.Sender().Address().String()))
	wire.Set(request, "message", protoreflect.ValueOf(payload.ProtoReflect()))
	return ctx.Sender().RemoteTell(ctx.Context(), to, request)
}

// Outcomes answers messages.OutcomeRequest as soon as the request in question has ended.
type Outcomes struct {
	hooks
	board *board
}

// Receive implements actor.Actor.
func (x *Outcomes) Receive(ctx *actor.ReceiveContext) {
	if message, ok := ctx.Message().(*messages.OutcomeRequest); ok {
		ctx.Response(x.board.wait(message.Id))
	}
}

// board is where outcomes are posted, for one reader each.
type board struct {
	lock  sync.Mutex
	slots map[string]chan *messages.Outcome
}

func newBoard() *board {
	return &board{slots: map[string]chan *messages.Outcome{}}
}

func (x *board) slot(id string) chan *messages.Outcome {
	x.lock.Lock()
	defer x.lock.Unlock()
	if x.slots[id] == nil {
		x.slots[id] = make(chan *messages.Outcome, 1)
	}
	return x.slots[id]
}

// post keeps the first outcome of an id.
func (x *board) post(outcome *messages.Outcome) {
	select {
	case x.slot(outcome.Id) <- outcome:
	default:
	}
}

func (x *board) wait(id string) *messages.Outcome {
	defer func() {
		x.lock.Lock()
		delete(x.slots, id)
		x.lock.Unlock()
	}()
	select {
	case outcome := <-x.slot(id):
		return outcome
	case <-time.After(2 * requestTimeout):
		return &messages.Outcome{Id: id, Error: "no outcome in time"}
	}
}
