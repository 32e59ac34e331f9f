// Command polyglot is the Go half of the example polyglot of rakt, which starts it:
//
//	cargo run --features goakt --example polyglot
//
// Its actors are those of any GoAkt program: nothing here knows that the other node is written in Rust.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/tochemey/goakt/v3/actor"
	"github.com/tochemey/goakt/v3/address"
	goaktlog "github.com/tochemey/goakt/v3/log"
	"github.com/tochemey/goakt/v3/remote"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Greeter answers with a greeting, which it has composed by an actor of the Rust node.
type Greeter struct{ composer *address.Address }

func (*Greeter) PreStart(*actor.Context) error { return nil }
func (*Greeter) PostStop(*actor.Context) error { return nil }

func (x *Greeter) Receive(ctx *actor.ReceiveContext) {
	name, ok := ctx.Message().(*wrapperspb.StringValue)
	if !ok {
		return
	}
	reply := ctx.RemoteAsk(x.composer, name, time.Second)
	greeting := new(wrapperspb.StringValue)
	if reply == nil || reply.UnmarshalTo(greeting) != nil {
		return
	}
	ctx.Response(wrapperspb.String(greeting.GetValue() + ", and from Go"))
}

// Counter counts what it is told, and tells whoever sent it how much that is. It is a kind: the Rust node spawns it,
// by the name "main.counter".
type Counter struct{ told uint64 }

func (*Counter) PreStart(*actor.Context) error { return nil }
func (*Counter) PostStop(*actor.Context) error { return nil }

func (x *Counter) Receive(ctx *actor.ReceiveContext) {
	if _, ok := ctx.Message().(*wrapperspb.StringValue); ok {
		x.told++
		ctx.RemoteTell(ctx.RemoteSender(), wrapperspb.UInt64(x.told))
	}
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: polyglot PORT ADDRESS-OF-THE-COMPOSER")
	}
	port, err := strconv.Atoi(os.Args[1])
	check(err)
	composer, err := address.Parse(os.Args[2])
	check(err)

	ctx := context.Background()
	system, err := actor.NewActorSystem("go-node",
		actor.WithRemote(remote.NewConfig("127.0.0.1", port)),
		actor.WithLogger(goaktlog.DiscardLogger))
	check(err)
	check(system.Start(ctx))
	check(system.Register(ctx, &Counter{}))
	_, err = system.Spawn(ctx, "greeter", &Greeter{composer: composer})
	check(err)

	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the Rust node is done
	check(system.Stop(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
