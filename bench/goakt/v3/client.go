package main

import (
	"context"
	"fmt"
	"time"

	"github.com/tochemey/goakt/v3/actor"
	"github.com/tochemey/goakt/v3/address"
	"google.golang.org/protobuf/proto"
)

const (
	smallLen  = 64
	bulkLen   = 1 << 20
	askers    = 64
	producers = 20

	// askTimeout is longer than anything that goes well.
	askTimeout = 60 * time.Second
)

// peer sends to actors of the server on behalf of no actor, as the documentation shows for a
// program's main.
type peer struct {
	from  *actor.PID
	opts  options
	batch []proto.Message
}

// client does one workload against the server.
func client(ctx context.Context, opts options) (*measured, error) {
	system, err := startNode(ctx, options{plain: opts.plain})
	if err != nil {
		return nil, err
	}
	p := &peer{from: system.NoSender(), opts: opts}
	to := p.address(counterName)
	switch opts.workload {
	case "ask-1":
		return p.askOneByOne(ctx, to)
	case "ask-64":
		return p.askConcurrently(ctx, to)
	case "tell":
		return p.tellOne(ctx, to, smallLen, func(seconds float64) []figure {
			return []figure{rate("messages/s", float64(opts.count)/seconds)}
		})
	case "bulk":
		return p.tellOne(ctx, to, bulkLen, func(seconds float64) []figure {
			return []figure{rate("MB/s", float64(opts.count)*bulkLen/1e6/seconds)}
		})
	case "fan":
		return p.fan(ctx)
	case "mixed":
		return p.mixed(ctx, to)
	}
	return nil, fmt.Errorf("no workload %q between two processes", opts.workload)
}

func (p *peer) address(name string) *address.Address {
	return address.New(name, systemName, p.opts.host, p.opts.port)
}

func (p *peer) warmUp() int {
	return max(p.opts.count/20, 1)
}

func (p *peer) askOneByOne(ctx context.Context, to *address.Address) (*measured, error) {
	echo := &Echo{Payload: payload(smallLen)}
	if err := repeat(p.warmUp(), func() error { return p.echo(ctx, to, echo) }); err != nil {
		return nil, err
	}
	took := make([]time.Duration, 0, p.opts.count)
	clock, err := startClock(p.opts.count, p.opts.serverPIDs)
	if err != nil {
		return nil, err
	}
	for range p.opts.count {
		asked := time.Now()
		if err := p.echo(ctx, to, echo); err != nil {
			return nil, err
		}
		took = append(took, time.Since(asked))
	}
	return clock.stop(func(float64) []figure { return latencies(took) })
}

func (p *peer) askConcurrently(ctx context.Context, to *address.Address) (*measured, error) {
	echo := &Echo{Payload: payload(smallLen)}
	ask := func(count int) error {
		return together(askers, func(asker int) error {
			return repeat(share(count, askers, asker), func() error { return p.echo(ctx, to, echo) })
		})
	}
	if err := ask(p.warmUp()); err != nil {
		return nil, err
	}
	clock, err := startClock(p.opts.count, p.opts.serverPIDs)
	if err != nil {
		return nil, err
	}
	if err := ask(p.opts.count); err != nil {
		return nil, err
	}
	return clock.stop(func(seconds float64) []figure {
		return []figure{rate("asks/s", float64(p.opts.count)/seconds)}
	})
}

// tellOne has one producer tell one actor, until that has counted every note.
func (p *peer) tellOne(
	ctx context.Context, to *address.Address, length int, figures func(float64) []figure,
) (*measured, error) {
	note := &Note{Payload: payload(length)}
	if err := p.tell(ctx, to, note, p.warmUp()); err != nil {
		return nil, err
	}
	before, err := p.counted(ctx, to)
	if err != nil {
		return nil, err
	}
	clock, err := startClock(p.opts.count, p.opts.serverPIDs)
	if err != nil {
		return nil, err
	}
	if err := p.tell(ctx, to, note, p.opts.count); err != nil {
		return nil, err
	}
	after, err := p.counted(ctx, to)
	if err != nil {
		return nil, err
	}
	if err := checkCount(after-before, p.opts.count); err != nil {
		return nil, err
	}
	return clock.stop(figures)
}

// fan has every producer tell each actor in turn, until all of them have counted every note.
func (p *peer) fan(ctx context.Context) (*measured, error) {
	note := &Note{Payload: payload(smallLen)}
	to := make([]*address.Address, fanActors)
	for index := range to {
		to[index] = p.address(fanName(index))
	}
	tell := func(count int) error {
		return together(producers, func(producer int) error {
			next := producer * fanActors / producers
			return repeat(share(count, producers, producer), func() error {
				next = (next + 1) % fanActors
				return p.from.RemoteTell(ctx, to[next], note)
			})
		})
	}
	count := func() (sum uint64, err error) {
		for _, to := range to {
			counted, err := p.counted(ctx, to)
			if err != nil {
				return 0, err
			}
			sum += counted
		}
		return sum, nil
	}
	if err := tell(p.warmUp()); err != nil {
		return nil, err
	}
	before, err := count()
	if err != nil {
		return nil, err
	}
	clock, err := startClock(p.opts.count, p.opts.serverPIDs)
	if err != nil {
		return nil, err
	}
	if err := tell(p.opts.count); err != nil {
		return nil, err
	}
	after, err := count()
	if err != nil {
		return nil, err
	}
	if err := checkCount(after-before, p.opts.count); err != nil {
		return nil, err
	}
	return clock.stop(func(seconds float64) []figure {
		return []figure{rate("messages/s", float64(p.opts.count)/seconds)}
	})
}

// mixed asks one by one while another goroutine tells the same actor large notes without a pause.
func (p *peer) mixed(ctx context.Context, to *address.Address) (*measured, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	told := make(chan error, 1)
	go func() {
		note := &Note{Payload: payload(bulkLen)}
		for ctx.Err() == nil {
			if err := p.from.RemoteTell(ctx, to, note); err != nil {
				told <- err
				return
			}
		}
		told <- nil
	}()
	before, err := p.counted(ctx, to)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	measured, err := p.askOneByOne(ctx, to)
	if err != nil {
		return nil, err
	}
	after, err := p.counted(ctx, to)
	if err != nil {
		return nil, err
	}
	megabytes := float64(after-before) * bulkLen / 1e6 / time.Since(began).Seconds()
	measured.Figures = append(measured.Figures, rate("MB/s", megabytes))
	cancel()
	return measured, <-told
}

// tell sends the note count times, in batches where that was asked for.
func (p *peer) tell(ctx context.Context, to *address.Address, note *Note, count int) error {
	if p.opts.batch == 1 {
		return repeat(count, func() error { return p.from.RemoteTell(ctx, to, note) })
	}
	batch := make([]proto.Message, p.opts.batch)
	for index := range batch {
		batch[index] = note
	}
	for ; count > 0; count -= len(batch) {
		batch = batch[:min(count, len(batch))]
		if err := p.from.RemoteBatchTell(ctx, to, batch); err != nil {
			return err
		}
	}
	return nil
}

func (p *peer) echo(ctx context.Context, to *address.Address, echo *Echo) error {
	answer := new(Echo)
	if err := p.ask(ctx, to, echo, answer); err != nil {
		return err
	}
	if len(answer.Payload) != len(echo.Payload) {
		return fmt.Errorf("an echo of %d bytes has %d", len(echo.Payload), len(answer.Payload))
	}
	return nil
}

func (p *peer) counted(ctx context.Context, to *address.Address) (uint64, error) {
	answer := new(Counted)
	err := p.ask(ctx, to, new(Count), answer)
	return answer.Notes, err
}

func (p *peer) ask(ctx context.Context, to *address.Address, request, answer proto.Message) error {
	response, err := p.from.RemoteAsk(ctx, to, request, askTimeout)
	if err != nil {
		return err
	}
	return response.UnmarshalTo(answer)
}
