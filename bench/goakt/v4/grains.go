package main

import (
	"context"
	"time"

	"bench/goakt/common"

	"github.com/tochemey/goakt/v4/actor"
	"github.com/tochemey/goakt/v4/discovery/static"
	"github.com/tochemey/goakt/v4/log"
	"github.com/tochemey/goakt/v4/remote"
	"google.golang.org/protobuf/proto"
)

type node struct {
	system
}

func join(opts common.Options) (common.Node, error) {
	ports := opts.NodePorts(opts.Index)
	cluster := actor.NewClusterConfig().
		WithDiscovery(static.NewDiscovery(&static.Config{Hosts: opts.Gossips()})).
		WithDiscoveryPort(ports.Gossip).
		WithPeersPort(ports.Peers).
		WithKinds(new(counter)).
		WithGrains(new(echoer))
	started, err := actor.NewActorSystem(common.SystemName,
		actor.WithLogger(log.DiscardLogger),
		actor.WithRemote(remote.NewConfig(opts.Host, ports.Remoting)),
		actor.WithCluster(cluster))
	if err != nil {
		return nil, err
	}
	return node{system{started, opts}}, started.Start(context.Background())
}

func (n node) Others() (int, error) {
	others, err := n.Peers(context.Background(), time.Second)
	return len(others), err
}

func (n node) Listed(name string) (common.Ask, error) {
	to, err := n.ActorOf(context.Background(), name)
	if err != nil {
		return nil, err
	}
	return func(question proto.Message, limit time.Duration) (any, error) {
		return n.NoSender().Ask(context.Background(), to, question, limit)
	}, nil
}

func (n node) Grain(name string, random bool) (common.Ask, error) {
	strategy := actor.LocalActivation
	if random {
		strategy = actor.RandomActivation
	}
	identity, err := n.GrainIdentity(context.Background(), name,
		func(context.Context) (actor.Grain, error) { return new(echoer), nil },
		actor.WithActivationStrategy(strategy))
	if err != nil {
		return nil, err
	}
	return func(question proto.Message, limit time.Duration) (any, error) {
		return n.AskGrain(context.Background(), identity, question, limit)
	}, nil
}

func (n node) Living(names []string) ([]common.Ask, error) {
	asks := make([]common.Ask, len(names))
	for i, name := range names {
		var err error
		if asks[i], err = n.Grain(name, false); err != nil {
			return nil, err
		}
	}
	return asks, nil
}

// echoer is a grain that answers an echo with its payload.
type echoer struct{}

func (*echoer) OnActivate(context.Context, *actor.GrainProps) error { return nil }

func (*echoer) OnReceive(ctx *actor.GrainContext) {
	if echo, is := ctx.Message().(*common.Echo); is {
		ctx.Response(echo)
		return
	}
	ctx.Unhandled()
}

func (*echoer) OnDeactivate(context.Context, *actor.GrainProps) error { return nil }
