// Command node runs a GoAkt node with the actors of the contract (see README.md) until its standard input ends or it
// is told to terminate. Once it listens it prints "ready PORT".
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/tochemey/goakt/v3/actor"
	"github.com/tochemey/goakt/v3/log"

	"rakt/interop/goakt/internal/host"
	"rakt/interop/goakt/internal/secure"
)

const stopTimeout = 5 * time.Second

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
}

func run() error {
	config := host.Config{
		Logger: log.DiscardLogger,
		Kinds:  []actor.Actor{&Worker{}, &Refuser{}},
		Grains: []actor.Grain{&Tally{}},
	}
	flag.StringVar(&config.System, "system", "go", "name of the actor system")
	flag.IntVar(&config.Port, "port", 0, "port to listen on at "+host.Address+"; 0 means one that is free")
	flag.BoolVar(&config.Propagator, "propagator", true, "carry a traceparent from and to other nodes")
	compression := flag.String("compression", "zstd", "none, gzip, zstd or brotli")
	certs := secure.Flags()
	verbose := flag.Bool("verbose", false, "log what GoAkt logs, on standard error")
	flag.Parse()

	var err error
	if config.Compression, err = host.ParseCompression(*compression); err != nil {
		return err
	}
	if config.TLS, err = certs.Info(); err != nil {
		return err
	}
	if *verbose {
		config.Logger = log.New(log.InfoLevel, os.Stderr)
	}
	// Not a context that ends with the signal: GoAkt would answer every ask from then on with a timeout.
	ctx := context.Background()
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)

	system, err := host.Start(ctx, config)
	if err != nil {
		return err
	}
	fmt.Println("ready", system.Port())

	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		ended <- syscall.SIGTERM
	}()
	<-ended

	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	return system.Stop(ctx)
}
