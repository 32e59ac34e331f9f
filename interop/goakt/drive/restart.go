package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"rakt/interop/goakt/internal/actors"
)

const (
	restartWorkers = 8
	// An outage is that many failures without an answer between them, its end that many answers without a failure. If
	// the node is back within milliseconds, each worker fails just once.
	outageFailures  = restartWorkers / 2
	outageAnswers   = 500
	restartTimeout  = 2 * time.Second
	restartPause    = 10 * time.Millisecond
	restartDeadline = 5 * time.Minute
)

// restart prints "sending" once the node answers. Somebody else then stops the node and starts it again, with the same
// port and name.
func restart() []check {
	return []check{{name: "restart under load", run: runRestart, timeout: restartDeadline}}
}

func runRestart(ctx context.Context, x *target) error {
	ctx, stop := context.WithCancel(ctx)
	outcomes := newOutcomes()
	var running sync.WaitGroup
	for i := range restartWorkers {
		worker := &worker{target: x, name: x.unique(fmt.Sprint("restart-", i))}
		running.Go(func() { worker.keepAsking(ctx, outcomes) })
	}
	err := x.watchRestart(ctx, outcomes)
	stop()
	running.Wait()
	fmt.Fprintf(x.out, "# %s\n", outcomes)
	if err == nil {
		err = outcomes.wrongReplies()
	}
	return err
}

func (x *target) watchRestart(ctx context.Context, outcomes *outcomes) error {
	for _, phase := range []struct {
		name    string
		reached func() bool
	}{
		{"sending", func() bool { return outcomes.answeredInARow.Load() >= outageAnswers }},
		{"outage", func() bool { return outcomes.failedInARow.Load() >= outageFailures }},
		{"recovered", func() bool { return outcomes.answeredInARow.Load() >= outageAnswers }},
	} {
		if err := waitFor(ctx, phase.reached, x.restartWithin); err != nil {
			return fmt.Errorf("not %s: %w", phase.name, err)
		}
		fmt.Fprintln(x.out, phase.name)
	}
	return nil
}

func waitFor(ctx context.Context, reached func() bool, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for !reached() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %v", within)
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

func (x *worker) keepAsking(ctx context.Context, outcomes *outcomes) {
	for number := 0; ctx.Err() == nil; number++ {
		err := x.askOnce(ctx, number)
		if ctx.Err() != nil {
			return
		}
		outcomes.add(err)
		if err != nil {
			time.Sleep(restartPause)
		}
	}
}

func (x *worker) askOnce(ctx context.Context, number int) error {
	ctx, cancel := context.WithTimeout(ctx, restartTimeout)
	defer cancel()
	return x.echo(ctx, x.address(actors.EchoName), wrapperspb.String(fmt.Sprint(x.name, "/", number)))
}
