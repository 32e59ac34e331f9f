// GoAkt v3 as a contestant of the benchmark; package common says what it can be told to do.
package main

import (
	"context"

	"bench/goakt/common"

	"github.com/tochemey/goakt/v3/actor"
	"github.com/tochemey/goakt/v3/address"
	"github.com/tochemey/goakt/v3/log"
	"github.com/tochemey/goakt/v3/remote"
	"google.golang.org/protobuf/proto"
)

var compressions = map[string]remote.Compression{
	"":     remote.DefaultConfig().Compression(),
	"none": remote.NoCompression,
	"zstd": remote.ZstdCompression,
}

func main() {
	common.Main("goakt v3", start, join)
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
	return near{pid}, err
}

func (s system) Find(name string) (common.Target, error) {
	return far{s.NoSender(), s.address(name)}, nil
}

// Visit is done by a remoting client with connections of its own.
func (s system) Visit(name string, question proto.Message) (leave func(), err error) {
	visitor := remote.NewRemoting(remote.WithRemotingCompression(compressions[s.opts.Compression]))
	_, err = visitor.RemoteAsk(
		context.Background(), address.NoSender(), s.address(name), question, common.AskTimeout)
	return visitor.Close, err
}

func (s system) address(name string) *address.Address {
	return address.New(name, common.SystemName, s.opts.Host, s.opts.Port)
}

// near is an actor of this process.
type near struct {
	to *actor.PID
}

func (n near) Tell(note *common.Note) error {
	return actor.Tell(context.Background(), n.to, note)
}

func (n near) TellBatch(note *common.Note, count int) error {
	return actor.BatchTell(context.Background(), n.to, common.Batch[proto.Message](note, count)...)
}

func (n near) Ask(question proto.Message) (any, error) {
	return actor.Ask(context.Background(), n.to, question, common.AskTimeout)
}

// far is an actor of the server; from sends to it.
type far struct {
	from *actor.PID
	to   *address.Address
}

func (f far) Tell(note *common.Note) error {
	return f.from.RemoteTell(context.Background(), f.to, note)
}

func (f far) TellBatch(note *common.Note, count int) error {
	return f.from.RemoteBatchTell(context.Background(), f.to, common.Batch[proto.Message](note, count))
}

func (f far) Ask(question proto.Message) (any, error) {
	answer, err := f.from.RemoteAsk(context.Background(), f.to, question, common.AskTimeout)
	if err != nil {
		return nil, err
	}
	return answer.UnmarshalNew()
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
