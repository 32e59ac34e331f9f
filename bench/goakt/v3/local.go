package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/tochemey/goakt/v3/actor"
)

// local does one workload within this process, on an actor system without remoting.
func local(opts options) (*measured, error) {
	system, err := start()
	if err != nil {
		return nil, err
	}
	if opts.workload == "spawn" {
		return spawnMany(system, opts)
	}
	to, err := spawn(system, counterName)
	if err != nil {
		return nil, err
	}
	switch opts.workload {
	case "local-tell":
		return localTell(to, opts)
	case "local-ask":
		return localAsk(to, opts)
	}
	return nil, fmt.Errorf("no workload %q within one process", opts.workload)
}

func localTell(to *actor.PID, opts options) (*measured, error) {
	tell := func() error { return actor.Tell(context.Background(), to, smallNote) }
	counted := func() (uint64, error) {
		answer, err := actor.Ask(context.Background(), to, new(Count), askTimeout)
		if err != nil {
			return 0, err
		}
		return answer.(*Counted).Notes, nil
	}
	if err := repeat(opts.warmUp(), tell); err != nil {
		return nil, err
	}
	before, err := counted()
	if err != nil {
		return nil, err
	}
	clock, err := startClock(opts)
	if err != nil {
		return nil, err
	}
	if err := repeat(opts.count, tell); err != nil {
		return nil, err
	}
	after, err := counted()
	if err != nil {
		return nil, err
	}
	if err := checkCount(after-before, opts.count); err != nil {
		return nil, err
	}
	return clock.stop("messages/s")
}

func localAsk(to *actor.PID, opts options) (*measured, error) {
	ask := func() error {
		_, err := actor.Ask(context.Background(), to, smallEcho, askTimeout)
		return err
	}
	if err := repeat(opts.warmUp(), ask); err != nil {
		return nil, err
	}
	clock, err := startClock(opts)
	if err != nil {
		return nil, err
	}
	if err := repeat(opts.count, ask); err != nil {
		return nil, err
	}
	return clock.stop("asks/s")
}

// spawnMany starts actors that stay idle. What they occupy is what the process grew by, once the
// garbage of starting them is gone.
func spawnMany(system actor.ActorSystem, opts options) (*measured, error) {
	before, err := resident()
	if err != nil {
		return nil, err
	}
	clock, err := startClock(opts)
	if err != nil {
		return nil, err
	}
	for index := range opts.count {
		if _, err := spawn(system, strconv.Itoa(index)); err != nil {
			return nil, err
		}
	}
	measured, err := clock.stopWith(opts.count, cost("µs/actor", clock.seconds()*1e6/float64(opts.count)))
	if err != nil {
		return nil, err
	}
	after, err := resident()
	if err != nil {
		return nil, err
	}
	each := (float64(after) - float64(before)) / float64(opts.count)
	measured.Figures = append(measured.Figures, cost("bytes/actor", each))
	return measured, nil
}

// resident is the memory of this process after a collection.
func resident() (uint64, error) {
	debug.FreeOSMemory()
	return memory("VmRSS", os.Getpid())
}
