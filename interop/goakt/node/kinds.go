package main

import (
	"errors"

	"github.com/tochemey/goakt/v3/actor"

	"rakt/interop/goakt/internal/actors"
)

// Worker is the kind main.worker: an actors.Counter that others start.
type Worker struct{ actors.Counter }

// Refuser is the kind main.refuser, which cannot be started.
type Refuser struct{ actors.Echo }

// PreStart implements actor.Actor.
func (*Refuser) PreStart(*actor.Context) error { return errors.New("refusing to start") }

// Tally is the grain kind main.tally.
type Tally struct{ actors.Grain }
