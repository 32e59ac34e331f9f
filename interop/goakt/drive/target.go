package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/tochemey/goakt/v3/address"
	"github.com/tochemey/goakt/v3/remote"
	gtls "github.com/tochemey/goakt/v3/tls"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"rakt/interop/goakt/internal/secure"
	"rakt/interop/goakt/internal/trace"
	"rakt/interop/goakt/internal/wire"
)

// askTimeout is how long an ask may take that is meant to be answered.
const askTimeout = 5 * time.Second

// target is the node under test, and what it is expected to be.
type target struct {
	host          string
	port          int
	system        string
	rakt          bool // rather than a GoAkt node, with its bugs
	compression   remote.Compression
	certs         secure.Options
	tls           *gtls.Info // nil without
	remoting      remote.Remoting
	count         int
	restartWithin time.Duration
	out           io.Writer
	node          string               // the program of a rakt node, for checks that start their own
	nodes         map[string]*raktNode // those that were started, by what they were given
	others        []int                // the ports of the other nodes of a cluster
	run           string               // makes names unique in a node that is tested twice
}

func newRemoting(compression remote.Compression, tls *gtls.Info) remote.Remoting {
	options := []remote.RemotingOption{
		remote.WithRemotingCompression(compression),
		remote.WithRemotingContextPropagator(trace.Propagator{}),
	}
	if tls != nil {
		options = append(options, remote.WithRemotingTLS(tls.ClientConfig))
	}
	return remote.NewRemoting(options...)
}

// unique is a name that no other run has used.
func (x *target) unique(name string) string { return fmt.Sprintf("%s-%s", name, x.run) }

// address is that of the actor with the name.
func (x *target) address(name string) *address.Address {
	return address.New(name, x.system, x.host, x.port)
}

// childAddress is that of the child of a parent.
func (x *target) childAddress(parent, name string) *address.Address {
	return address.NewWithParent(name, x.system, x.host, x.port, x.address(parent))
}

func (x *target) tell(ctx context.Context, name string, message proto.Message) error {
	return x.remoting.RemoteTell(ctx, address.NoSender(), x.address(name), message)
}

// ask sends message to the actor with the name.
func (x *target) ask(ctx context.Context, name string, message proto.Message, timeout time.Duration) (proto.Message, error) {
	return unpack(x.remoting.RemoteAsk(ctx, address.NoSender(), x.address(name), message, timeout))
}

// raw sends one of GoAkt's own requests, in a frame without metadata, and returns whatever is answered.
func (x *target) raw(ctx context.Context, request proto.Message) (proto.Message, error) {
	return x.remoting.NetClient(x.host, x.port).SendProto(ctx, request)
}

// askFor asks and takes only a reply of the type T.
func askFor[T proto.Message](ctx context.Context, x *target, name string, message proto.Message) (T, error) {
	reply, err := x.ask(ctx, name, message, askTimeout)
	return as[T](reply, err)
}

func as[T proto.Message](reply proto.Message, err error) (T, error) {
	var none T
	if err != nil {
		return none, err
	}
	typed, ok := reply.(T)
	if !ok {
		return none, fmt.Errorf("the reply is a %T, not a %T", reply, none)
	}
	return typed, nil
}

func unpack(packed *anypb.Any, err error) (proto.Message, error) {
	if err != nil {
		return nil, err
	}
	if packed == nil {
		return nil, fmt.Errorf("no reply and no error")
	}
	return packed.UnmarshalNew()
}

// errorOf reads a response that is expected to be one of GoAkt's Error messages.
func errorOf(response proto.Message) (code int32, text string, err error) {
	if name := response.ProtoReflect().Descriptor().FullName(); name != "internalpb.Error" {
		return 0, "", fmt.Errorf("a response of the type %s, not an error", name)
	}
	return int32(wire.Get(response, "code").Enum()), wire.Get(response, "message").String(), nil
}

// until repeats a question until the answer is yes, for things that happen some time after what causes them.
func until(ctx context.Context, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for {
		if yes, err := done(); err != nil || yes {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not within %v", what, askTimeout)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func newRun() string { return fmt.Sprintf("%d-%d", os.Getpid(), time.Now().UnixNano()) }
