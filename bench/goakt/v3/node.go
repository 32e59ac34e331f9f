package main

import (
	"context"
	"fmt"
	"net"

	"github.com/tochemey/goakt/v3/actor"
	"github.com/tochemey/goakt/v3/log"
	"github.com/tochemey/goakt/v3/remote"
)

const (
	systemName  = "bench"
	counterName = "counter"
	// targets are the receivers of the fan workload, each named by targetName.
	targets = 2000
)

func targetName(index int) string {
	return fmt.Sprintf("target-%d", index)
}

// counter counts notes and answers an echo with its payload.
type counter struct {
	notes uint64
}

func (c *counter) PreStart(*actor.Context) error { return nil }

func (c *counter) Receive(ctx *actor.ReceiveContext) {
	switch message := ctx.Message().(type) {
	case *Note:
		c.notes++
	case *Echo:
		ctx.Response(message)
	case *Count:
		ctx.Response(&Counted{Notes: c.notes})
	default:
		ctx.Unhandled()
	}
}

func (c *counter) PostStop(*actor.Context) error { return nil }

// serve spawns the actors of all workloads and never returns, unless that fails.
func serve(opts options) error {
	system, err := startNode(opts)
	if err != nil {
		return err
	}
	if _, err := spawn(system, counterName); err != nil {
		return err
	}
	for index := range targets {
		if _, err := spawn(system, targetName(index)); err != nil {
			return err
		}
	}
	fmt.Printf("ready %d\n", system.Port())
	select {}
}

func spawn(system actor.ActorSystem, name string) (*actor.PID, error) {
	return system.Spawn(context.Background(), name, new(counter))
}

// startNode starts an actor system that others can reach.
func startNode(opts options) (actor.ActorSystem, error) {
	port := opts.port
	if port == 0 {
		var err error
		if port, err = freePort(); err != nil {
			return nil, err
		}
	}
	var settings []remote.Option
	if opts.plain {
		settings = append(settings, remote.WithCompression(remote.NoCompression))
	}
	return start(actor.WithRemote(remote.NewConfig("127.0.0.1", port, settings...)))
}

// start starts an actor system that logs nothing: what it prints would get between the lines that
// this program has to print.
func start(settings ...actor.Option) (actor.ActorSystem, error) {
	settings = append(settings, actor.WithLogger(log.DiscardLogger))
	system, err := actor.NewActorSystem(systemName, settings...)
	if err != nil {
		return nil, err
	}
	return system, system.Start(context.Background())
}

// freePort asks the kernel for a port: the addresses of actors hold the number that the system was
// told, so it cannot be 0.
func freePort() (int, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}
