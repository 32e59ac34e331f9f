package main

import (
	"context"
	"fmt"
	"time"

	"github.com/tochemey/goakt/v3/actor"
	"github.com/tochemey/goakt/v3/address"
	"google.golang.org/protobuf/proto"
)

// askTimeout is longer than anything that goes well.
const askTimeout = 60 * time.Second

var (
	smallNote = &Note{Payload: payload(smallLen)}
	smallEcho = &Echo{Payload: payload(smallLen)}
	bulkNote  = &Note{Payload: payload(bulkLen)}
)

// target is an actor of the server; from sends to it.
type target struct {
	from *actor.PID
	to   *address.Address
}

func (t target) tell(note *Note) error {
	return t.from.RemoteTell(context.Background(), t.to, note)
}

// tellMany sends the note so many times: each alone, or in batches if they are larger than 1.
func (t target) tellMany(note *Note, count, batch int) error {
	if batch == 1 {
		return repeat(count, func() error { return t.tell(note) })
	}
	notes := make([]proto.Message, batch)
	for index := range notes {
		notes[index] = note
	}
	for ; count > 0; count -= len(notes) {
		notes = notes[:min(count, batch)]
		if err := t.from.RemoteBatchTell(context.Background(), t.to, notes); err != nil {
			return err
		}
	}
	return nil
}

func (t target) echo() error {
	response, err := t.from.RemoteAsk(context.Background(), t.to, smallEcho, askTimeout)
	if err != nil {
		return err
	}
	answer := new(Echo)
	if err := response.UnmarshalTo(answer); err != nil {
		return err
	}
	if len(answer.Payload) != smallLen {
		return fmt.Errorf("an echo of %d bytes has %d", smallLen, len(answer.Payload))
	}
	return nil
}

func (t target) counted() (uint64, error) {
	response, err := t.from.RemoteAsk(context.Background(), t.to, new(Count), askTimeout)
	if err != nil {
		return 0, err
	}
	answer := new(Counted)
	err = response.UnmarshalTo(answer)
	return answer.Notes, err
}

// counting runs work that sends so many notes to these targets, and checks that all arrived.
func counting(targets []target, sent int, work func() error) error {
	sum := func() (sum uint64, err error) {
		for _, target := range targets {
			counted, err := target.counted()
			if err != nil {
				return 0, err
			}
			sum += counted
		}
		return sum, nil
	}
	before, err := sum()
	if err != nil {
		return err
	}
	if err := work(); err != nil {
		return err
	}
	after, err := sum()
	if err != nil {
		return err
	}
	return checkCount(after-before, sent)
}
