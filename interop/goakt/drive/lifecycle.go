package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tochemey/goakt/v3/address"
	gerrors "github.com/tochemey/goakt/v3/errors"
	"github.com/tochemey/goakt/v3/passivation"
	"github.com/tochemey/goakt/v3/reentrancy"
	"github.com/tochemey/goakt/v3/remote"
	"github.com/tochemey/goakt/v3/supervisor"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"rakt/interop/goakt/internal/actors"
	"rakt/interop/goakt/internal/messages"
	"rakt/interop/goakt/internal/wire"
)

// The kinds of the contract.
const (
	workerKind  = "main.worker"
	refuserKind = "main.refuser"
)

// A name that GoAkt keeps for itself.
const reservedName = "GoAktDeathWatch"

func lifecycle() []check {
	return []check{
		{name: "spawn", run: spawnWorker},
		{name: "spawn by a kind in other case", run: func(ctx context.Context, x *target) error {
			name := x.unique("other-case")
			return errors.Join(x.spawn(ctx, name, " Main.Worker "), x.expectLookup(ctx, name, true))
		}},
		{name: "spawn with every option that both have", run: spawnWithOptions},
		{name: "spawn with options that Go alone has", run: spawnWithOptionsOfGo},
		{name: "spawn of an unknown kind", run: func(ctx context.Context, x *target) error {
			return expectIs(x.spawn(ctx, x.unique("unknown-kind"), "main.nobody"), gerrors.ErrTypeNotRegistered)
		}},
		{name: "spawn with a name that is taken", run: spawnTaken},
		{name: "spawn with a reserved name", run: func(ctx context.Context, x *target) error {
			return expectText(x.spawn(ctx, reservedName, workerKind), reservedText)
		}},
		{name: "spawn that its actor refuses", run: func(ctx context.Context, x *target) error {
			name := x.unique("refused")
			if err := x.spawn(ctx, name, refuserKind); err == nil {
				return errors.New("no error")
			}
			return x.expectLookup(ctx, name, false)
		}},
		{name: "stop", run: stopWorker},
		{name: "stop of no actor is no error", run: func(ctx context.Context, x *target) error {
			return x.remoting.RemoteStop(ctx, x.host, x.port, "absent")
		}},
		{name: "stop of a reserved name", run: func(ctx context.Context, x *target) error {
			return expectText(x.remoting.RemoteStop(ctx, x.host, x.port, reservedName), reservedText)
		}},
		{name: "respawn", run: respawnWorker},
		{name: "respawn of no actor is no error", run: func(ctx context.Context, x *target) error {
			return x.remoting.RemoteReSpawn(ctx, x.host, x.port, "absent")
		}},
		{name: "respawn of a reserved name", run: func(ctx context.Context, x *target) error {
			return expectText(x.remoting.RemoteReSpawn(ctx, x.host, x.port, reservedName), reservedText)
		}},
		{name: "reinstate", run: reinstate},
		{name: "reinstate of an actor that runs", run: func(ctx context.Context, x *target) error {
			if err := x.remoting.RemoteReinstate(ctx, x.host, x.port, actors.EchoName); err != nil {
				return err
			}
			return x.expectEcho(ctx, x.address(actors.EchoName), address.NoSender(), wrapperspb.String("running"))
		}},
		{name: "reinstate of no actor is no error", run: func(ctx context.Context, x *target) error {
			return x.remoting.RemoteReinstate(ctx, x.host, x.port, "absent")
		}},
		{name: "reinstate of a reserved name", run: func(ctx context.Context, x *target) error {
			return expectText(x.remoting.RemoteReinstate(ctx, x.host, x.port, reservedName), reservedText)
		}},
		{name: "poison pill", run: poisonPill},
		{name: "grain of an unknown kind", run: func(ctx context.Context, x *target) error {
			request := &remote.GrainRequest{Kind: "main.nobody", Name: "one"}
			_, err := x.remoting.RemoteAskGrain(ctx, x.host, x.port, request, wrapperspb.String(""), askTimeout)
			if err == nil || !strings.Contains(err.Error(), gerrors.ErrGrainNotRegistered.Error()) {
				return fmt.Errorf("error %v, not: %w", err, gerrors.ErrGrainNotRegistered)
			}
			return nil
		}},
	}
}

const reservedText = "(actor=" + reservedName + ") actor not found"

func (x *target) spawn(ctx context.Context, name, kind string) error {
	return x.remoting.RemoteSpawn(ctx, x.host, x.port, &remote.SpawnRequest{Name: name, Kind: kind})
}

// spawnNoted starts a worker that has one note.
func (x *target) spawnNoted(ctx context.Context, name string) error {
	if err := x.spawn(ctx, name, workerKind); err != nil {
		return err
	}
	if err := x.tell(ctx, name, &messages.Note{Sender: "noted", Number: 1}); err != nil {
		return err
	}
	return x.expectCount(ctx, name, "noted", 1)
}

func spawnWorker(ctx context.Context, x *target) error {
	name := x.unique("spawned")
	if err := x.spawnNoted(ctx, name); err != nil {
		return err
	}
	return x.expectLookup(ctx, name, true)
}

func spawnWithOptions(ctx context.Context, x *target) error {
	name := x.unique("options")
	err := x.remoting.RemoteSpawn(ctx, x.host, x.port, &remote.SpawnRequest{
		Name:                name,
		Kind:                workerKind,
		Relocatable:         true,
		PassivationStrategy: passivation.NewLongLivedStrategy(),
		Supervisor: supervisor.NewSupervisor(supervisor.WithStrategy(supervisor.OneForAllStrategy),
			supervisor.WithAnyErrorDirective(supervisor.RestartDirective)),
		EnableStashing: true,
	})
	if err != nil {
		return err
	}
	return x.expectEcho(ctx, x.address(name), address.NoSender(), wrapperspb.String("with options"))
}

// spawnWithOptionsOfGo: rakt refuses each by name, GoAkt takes them.
func spawnWithOptionsOfGo(ctx context.Context, x *target) error {
	role := "worker"
	reentrant := reentrancy.New(reentrancy.WithMode(reentrancy.AllowAll), reentrancy.WithMaxInFlight(3))
	for text, request := range map[string]*remote.SpawnRequest{
		"the role worker: this node is in no cluster": {Role: &role},
		"reentrancy": {Reentrancy: reentrant},
	} {
		request.Name, request.Kind = x.unique("options-of-go"), workerKind
		err := x.remoting.RemoteSpawn(ctx, x.host, x.port, request)
		if x.rakt {
			err = expectText(err, "invalid argument: this node does not carry out "+text)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		if !x.rakt {
			if err := x.remoting.RemoteStop(ctx, x.host, x.port, request.Name); err != nil {
				return err
			}
			if err := x.expectGone(ctx, request.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// spawnTaken: the actor that has the name stays as it is.
func spawnTaken(ctx context.Context, x *target) error {
	name := x.unique("taken")
	return errors.Join(x.spawnNoted(ctx, name), x.spawn(ctx, name, workerKind), x.expectCount(ctx, name, "noted", 1))
}

func stopWorker(ctx context.Context, x *target) error {
	name := x.unique("stopped")
	if err := x.spawn(ctx, name, workerKind); err != nil {
		return err
	}
	if err := x.remoting.RemoteStop(ctx, x.host, x.port, name); err != nil {
		return err
	}
	return x.expectGone(ctx, name)
}

func (x *target) expectGone(ctx context.Context, name string) error {
	return until(ctx, "the actor is gone", func() (bool, error) {
		found, err := x.remoting.RemoteLookup(ctx, x.host, x.port, name)
		return err == nil && found.Equals(address.NoSender()), err
	})
}

// respawnWorker: the actor that comes has forgotten what the one before knew.
func respawnWorker(ctx context.Context, x *target) error {
	name := x.unique("respawned")
	if err := x.spawnNoted(ctx, name); err != nil {
		return err
	}
	if err := x.remoting.RemoteReSpawn(ctx, x.host, x.port, name); err != nil {
		return err
	}
	return x.expectCount(ctx, name, "noted", 0)
}

func reinstate(ctx context.Context, x *target) error {
	if err := x.tell(ctx, actors.SuspendingName, &messages.Fail{How: messages.FailByError}); err != nil {
		return err
	}
	err := until(ctx, "the actor is suspended", func() (bool, error) {
		_, err := x.ask(ctx, actors.SuspendingName, wrapperspb.String(""), askTimeout/10)
		// It may be asked before it fails, and then keeps the question.
		if err == nil || strings.Contains(err.Error(), gerrors.ErrRequestTimeout.Error()) {
			return false, nil
		}
		if !strings.Contains(err.Error(), gerrors.ErrDead.Error()) {
			return false, fmt.Errorf("error %w, not: %w", err, gerrors.ErrDead)
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	if err := x.remoting.RemoteReinstate(ctx, x.host, x.port, actors.SuspendingName); err != nil {
		return err
	}
	return x.expectEcho(ctx, x.address(actors.SuspendingName), address.NoSender(), wrapperspb.String("back"))
}

func poisonPill(ctx context.Context, x *target) error {
	name := x.unique("poisoned")
	if err := x.spawn(ctx, name, workerKind); err != nil {
		return err
	}
	if err := x.tell(ctx, name, wire.New("goaktpb.PoisonPill")); err != nil {
		return err
	}
	return x.expectGone(ctx, name)
}
