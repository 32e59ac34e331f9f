package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tochemey/goakt/v3/remote"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"rakt/interop/goakt/internal/actors"
	"rakt/interop/goakt/internal/messages"
)

const (
	// heldTellers tell a slow actor at once, each as fast as it gets answers.
	heldTellers = 32
	// Together that is more than a node has room for by default, which is 128 MiB.
	heldTells   = 70
	heldPayload = 64 << 10
	heldDelay   = 2
	// heldAskers ask another actor meanwhile.
	heldAskers = 4
	// heldPatience is how long one of these may take, on a busy machine.
	heldPatience = 5 * time.Second
)

func held() []check {
	return []check{{name: "a slow actor holds back those who tell it alone", run: runHeld, timeout: time.Minute}}
}

func runHeld(ctx context.Context, x *target) error {
	load := *x
	load.remoting = remote.NewRemoting(
		remote.WithRemotingCompression(x.compression),
		remote.WithRemotingMaxIdleConns(heldTellers+heldAskers))
	defer load.remoting.Close()

	message := &messages.Delay{Millis: heldDelay, Payload: bytes.Repeat([]byte{1}, heldPayload)}
	outcomes, started := newOutcomes(), time.Now()
	var telling, asking sync.WaitGroup
	for range heldTellers {
		telling.Go(func() {
			for range heldTells {
				outcomes.add(load.tell(ctx, actors.SlowName, message))
			}
		})
	}
	var done atomic.Bool
	var asked, late atomic.Int64
	failed := make(chan error, heldAskers)
	for i := range heldAskers {
		asking.Go(func() {
			for !done.Load() {
				before := time.Now()
				_, err := load.ask(ctx, actors.EchoName, wrapperspb.String(fmt.Sprint(i)), heldPatience)
				if err != nil {
					failed <- fmt.Errorf("an ask of another actor: %w", err)
					return
				}
				asked.Add(1)
				if time.Since(before) > heldPatience {
					late.Add(1)
				}
			}
		})
	}
	telling.Wait()
	done.Store(true)
	asking.Wait()
	close(failed)
	fmt.Fprintf(x.out, "# %d tells and %d asks beside them in %.1f s: %s\n",
		heldTellers*heldTells, asked.Load(), time.Since(started).Seconds(), outcomes)
	err := <-failed
	if failures := outcomes.failures(); failures > 0 {
		err = errors.Join(err, fmt.Errorf("%d tells failed", failures))
	}
	if late.Load() > 0 {
		err = errors.Join(err, fmt.Errorf("%d asks of another actor were late", late.Load()))
	}
	return err
}
