package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tochemey/goakt/v3/address"
	gerrors "github.com/tochemey/goakt/v3/errors"
	"github.com/tochemey/goakt/v3/remote"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"rakt/interop/goakt/internal/actors"
	"rakt/interop/goakt/internal/messages"
	"rakt/interop/goakt/internal/trace"
)

const (
	// mixedWorkers make requests at once, each one after the other.
	mixedWorkers = 64
	// mixedTimeout is for a request that goes unanswered, which those to GoAkt now and then do.
	mixedTimeout = 10 * time.Second
	// One request in this many may go wrong with GoAkt: its server mixes up buffers of requests that run at once.
	mixedTolerance = 100
)

func mixed() []check {
	return []check{{name: "mixed requests at once", run: runMixed, timeout: 15 * time.Minute}}
}

// worker makes requests of all sorts; its notes are numbered.
type worker struct {
	*target
	name  string
	notes uint64
	// Whether a tell failed, so that nobody knows how many notes have arrived.
	unsure bool
}

func runMixed(ctx context.Context, x *target) error {
	load := *x
	// The default of 8 would have the client dial for nearly every request.
	load.remoting = remote.NewRemoting(
		remote.WithRemotingCompression(x.compression),
		remote.WithRemotingContextPropagator(trace.Propagator{}),
		remote.WithRemotingMaxIdleConns(mixedWorkers))
	defer load.remoting.Close()

	outcomes, started := newOutcomes(), time.Now()
	var next atomic.Int64
	var running sync.WaitGroup
	workers := make([]*worker, mixedWorkers)
	for i := range workers {
		workers[i] = &worker{target: &load, name: x.unique(fmt.Sprint("mixed-", i))}
		running.Go(func() {
			for {
				number := int(next.Add(1))
				if number > x.count {
					return
				}
				outcomes.add(workers[i].request(ctx, number))
			}
		})
	}
	running.Wait()
	fmt.Fprintf(x.out, "# %d requests in %.1f s: %s\n", x.count, time.Since(started).Seconds(), outcomes)

	if err := outcomes.wrongReplies(); err != nil {
		return err
	}
	if failures := outcomes.failures(); failures > 0 && (x.rakt || failures > x.count/mixedTolerance) {
		return fmt.Errorf("%d failed", failures)
	}
	for _, worker := range workers {
		if worker.unsure {
			continue
		}
		if err := x.expectCount(ctx, actors.CounterName, worker.name, worker.notes); err != nil {
			return fmt.Errorf("%s: %w", worker.name, err)
		}
	}
	return nil
}

// request makes one request that no other is equal to, and checks its reply.
func (x *worker) request(ctx context.Context, number int) error {
	ctx, cancel := context.WithTimeout(ctx, mixedTimeout)
	defer cancel()
	switch number % 20 {
	case 0:
		return x.expectLookup(ctx, actors.EchoName, true)
	case 1:
		_, err := x.ask(ctx, "absent", x.payload(number), askTimeout)
		if errors.Is(err, gerrors.ErrAddressNotFound) {
			return nil
		}
		return errors.Join(errors.New("an ask of nobody"), err)
	case 2:
		return x.trace(ctx, number)
	case 3:
		return x.echo(ctx, x.childAddress(actors.ParentName, actors.ChildName), wrapperspb.String(fmt.Sprint(x.name, number)))
	case 4:
		return x.expectEchoes(ctx, actors.EchoName, []proto.Message{
			x.payload(number), wrapperspb.String(fmt.Sprint(x.name, number)), wrapperspb.Bytes(nil)})
	case 5:
		return x.note(x.batchTell(ctx, actors.CounterName, notes(x.name, x.notes+1, x.notes+5)...), 5)
	case 6, 7, 8, 9:
		return x.note(x.tell(ctx, actors.CounterName, &messages.Note{Sender: x.name, Number: x.notes + 1}), 1)
	default:
		return x.echo(ctx, x.address(actors.EchoName), x.payload(number))
	}
}

// payload is unique, and of a size between a few bytes and some 2 KB.
func (x *worker) payload(number int) *wrapperspb.BytesValue {
	return wrapperspb.Bytes(append(fmt.Append(nil, x.name, "/", number), bytes.Repeat([]byte{byte(number)}, number*37%2000)...))
}

func (x *worker) echo(ctx context.Context, to *address.Address, message proto.Message) error {
	reply, err := unpack(x.remoting.RemoteAsk(ctx, address.NoSender(), to, message, askTimeout))
	if err == nil && !proto.Equal(reply, message) {
		err = fmt.Errorf("%w: %v came back as %v", errWrongReply, message, reply)
	}
	return err
}

// trace: with GoAkt the trace context of another request is a known failure, not a wrong reply. Often that is bytes of
// another frame, which are no text, so that GoAkt cannot pack the reply and answers with an empty one.
func (x *worker) trace(ctx context.Context, number int) error {
	parent := fmt.Sprintf("00-%032x-%016x-01", number, number)
	reply, err := askFor[*messages.Trace](trace.WithParent(ctx, parent), x.target, actors.TracerName, &messages.TraceRequest{})
	if err != nil || reply.Traceparent == parent {
		return err
	}
	if !x.rakt {
		return errors.New("another request's traceparent")
	}
	return fmt.Errorf("%w: traceparent %s came back as %q", errWrongReply, parent, reply.Traceparent)
}

// note counts notes that have been sent.
func (x *worker) note(err error, sent uint64) error {
	x.notes += sent
	x.unsure = x.unsure || err != nil
	return err
}
