package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tochemey/goakt/v3/address"
	gerrors "github.com/tochemey/goakt/v3/errors"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"rakt/interop/goakt/internal/actors"
	"rakt/interop/goakt/internal/messages"
	"rakt/interop/goakt/internal/wire"
)

// shortTimeout is for asks that are not meant to be answered.
const shortTimeout = 300 * time.Millisecond

func operations() []check {
	return slices.Concat(messaging(), batches(), lifecycle())
}

func messaging() []check {
	return []check{
		{name: "lookup of an actor", run: func(ctx context.Context, x *target) error {
			return x.expectLookup(ctx, actors.EchoName, true)
		}},
		{name: "lookup of no actor is no error", run: func(ctx context.Context, x *target) error {
			return x.expectLookup(ctx, "absent", false)
		}},
		{name: "ask with bytes", run: func(ctx context.Context, x *target) error {
			return x.expectEcho(ctx, x.address(actors.EchoName), address.NoSender(), wrapperspb.Bytes([]byte{0, 1, 255}))
		}},
		{name: "ask with text", run: func(ctx context.Context, x *target) error {
			return x.expectEcho(ctx, x.address(actors.EchoName), address.NoSender(), wrapperspb.String("grüß Gott"))
		}},
		{name: "ask with an empty message", run: func(ctx context.Context, x *target) error {
			return x.expectEcho(ctx, x.address(actors.EchoName), address.NoSender(), wrapperspb.Bytes(nil))
		}},
		{name: "ask of a child", run: func(ctx context.Context, x *target) error {
			return x.expectEcho(ctx, x.childAddress(actors.ParentName, actors.ChildName), address.NoSender(),
				wrapperspb.String("to the child"))
		}},
		{name: "ask from an actor system's no-sender", run: func(ctx context.Context, x *target) error {
			from := address.New("GoAktNoSender", "go", "127.0.0.1", 4)
			return x.expectEcho(ctx, x.address(actors.EchoName), from, wrapperspb.String("from nobody"))
		}},
		{name: "ask from an actor", run: func(ctx context.Context, x *target) error {
			from := address.New("somebody", "go", "127.0.0.1", 4)
			return x.expectEcho(ctx, x.address(actors.EchoName), from, wrapperspb.String("from somebody"))
		}},
		{name: "ask with a deadline", run: func(ctx context.Context, x *target) error {
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			return x.expectEcho(ctx, x.address(actors.EchoName), address.NoSender(), wrapperspb.String("in time"))
		}},
		{name: "ask that takes a while", run: askSlow},
		{name: "ask that nobody answers", run: askSilent},
		{name: "ask of an actor that panics", run: func(ctx context.Context, x *target) error {
			return x.expectFailure(ctx, messages.FailByPanic)
		}},
		{name: "ask of an actor that fails", run: func(ctx context.Context, x *target) error {
			return x.expectFailure(ctx, messages.FailByError)
		}},
		{name: "tells in order", run: tellInOrder},
		{name: "tell to no actor", run: func(ctx context.Context, x *target) error {
			return expectIs(x.tell(ctx, "absent", wrapperspb.String("")), gerrors.ErrAddressNotFound)
		}},
		{name: "health check", run: func(ctx context.Context, x *target) error {
			reply, err := x.ask(ctx, actors.EchoName, wire.New("internalpb.HealthCheckRequest"), askTimeout)
			if err != nil {
				return err
			}
			if name := reply.ProtoReflect().Descriptor().FullName(); name != "internalpb.HealthCheckResponse" {
				return fmt.Errorf("answered by %s", name)
			}
			return nil
		}},
		{name: "large payload", run: func(ctx context.Context, x *target) error {
			reply, err := askFor[*wrapperspb.BytesValue](ctx, x, actors.ProducerName, &messages.Produce{Size: 1 << 20})
			if err == nil && !bytes.Equal(reply.GetValue(), actors.Produced(1<<20)) {
				err = errors.New("other bytes than agreed")
			}
			return err
		}},
		{name: "wrong host text", run: wrongHost},
		{name: "framework messages to system actors", run: systemActors},
	}
}

func (x *target) expectLookup(ctx context.Context, name string, present bool) error {
	found, err := x.remoting.RemoteLookup(ctx, x.host, x.port, name)
	if err != nil {
		return err
	}
	want := address.NoSender()
	if present {
		want = x.address(name)
	}
	if found.String() != want.String() {
		return fmt.Errorf("%s, not %s", found, want)
	}
	return nil
}

func (x *target) expectEcho(ctx context.Context, to, from *address.Address, message proto.Message) error {
	reply, err := unpack(x.remoting.RemoteAsk(ctx, from, to, message, askTimeout))
	if err != nil {
		return err
	}
	if !proto.Equal(reply, message) {
		return fmt.Errorf("%v came back as %v", message, reply)
	}
	return nil
}

// expectFailure is for an actor that fails, and then goes on. GoAkt leaves the ask unanswered, rakt says so at once.
func (x *target) expectFailure(ctx context.Context, how string) error {
	_, err := x.ask(ctx, actors.FailingName, &messages.Fail{How: how}, shortTimeout)
	if x.rakt {
		if err == nil || errors.Is(err, gerrors.ErrRequestTimeout) {
			return fmt.Errorf("error %v, not what the actor failed of", err)
		}
	} else if err := expectIs(err, gerrors.ErrRequestTimeout); err != nil {
		return err
	}
	return x.expectEcho(ctx, x.address(actors.FailingName), address.NoSender(), wrapperspb.String("still there"))
}

func askSlow(ctx context.Context, x *target) error {
	const delay = 200 * time.Millisecond
	started := time.Now()
	reply, err := askFor[*wrapperspb.BytesValue](ctx, x, actors.SlowName,
		&messages.Delay{Millis: uint32(delay.Milliseconds()), Payload: []byte("late")})
	if err != nil {
		return err
	}
	if took := time.Since(started); string(reply.GetValue()) != "late" || took < delay {
		return fmt.Errorf("%q after %v", reply.GetValue(), took)
	}
	return nil
}

func askSilent(ctx context.Context, x *target) error {
	started := time.Now()
	_, err := x.ask(ctx, actors.SilentName, wrapperspb.String("hello?"), shortTimeout)
	if err := expectIs(err, gerrors.ErrRequestTimeout); err != nil {
		return err
	}
	if took := time.Since(started); took < shortTimeout || took > shortTimeout+askTimeout {
		return fmt.Errorf("a timeout of %v took %v", shortTimeout, took)
	}
	return nil
}

func tellInOrder(ctx context.Context, x *target) error {
	sender := x.unique("tells")
	for number := uint64(1); number <= 100; number++ {
		if err := x.tell(ctx, actors.CounterName, &messages.Note{Sender: sender, Number: number}); err != nil {
			return err
		}
	}
	return x.expectCount(ctx, actors.CounterName, sender, 100)
}

// expectCount asks an actors.Counter whether it has all notes of the sender, in order.
func (x *target) expectCount(ctx context.Context, counter, sender string, notes uint64) error {
	count, err := askFor[*messages.Count](ctx, x, counter, &messages.CountRequest{Sender: sender})
	if err != nil {
		return err
	}
	if count.Notes != notes || count.Violations != 0 {
		return fmt.Errorf("%d notes of %d, %d out of order", count.Notes, notes, count.Violations)
	}
	return nil
}

func wrongHost(ctx context.Context, x *target) error {
	wrong := address.New(actors.EchoName, x.system, "localhost", x.port)
	_, askErr := x.remoting.RemoteAsk(ctx, address.NoSender(), wrong, wrapperspb.String(""), askTimeout)
	_, lookupErr := x.remoting.RemoteLookup(ctx, "localhost", x.port, actors.EchoName)
	return errors.Join(
		expectText(askErr, "invalid argument: invalid host"),
		expectText(lookupErr, "invalid argument: invalid host"),
		expectIs(x.remoting.RemoteTell(ctx, address.NoSender(), wrong, wrapperspb.String("")), gerrors.ErrAddressNotFound))
}

// systemActors: GoAkt lets everybody write to its own actors; rakt has none of these names to write to.
func systemActors(ctx context.Context, x *target) error {
	const name = "GoAktDeathWatch"
	told := x.tell(ctx, name, wire.New("goaktpb.PoisonPill"))
	_, asked := x.ask(ctx, name, wire.New("internalpb.HealthCheckRequest"), askTimeout)
	if !x.rakt {
		return errors.Join(told, asked)
	}
	if told == nil || asked == nil {
		return fmt.Errorf("not refused: told: %v, asked: %v", told, asked)
	}
	return nil
}

func expectIs(err, want error) error {
	if !errors.Is(err, want) {
		return fmt.Errorf("error %v, not: %v", err, want)
	}
	return nil
}

func expectText(err error, want string) error {
	if err == nil || err.Error() != want {
		return fmt.Errorf("error %v, not: %s", err, want)
	}
	return nil
}
