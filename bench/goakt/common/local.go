package common

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
)

// local does one workload within this process, on an actor system without remoting.
func local(system System, opts Options) (*measured, error) {
	if opts.workload == "spawn" {
		return spawnMany(system, opts)
	}
	to, err := system.Spawn(counterName)
	if err != nil {
		return nil, err
	}
	switch opts.workload {
	case "local-tell":
		return tell(to, opts)
	case "local-ask":
		return rate("asks/s", opts, func(count int) error { return repeat(count, echo(to)) })
	}
	return nil, fmt.Errorf("no workload %q within one process", opts.workload)
}

// spawnMany starts actors that stay idle. What they occupy is what the process grew by, once the
// garbage of starting them is gone.
func spawnMany(system System, opts Options) (*measured, error) {
	before, err := resident()
	if err != nil {
		return nil, err
	}
	clock, err := startClock(opts)
	if err != nil {
		return nil, err
	}
	for index := range opts.count {
		if _, err := system.Spawn(strconv.Itoa(index)); err != nil {
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
