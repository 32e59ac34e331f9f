package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tochemey/goakt/v3/actor"
	"github.com/tochemey/goakt/v3/address"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"rakt/interop/goakt/internal/actors"
	"rakt/interop/goakt/internal/messages"
)

func senders() []check {
	return []check{
		{name: "a sender is answered", run: func(ctx context.Context, x *target) error {
			return x.withNode(ctx, func(own actor.ActorSystem) error { return x.senderIsAnswered(ctx, own) })
		}},
		{name: "a child that sends is answered", run: func(ctx context.Context, x *target) error {
			return x.withNode(ctx, func(own actor.ActorSystem) error { return x.childIsAnswered(ctx, own) })
		}},
		{name: "no sender, no answer and no harm", run: func(ctx context.Context, x *target) error {
			return errors.Join(
				x.tell(ctx, actors.ReplierName, wrapperspb.String("from nobody")),
				x.withNode(ctx, func(own actor.ActorSystem) error { return x.senderIsAnswered(ctx, own) }))
		}},
		{name: "asynchronous request from Go", run: func(ctx context.Context, x *target) error {
			return x.withNode(ctx, func(own actor.ActorSystem) error {
				driver := x.asTarget(own)
				return driver.expectRelay(ctx, x.address(actors.EchoName), x.unique("from Go"))
			})
		}},
		{name: "asynchronous request to Go", run: func(ctx context.Context, x *target) error {
			return x.withNode(ctx, func(own actor.ActorSystem) error {
				return x.expectRelay(ctx, addressIn(own, actors.EchoName), x.unique("to Go"))
			})
		}},
		{name: "asynchronous request that nobody answers", run: func(ctx context.Context, x *target) error {
			return x.withNode(ctx, func(own actor.ActorSystem) error {
				outcome, err := x.relay(ctx, addressIn(own, actors.SilentName), x.unique("unanswered"))
				if err == nil && outcome.Error == "" {
					err = fmt.Errorf("answered with %q", outcome.Payload)
				}
				return err
			})
		}},
	}
}

// asTarget is own, reached as a target is.
func (x *target) asTarget(own actor.ActorSystem) *target {
	other := *x
	other.host, other.port, other.system = own.Host(), own.Port(), own.Name()
	return &other
}

// mailbox is an actor that hands on what it is told.
type mailbox struct{ taken chan proto.Message }

func (*mailbox) PreStart(*actor.Context) error { return nil }
func (*mailbox) PostStop(*actor.Context) error { return nil }

func (x *mailbox) Receive(ctx *actor.ReceiveContext) {
	if message, ok := ctx.Message().(*wrapperspb.BytesValue); ok {
		x.taken <- message
	}
}

func newMailbox() *mailbox { return &mailbox{taken: make(chan proto.Message, 100)} }

// expectAnswers tells the node's replier a few messages from the actor that has the mailbox.
func (x *target) expectAnswers(ctx context.Context, from *actor.PID, box *mailbox) error {
	for i := range cap(box.taken) {
		if err := from.RemoteTell(ctx, x.address(actors.ReplierName), wrapperspb.Bytes([]byte{byte(i)})); err != nil {
			return err
		}
	}
	for i := range cap(box.taken) {
		select {
		case got := <-box.taken:
			if want := wrapperspb.Bytes([]byte{byte(i)}); !proto.Equal(got, want) {
				return fmt.Errorf("answer %d is %v", i, got)
			}
		case <-time.After(askTimeout):
			return fmt.Errorf("answer %d has not come", i)
		}
	}
	return nil
}

func (x *target) senderIsAnswered(ctx context.Context, own actor.ActorSystem) error {
	box := newMailbox()
	from, err := own.Spawn(ctx, "sender", box)
	if err != nil {
		return err
	}
	return x.expectAnswers(ctx, from, box)
}

func (x *target) childIsAnswered(ctx context.Context, own actor.ActorSystem) error {
	parent, err := own.LocalActor(actors.ParentName)
	if err != nil {
		return err
	}
	box := newMailbox()
	from, err := parent.SpawnChild(ctx, "sender", box)
	if err != nil {
		return err
	}
	return x.expectAnswers(ctx, from, box)
}

// relay has the target send an asynchronous request to the actor at to, and asks what came of it.
func (x *target) relay(ctx context.Context, to *address.Address, payload string) (*messages.Outcome, error) {
	relay := &messages.Relay{Id: payload, To: to.String(), Payload: []byte(payload)}
	if _, err := x.ask(ctx, actors.RequesterName, relay, askTimeout); err != nil {
		return nil, err
	}
	return as[*messages.Outcome](x.ask(ctx, actors.OutcomesName, &messages.OutcomeRequest{Id: relay.Id}, 2*askTimeout))
}

func (x *target) expectRelay(ctx context.Context, to *address.Address, payload string) error {
	outcome, err := x.relay(ctx, to, payload)
	if err == nil && (outcome.Error != "" || string(outcome.Payload) != payload) {
		err = fmt.Errorf("%q, error %q", outcome.Payload, outcome.Error)
	}
	return err
}
