package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tochemey/goakt/v3/address"
	"github.com/tochemey/goakt/v3/remote"
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
func client(opts options) (*measured, error) {
	system, err := startNode(options{plain: opts.plain})
	if err != nil {
		return nil, err
	}
	find := func(name string) target {
		return target{system.NoSender(), opts.address(name)}
	}
	counter := find(counterName)
	switch opts.workload {
	case "ask-1":
		return askOneByOne(counter, opts)
	case "ask-64":
		return askConcurrently(counter, opts)
	case "tell":
		return tell(counter, opts)
	case "fan":
		all := make([]target, targets)
		for index := range all {
			all[index] = find(targetName(index))
		}
		return fan(all, opts)
	case "bulk":
		return bulk(counter, opts)
	case "mixed":
		return mixed(counter, find(targetName(0)), opts)
	case "links":
		return links(counter, opts)
	}
	return nil, fmt.Errorf("no workload %q between two processes", opts.workload)
}

func (opts options) address(name string) *address.Address {
	return address.New(name, systemName, opts.host, opts.port)
}

func askOneByOne(counter target, opts options) (*measured, error) {
	if err := repeat(opts.warmUp(), counter.echo); err != nil {
		return nil, err
	}
	clock, err := startClock(opts)
	if err != nil {
		return nil, err
	}
	took, err := timed(opts.count, counter.echo)
	if err != nil {
		return nil, err
	}
	return clock.stopWith(opts.count, latencies(took)...)
}

func askConcurrently(counter target, opts options) (*measured, error) {
	ask := func(count int) error {
		return together(askers, func(asker int) error {
			return repeat(share(count, askers, asker), counter.echo)
		})
	}
	if err := ask(opts.warmUp()); err != nil {
		return nil, err
	}
	clock, err := startClock(opts)
	if err != nil {
		return nil, err
	}
	if err := ask(opts.count); err != nil {
		return nil, err
	}
	return clock.stop("asks/s")
}

func tell(counter target, opts options) (*measured, error) {
	clock, err := tellAndCount(counter, smallNote, opts)
	if err != nil {
		return nil, err
	}
	return clock.stop("messages/s")
}

func bulk(counter target, opts options) (*measured, error) {
	clock, err := tellAndCount(counter, bulkNote, opts)
	if err != nil {
		return nil, err
	}
	return clock.stopWith(opts.count, megabytes(opts.count, clock.seconds()))
}

// tellAndCount has one producer tell one actor; its clock runs until that has counted every note.
func tellAndCount(counter target, note *Note, opts options) (clock *clock, err error) {
	if err := counter.tellMany(note, opts.warmUp(), opts.batch); err != nil {
		return nil, err
	}
	err = counting([]target{counter}, opts.count, func() error {
		if clock, err = startClock(opts); err != nil {
			return err
		}
		return counter.tellMany(note, opts.count, opts.batch)
	})
	return clock, err
}

// fan has every producer tell its own targets in turn, and ask each for its count before and after.
func fan(all []target, opts options) (*measured, error) {
	spread := func(count int) error {
		return together(producers, func(producer int) error {
			var own []target
			for index := producer; index < len(all); index += producers {
				own = append(own, all[index])
			}
			share := share(count, producers, producer)
			return counting(own, share, func() error {
				for sent := range share {
					if err := own[sent%len(own)].tell(smallNote); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	if err := spread(opts.warmUp()); err != nil {
		return nil, err
	}
	clock, err := startClock(opts)
	if err != nil {
		return nil, err
	}
	if err := spread(opts.count); err != nil {
		return nil, err
	}
	return clock.stop("messages/s")
}

// mixed asks one actor, one by one, while a goroutine tells another large notes without a pause.
func mixed(asked, told target, opts options) (*measured, error) {
	if err := repeat(opts.warmUp(), asked.echo); err != nil {
		return nil, err
	}
	if err := told.tellMany(bulkNote, mixedFirst, 1); err != nil {
		return nil, err
	}
	var enough atomic.Bool
	var rate figure
	bulk := make(chan error, 1)
	go func() {
		began, sent := time.Now(), 0
		before, err := told.counted()
		for ; err == nil && !enough.Load(); sent++ {
			err = told.tell(bulkNote)
		}
		if err == nil {
			var after uint64
			if after, err = told.counted(); err == nil {
				err = checkCount(after-before, sent)
			}
		}
		rate = megabytes(sent, time.Since(began).Seconds())
		bulk <- err
	}()
	clock, err := startClock(opts)
	if err != nil {
		return nil, err
	}
	var took []time.Duration
	for len(took) < opts.count && time.Since(clock.began) < mixedLimit {
		one, err := timed(1, asked.echo)
		if err != nil {
			return nil, err
		}
		took = append(took, one...)
	}
	enough.Store(true)
	if err := <-bulk; err != nil {
		return nil, err
	}
	return clock.stopWith(len(took), append(latencies(took), rate)...)
}

// links has so many peers ask once and then stay connected, and asks on beside them. A peer is a
// remoting client without an actor system, with connections of its own.
func links(counter target, opts options) (*measured, error) {
	if err := repeat(1000, counter.echo); err != nil {
		return nil, err
	}
	before, err := memory("VmRSS", opts.serverPIDs...)
	if err != nil {
		return nil, err
	}
	var settings []remote.RemotingOption
	if opts.plain {
		settings = append(settings, remote.WithRemotingCompression(remote.NoCompression))
	}
	for range opts.count {
		peer := remote.NewRemoting(settings...)
		defer peer.Close()
		_, err := peer.RemoteAsk(
			context.Background(), address.NoSender(), counter.to, smallEcho, askTimeout)
		if err != nil {
			return nil, err
		}
	}
	clock, err := startClock(opts)
	if err != nil {
		return nil, err
	}
	asks := opts.count * asksPerLink
	took, err := timed(asks, counter.echo)
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
