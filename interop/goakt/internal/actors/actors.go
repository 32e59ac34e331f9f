// Package actors holds the actors that every node of the contract (see README.md) offers.
package actors

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/tochemey/goakt/v3/actor"
	"github.com/tochemey/goakt/v3/goaktpb"
	"github.com/tochemey/goakt/v3/reentrancy"
	"github.com/tochemey/goakt/v3/supervisor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"rakt/interop/goakt/internal/messages"
)

// The names of the actors.
const (
	EchoName       = "echo"
	CounterName    = "counter"
	SilentName     = "silent"
	SlowName       = "slow"
	ProducerName   = "producer"
	FailingName    = "failing"
	SuspendingName = "suspending"
	ReplierName    = "replier"
	RequesterName  = "requester"
	OutcomesName   = "outcomes"
	TracerName     = "tracer"
	ForwarderName  = "forwarder"
	ParentName     = "parent"
	ChildName      = "child"
	courierName    = "courier"
)

// SpawnAll starts the actors on system. They stay, however long nobody talks to them.
func SpawnAll(ctx context.Context, system actor.ActorSystem) error {
	// An actor that fails goes on with the next message, unless failing is what it is for.
	resume := actor.WithSupervisor(supervisor.NewSupervisor(
		supervisor.WithAnyErrorDirective(supervisor.ResumeDirective)))
	// No rule for an error that is no panic means that GoAkt suspends the actor.
	suspend := actor.WithSupervisor(supervisor.NewSupervisor())
	reentrant := actor.WithReentrancy(reentrancy.New(reentrancy.WithMode(reentrancy.AllowAll)))

	board := newBoard()
	for _, each := range []struct {
		name    string
		actor   actor.Actor
		options []actor.SpawnOption
	}{
		{EchoName, &Echo{}, nil},
		{CounterName, &Counter{}, nil},
		{SilentName, &Silent{}, nil},
		{SlowName, &Slow{}, nil},
		{ProducerName, &Producer{}, nil},
		{FailingName, &Failing{}, nil},
		{SuspendingName, &Failing{}, []actor.SpawnOption{suspend}},
		{ReplierName, &Replier{}, nil},
		{courierName, &courier{}, nil},
		{RequesterName, &Requester{board: board}, []actor.SpawnOption{reentrant}},
		{OutcomesName, &Outcomes{board: board}, nil},
		{TracerName, &Tracer{}, nil},
		{ForwarderName, &Forwarder{}, nil},
	} {
		options := append([]actor.SpawnOption{actor.WithLongLived(), resume}, each.options...)
		if _, err := system.Spawn(ctx, each.name, each.actor, options...); err != nil {
			return fmt.Errorf("spawn %s: %w", each.name, err)
		}
	}
	parent, err := system.Spawn(ctx, ParentName, &Echo{}, actor.WithLongLived())
	if err != nil {
		return fmt.Errorf("spawn %s: %w", ParentName, err)
	}
	if _, err := parent.SpawnChild(ctx, ChildName, &Echo{}, actor.WithLongLived()); err != nil {
		return fmt.Errorf("spawn %s: %w", ChildName, err)
	}
	return nil
}

// hooks are the hooks of an actor without any.
type hooks struct{}

func (hooks) PreStart(*actor.Context) error { return nil }
func (hooks) PostStop(*actor.Context) error { return nil }

// Echo answers with what it is asked.
type Echo struct{ hooks }

// Receive implements actor.Actor.
func (*Echo) Receive(ctx *actor.ReceiveContext) { echo(ctx) }

func echo(ctx *actor.ReceiveContext) {
	if _, started := ctx.Message().(*goaktpb.PostStart); !started {
		ctx.Response(ctx.Message())
	}
}

// Silent takes every message and never answers.
type Silent struct{ hooks }

// Receive implements actor.Actor.
func (*Silent) Receive(*actor.ReceiveContext) {}

// Producer answers messages.Produce with a BytesValue of that size; see Produced.
type Producer struct{ hooks }

// Receive implements actor.Actor.
func (*Producer) Receive(ctx *actor.ReceiveContext) {
	if message, ok := ctx.Message().(*messages.Produce); ok {
		ctx.Response(wrapperspb.Bytes(Produced(message.Size)))
	}
}

// Produced is size bytes that do not compress: SHA-256 of 0, of 1, and so on, each counter as 8 bytes, big-endian.
func Produced(size uint32) []byte {
	produced := make([]byte, 0, size+sha256.Size)
	for i := uint64(0); len(produced) < int(size); i++ {
		block := sha256.Sum256([]byte{
			byte(i >> 56), byte(i >> 48), byte(i >> 40), byte(i >> 32), byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
		produced = append(produced, block[:]...)
	}
	return produced[:size]
}
