// Command goakt4 is a node of GoAkt v4, which rakt does not speak with: each side has to say so. It prints "ready PORT"
// and what its actor "echo" is told, and ends with its standard input. Given --tell PORT it tells the actor "echo" of a
// node there instead, prints what came of it, and ends.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/tochemey/goakt/v4/actor"
	"github.com/tochemey/goakt/v4/log"
	"github.com/tochemey/goakt/v4/remote"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "goakt4:", err)
		os.Exit(1)
	}
}

// echo prints what it is told.
type echo struct{}

func (echo) PreStart(*actor.Context) error { return nil }
func (echo) PostStop(*actor.Context) error { return nil }

func (echo) Receive(ctx *actor.ReceiveContext) {
	if message, ok := ctx.Message().(*wrapperspb.StringValue); ok {
		fmt.Println("told", message.GetValue())
	}
}

func run() error {
	name := flag.String("system", "go4", "name of the actor system")
	compression := flag.String("compression", "none", "none, there is no other here")
	port := flag.Int("port", 0, "port to listen on")
	tell := flag.Int("tell", 0, "port of a node whose actor echo is told something")
	flag.Parse()
	if *compression != "none" {
		return fmt.Errorf("--compression %s", *compression)
	}

	if *port == 0 {
		// With port 0 GoAkt's addresses say 0 for ever.
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return err
		}
		*port = listener.Addr().(*net.TCPAddr).Port
		if err := listener.Close(); err != nil {
			return err
		}
	}
	ctx := context.Background()
	config := remote.NewConfig("127.0.0.1", *port, remote.WithCompression(remote.NoCompression))
	system, err := actor.NewActorSystem(*name, actor.WithLogger(log.DiscardLogger), actor.WithRemote(config))
	if err != nil {
		return err
	}
	if err := system.Start(ctx); err != nil {
		return err
	}
	defer func() { _ = system.Stop(ctx) }()
	own, err := system.Spawn(ctx, "echo", echo{}, actor.WithLongLived())
	if err != nil {
		return err
	}
	if *tell == 0 {
		fmt.Println("ready", system.Port())
		_, err = io.Copy(io.Discard, os.Stdin)
		return err
	}
	other, err := own.RemoteLookup(ctx, "127.0.0.1", *tell, "echo")
	if err != nil {
		return err
	}
	fmt.Println("answer:", own.Tell(ctx, other, wrapperspb.String("from v4")))
	return nil
}
