package actors

import (
	"github.com/tochemey/goakt/v3/actor"

	"rakt/interop/goakt/internal/messages"
)

// Counter counts notes, of each sender, and answers with everything else it is asked. It forgets when it restarts.
type Counter struct{ tally tally }

// PreStart implements actor.Actor.
func (x *Counter) PreStart(*actor.Context) error {
	x.tally = tally{}
	return nil
}

// Receive implements actor.Actor.
func (x *Counter) Receive(ctx *actor.ReceiveContext) {
	switch message := ctx.Message().(type) {
	case *messages.Note:
		x.tally.note(message)
	case *messages.CountRequest:
		ctx.Response(x.tally.count(message.Sender))
	default:
		echo(ctx)
	}
}

// PostStop implements actor.Actor.
func (*Counter) PostStop(*actor.Context) error { return nil }

// tally is what is known of each sender.
type tally map[string]*seen

type seen struct {
	notes, violations, last uint64
}

func (x tally) note(note *messages.Note) {
	of, known := x[note.Sender]
	if !known {
		of = &seen{}
		x[note.Sender] = of
	}
	of.notes++
	if note.Number != of.last+1 {
		of.violations++
	}
	of.last = note.Number
}

func (x tally) count(sender string) *messages.Count {
	count := &messages.Count{}
	for name, of := range x {
		if sender == "" || sender == name {
			count.Notes += of.notes
			count.Violations += of.violations
		}
	}
	return count
}
