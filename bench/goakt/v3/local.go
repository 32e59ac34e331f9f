package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/tochemey/goakt/v3/actor"
)

// local does one workload within this process, on an actor system without remoting.
func local(ctx context.Context, opts options) (*measured, error) {
	system, err := start(ctx)
	if err != nil {
		return nil, err
	}
	if opts.workload == "spawn" {
		return spawn(ctx, system, opts.count)
	}
	to, err := system.Spawn(ctx, counterName, new(counter))
	if err != nil {
		return nil, err
	}
	switch opts.workload {
	case "local-tell":
		return localTell(ctx, to, opts.count)
	case "local-ask":
		return localAsk(ctx, to, opts.count)
	}
	return nil, fmt.Errorf("no workload %q within one process", opts.workload)
}

func localTell(ctx context.Context, to *actor.PID, count int) (*measured, error) {
	note := &Note{Payload: payload(smallLen)}
	tell := func() error { return actor.Tell(ctx, to, note) }
	counted := func() (uint64, error) {
		answer, err := actor.Ask(ctx, to, new(Count), askTimeout)
		if err != nil {
			return 0, err
		}
		return answer.(*Counted).Notes, nil
	}
	if err := repeat(max(count/20, 1), tell); err != nil {
		return nil, err
	}
	before, err := counted()
	if err != nil {
		return nil, err
	}
	clock, err := startClock(count, nil)
	if err != nil {
		return nil, err
	}
	if err := repeat(count, tell); err != nil {
		return nil, err
	}
	after, err := counted()
	if err != nil {
		return nil, err
	}
	if err := checkCount(after-before, count); err != nil {
		return nil, err
	}
	return clock.stop(func(seconds float64) []figure {
		return []figure{rate("messages/s", float64(count)/seconds)}
	})
}

func localAsk(ctx context.Context, to *actor.PID, count int) (*measured, error) {
	echo := &Echo{Payload: payload(smallLen)}
	ask := func() error {
		_, err := actor.Ask(ctx, to, echo, askTimeout)
		return err
	}
	if err := repeat(max(count/20, 1), ask); err != nil {
		return nil, err
	}
	clock, err := startClock(count, nil)
	if err != nil {
		return nil, err
	}
	if err := repeat(count, ask); err != nil {
		return nil, err
	}
	return clock.stop(func(seconds float64) []figure {
		return []figure{rate("asks/s", float64(count)/seconds)}
	})
}

// spawn starts actors that stay idle. What they occupy is what the process grew by, once the
// garbage of starting them is gone.
func spawn(ctx context.Context, system actor.ActorSystem, count int) (*measured, error) {
	before, err := resident()
	if err != nil {
		return nil, err
	}
	clock, err := startClock(count, nil)
	if err != nil {
		return nil, err
	}
	for index := range count {
		if _, err := system.Spawn(ctx, strconv.Itoa(index), new(counter)); err != nil {
			return nil, err
		}
	}
	took := time.Since(clock.began)
	measured, err := clock.stop(func(float64) []figure { return nil })
	if err != nil {
		return nil, err
	}
	after, err := resident()
	if err != nil {
		return nil, err
	}
	measured.Figures = []figure{
		cost("µs each", took.Seconds()*1e6/float64(count)),
		cost("bytes each", float64(after-before)/float64(count)),
	}
	return measured, nil
}

// resident is the memory of this process after a collection.
func resident() (uint64, error) {
	debug.FreeOSMemory()
	return memory("VmRSS", os.Getpid())
}
