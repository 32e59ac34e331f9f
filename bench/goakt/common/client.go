package common

import (
	"fmt"
	"sync/atomic"
	"time"
)

const (
	askers    = 64
	producers = 20
	// mixedFirst large notes show that the bulk half of mixed has begun.
	mixedFirst = 32
	// mixedLimit ends mixed, however many asks were answered.
	mixedLimit = 5 * time.Second
	// asksPerLink is how often links asks for each peer.
	asksPerLink = 20
)

// client does one workload against the server. It sends as the system's NoSender, which is how the
// documentation has a program send that is no actor.
func client(system System, opts Options) (*measured, error) {
	counter, err := system.Find(counterName)
	if err != nil {
		return nil, err
	}
	switch opts.workload {
	case "ask-1":
		return askOneByOne(counter, opts)
	case "ask-64":
		return askConcurrently(counter, opts)
	case "tell":
		return tell(counter, opts)
	case "fan":
		all := make([]Target, targets)
		for index := range all {
			if all[index], err = system.Find(targetName(index)); err != nil {
				return nil, err
			}
		}
		return fan(all, opts)
	case "bulk":
		return bulk(counter, opts)
	case "mixed":
		told, err := system.Find(targetName(0))
		if err != nil {
			return nil, err
		}
		return mixed(counter, told, opts)
	case "links":
		return links(system, counter, opts)
	}
	return nil, fmt.Errorf("no workload %q between two processes", opts.workload)
}

func askOneByOne(counter Target, opts Options) (*measured, error) {
	if err := repeat(opts.warmUp(), echo(counter)); err != nil {
		return nil, err
	}
	clock, err := startClock(opts)
	if err != nil {
		return nil, err
	}
	took, err := timed(opts.count, echo(counter))
	if err != nil {
		return nil, err
	}
	return clock.stopWith(opts.count, latencies(took)...)
}

func askConcurrently(counter Target, opts Options) (*measured, error) {
	return rate("asks/s", opts, func(count int) error {
		return together(askers, func(asker int) error {
			return repeat(share(count, askers, asker), echo(counter))
		})
	})
}

func tell(counter Target, opts Options) (*measured, error) {
	clock, err := tellAndCount(counter, smallNote, opts)
	if err != nil {
		return nil, err
	}
	return clock.stop("messages/s")
}

func bulk(counter Target, opts Options) (*measured, error) {
	clock, err := tellAndCount(counter, bulkNote, opts)
	if err != nil {
		return nil, err
	}
	return clock.stopWith(opts.count, megabytes(opts.count, clock.seconds()))
}

// tellAndCount has one producer tell one actor; its clock runs until that has counted every note.
func tellAndCount(counter Target, note *Note, opts Options) (clock *clock, err error) {
	tell := func(count int) error {
		return counting([]Target{counter}, func() (int, error) {
			if clock, err = startClock(opts); err != nil {
				return 0, err
			}
			return count, tellMany(counter, note, count, opts.batch)
		})
	}
	if err := tell(opts.warmUp()); err != nil {
		return nil, err
	}
	return clock, tell(opts.count)
}

// fan has every producer tell its own targets in turn, and ask each for its count before and after.
func fan(all []Target, opts Options) (*measured, error) {
	return rate("messages/s", opts, func(count int) error {
		return together(producers, func(producer int) error {
			var own []Target
			for index := producer; index < len(all); index += producers {
				own = append(own, all[index])
			}
			share := share(count, producers, producer)
			return counting(own, func() (int, error) {
				for sent := range share {
					if err := own[sent%len(own)].Tell(smallNote); err != nil {
						return sent, err
					}
				}
				return share, nil
			})
		})
	})
}

// mixed asks one actor, one by one, while a goroutine tells another large notes without a pause.
func mixed(asked, told Target, opts Options) (*measured, error) {
	if err := repeat(opts.warmUp(), echo(asked)); err != nil {
		return nil, err
	}
	first := func() (int, error) { return mixedFirst, tellMany(told, bulkNote, mixedFirst, opts.batch) }
	if err := counting([]Target{told}, first); err != nil {
		return nil, err
	}
	var enough atomic.Bool
	var moved figure
	bulk := make(chan error, 1)
	go func() {
		began, sent := time.Now(), 0
		err := counting([]Target{told}, func() (int, error) {
			for ; !enough.Load(); sent += opts.batch {
				if err := tellMany(told, bulkNote, opts.batch, opts.batch); err != nil {
					return sent, err
				}
			}
			return sent, nil
		})
		moved = megabytes(sent, time.Since(began).Seconds())
		bulk <- err
	}()
	clock, err := startClock(opts)
	if err != nil {
		return nil, err
	}
	var took []time.Duration
	for len(took) < opts.count && time.Since(clock.began) < mixedLimit {
		one, err := timed(1, echo(asked))
		if err != nil {
			return nil, err
		}
		took = append(took, one...)
	}
	enough.Store(true)
	if err := <-bulk; err != nil {
		return nil, err
	}
	return clock.stopWith(len(took), append(latencies(took), moved)...)
}

// links has so many peers ask once and then stay connected, and asks on beside them.
func links(system System, counter Target, opts Options) (*measured, error) {
	if err := repeat(1000, echo(counter)); err != nil {
		return nil, err
	}
	before, err := memory("VmRSS", opts.serverPIDs...)
	if err != nil {
		return nil, err
	}
	for range opts.count {
		leave, err := system.Visit(counterName, smallEcho)
		if err != nil {
			return nil, err
		}
		defer leave()
	}
	clock, err := startClock(opts)
	if err != nil {
		return nil, err
	}
	asks := opts.count * asksPerLink
	took, err := timed(asks, echo(counter))
	if err != nil {
		return nil, err
	}
	after, err := memory("VmRSS", opts.serverPIDs...)
	if err != nil {
		return nil, err
	}
	each := (float64(after) - float64(before)) / float64(opts.count)
	return clock.stopWith(asks, append([]figure{cost("bytes/peer", each)}, latencies(took)...)...)
}
