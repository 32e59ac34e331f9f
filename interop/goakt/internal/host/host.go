// Package host runs a GoAkt node with the actors of the contract.
package host

import (
	"context"
	"fmt"
	"net"

	"github.com/tochemey/goakt/v3/actor"
	"github.com/tochemey/goakt/v3/log"
	"github.com/tochemey/goakt/v3/remote"
	gtls "github.com/tochemey/goakt/v3/tls"

	"rakt/interop/goakt/internal/actors"
	"rakt/interop/goakt/internal/trace"
)

// Address is where all nodes here listen: addresses name it as text, and it must be the same text everywhere.
const Address = "127.0.0.1"

// Config is what a node is started with.
type Config struct {
	System      string
	Port        int // 0 means one that is free
	Compression remote.Compression
	TLS         *gtls.Info // nil without
	Propagator  bool
	Logger      log.Logger
	Kinds       []actor.Actor
	Grains      []actor.Grain
}

// Start runs a node until its Stop is called.
func Start(ctx context.Context, config Config) (actor.ActorSystem, error) {
	if config.Port == 0 {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		config.Port = port
	}
	options := []remote.Option{remote.WithCompression(config.Compression)}
	if config.Propagator {
		options = append(options, remote.WithContextPropagator(trace.Propagator{}))
	}
	with := []actor.Option{
		actor.WithRemote(remote.NewConfig(Address, config.Port, options...)),
		actor.WithLogger(config.Logger),
	}
	if config.TLS != nil {
		with = append(with, actor.WithTLS(config.TLS))
	}
	system, err := actor.NewActorSystem(config.System, with...)
	if err != nil {
		return nil, err
	}
	if err := system.Start(ctx); err != nil {
		return nil, err
	}
	for _, kind := range config.Kinds {
		if err := system.Register(ctx, kind); err != nil {
			return nil, err
		}
	}
	for _, grain := range config.Grains {
		if err := system.RegisterGrainKind(ctx, grain); err != nil {
			return nil, err
		}
	}
	return system, actors.SpawnAll(ctx, system)
}

// freePort asks the operating system for a port. GoAkt cannot: with port 0 its addresses say 0 for ever.
func freePort() (int, error) {
	listener, err := net.Listen("tcp4", net.JoinHostPort(Address, "0"))
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// compressions are what --compression can say.
var compressions = map[string]remote.Compression{
	"none":   remote.NoCompression,
	"gzip":   remote.GzipCompression,
	"zstd":   remote.ZstdCompression,
	"brotli": remote.BrotliCompression,
}

// ParseCompression reads the value of a --compression flag.
func ParseCompression(text string) (remote.Compression, error) {
	compression, known := compressions[text]
	if !known {
		return 0, fmt.Errorf("unknown compression %q: none, gzip, zstd or brotli", text)
	}
	return compression, nil
}
