// GoAkt v4 as a contestant of the benchmark; package common says what it can be told to do.
package main

import (
	"context"

	"bench/goakt/common"

	"github.com/tochemey/goakt/v4/actor"
	"github.com/tochemey/goakt/v4/log"
	"github.com/tochemey/goakt/v4/remote"
	"google.golang.org/protobuf/proto"
)

var compressions = map[string]remote.Compression{
	"":     remote.DefaultConfig().Compression(),
	"none": remote.NoCompression,
	"zstd": remote.ZstdCompression,
}

// gatheredLen leaves room for 256 notes, the most that GoAkt gathers, in a frame of 16 MiB.
const gatheredLen = 32 << 10

func main() {
	common.Main("goakt v4", start, join)
}

type system struct {
	actor.ActorSystem
	opts common.Options
}

func start(opts common.Options) (common.System, error) {
	settings := []actor.Option{actor.WithLogger(log.DiscardLogger)}
	if opts.Half != common.Local {
		port, err := opts.ListenPort()
		if err != nil {
			return nil, err
		}
		compression := remote.WithCompression(compressions[opts.Compression])
		settings = append(settings, actor.WithRemote(remote.NewConfig("127.0.0.1", port, compression)))
	}
	started, err := actor.NewActorSystem(common.SystemName, settings...)
	if err != nil {
		return nil, err
	}
	return system{started, opts}, started.Start(context.Background())
}

func (s system) Spawn(name string) (common.Target, error) {
	pid, err := s.ActorSystem.Spawn(context.Background(), name, new(counter))
	return target{s.NoSender(), pid}, err
}

func (s system) Find(name string) (common.Target, error) {
	pid, err := s.NoSender().RemoteLookup(context.Background(), s.opts.Host, s.opts.Port, name)
	return target{s.NoSender(), pid}, err
}

// Visit is done by another actor system: GoAkt has no client for servers that form no cluster.
func (s system) Visit(name string, question proto.Message) (leave func(), err error) {
	visitor, err := start(s.opts)
	if err != nil {
		return nil, err
	}
	to, err := visitor.Find(name)
	if err != nil {
		return nil, err
	}
	_, err = to.Ask(question)
	return func() { _ = visitor.(system).Stop(context.Background()) }, err
}

// target is an actor, here or at the server; from sends to it.
type target struct {
	from, to *actor.PID
}

// Tell returns once the note is queued. GoAkt gathers what is queued into requests, and loses those
// that are larger than a frame may be; so a note of which many would be is sent alone, and acked.
func (t target) Tell(note *common.Note) error {
	if proto.Size(note) > gatheredLen {
		return t.TellBatch(note, 1)
	}
	return t.from.Tell(context.Background(), t.to, note)
}

func (t target) TellBatch(note *common.Note, count int) error {
	return t.from.BatchTell(context.Background(), t.to, common.Batch[any](note, count)...)
}

func (t target) Ask(question proto.Message) (any, error) {
	return t.from.Ask(context.Background(), t.to, question, common.AskTimeout)
}

// counter counts notes and answers an echo with its payload.
type counter struct {
	notes uint64
}

func (c *counter) PreStart(*actor.Context) error { return nil }

func (c *counter) Receive(ctx *actor.ReceiveContext) {
	switch message := ctx.Message().(type) {
	case *common.Note:
		c.notes++
	case *common.Echo:
		ctx.Response(message)
	case *common.Count:
		ctx.Response(&common.Counted{Notes: c.notes})
	default:
		ctx.Unhandled()
	}
}

func (c *counter) PostStop(*actor.Context) error { return nil }
