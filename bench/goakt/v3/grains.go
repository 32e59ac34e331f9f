package main

import (
	"context"
	"fmt"
	"time"

	"bench/goakt/common"

	"github.com/tochemey/goakt/v3/actor"
	"github.com/tochemey/goakt/v3/discovery/static"
	"github.com/tochemey/goakt/v3/log"
	"github.com/tochemey/goakt/v3/remote"
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
	at, err := n.RemoteActor(context.Background(), name)
	if err != nil {
		return nil, err
	}
	return func(question proto.Message, limit time.Duration) (any, error) {
		answer, err := n.NoSender().RemoteAsk(context.Background(), at, question, limit)
		if err != nil {
			return nil, err
		}
		return answer.UnmarshalNew()
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
	return n.ask(identity), nil
}

func (n node) ask(identity *actor.GrainIdentity) common.Ask {
	return func(question proto.Message, limit time.Duration) (any, error) {
		return n.AskGrain(context.Background(), identity, question, limit)
	}
}

// Living does not go by GrainIdentity, which fails for a grain that lives on another node, and brings it to life here as
// well: https://github.com/Tochemey/goakt/issues/1227.
func (n node) Living(names []string) ([]common.Ask, error) {
	all := make(map[string]*actor.GrainIdentity)
	for _, identity := range n.Grains(context.Background(), 10*time.Second) {
		all[identity.Name()] = identity
	}
	asks := make([]common.Ask, len(names))
	for i, name := range names {
		identity, lives := all[name]
		if !lives {
			return nil, fmt.Errorf("%s is not listed", name)
		}
		asks[i] = n.ask(identity)
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
