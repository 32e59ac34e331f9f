package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"rakt/interop/goakt/internal/messages"
	"rakt/interop/goakt/internal/wire"
)

const (
	// Of so many, some live on each node.
	clusterGrains = 60
	// How long it may take until all grains of a dead node answer again.
	takeoverWithin = 2 * time.Minute
)

// cluster is a suite for a node of a cluster. It prints "kill" once grains live on all nodes, and somebody else then kills the
// last one of --others.
func cluster() []check {
	return []check{{name: "grains on other nodes, and after the death of one", run: runCluster, timeout: restartDeadline}}
}

func runCluster(ctx context.Context, x *target) error {
	if len(x.others) == 0 {
		return errors.New("--others says on which ports the other nodes are")
	}
	names := make([]string, clusterGrains)
	for i := range names {
		names[i] = x.unique(fmt.Sprint("cluster-", i))
		err := errors.Join(
			x.remoting.RemoteActivateGrain(ctx, x.host, x.port, grainRequest(names[i])),
			x.tellGrain(ctx, names[i], &messages.Note{Sender: "a", Number: 1}))
		if err != nil {
			return err
		}
	}
	// Whichever node is asked, it is the same grain.
	for _, name := range names {
		if err := x.expectGrainCount(ctx, name, 1); err != nil {
			return err
		}
		for _, port := range x.others {
			other := *x
			other.port = port
			if err := other.expectGrainCount(ctx, name, 1); err != nil {
				return fmt.Errorf("through port %d: %w", port, err)
			}
		}
	}
	// Where it lives elsewhere it ends there.
	if err := errors.Join(
		x.tellGrain(ctx, names[0], wire.New("goaktpb.PoisonPill")),
		x.expectGrainCount(ctx, names[0], 0)); err != nil {
		return err
	}

	fmt.Fprintln(x.out, "kill")
	killed := net.JoinHostPort(x.host, strconv.Itoa(x.others[len(x.others)-1]))
	isDead := func() bool {
		conn, err := net.Dial("tcp", killed)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}
	if err := waitFor(ctx, isDead, x.restartWithin); err != nil {
		return fmt.Errorf("%s is not killed: %w", killed, err)
	}
	begun, failed := time.Now(), 0
	for _, name := range names {
		isBack := func() bool {
			want := wrapperspb.String(name)
			reply, err := x.askGrain(ctx, name, want, askTimeout)
			if err != nil || !proto.Equal(reply, want) {
				failed++
				return false
			}
			return true
		}
		if err := waitFor(ctx, isBack, takeoverWithin); err != nil {
			return fmt.Errorf("%s is silent: %w", name, err)
		}
	}
	fmt.Fprintf(x.out, "# all answer %.1f s after the death, %d asks failed before\n", time.Since(begun).Seconds(), failed)
	for _, name := range names {
		err := errors.Join(
			x.remoting.RemoteActivateGrain(ctx, x.host, x.port, grainRequest(name)),
			x.tellGrain(ctx, name, &messages.Note{Sender: "b", Number: 1}))
		if err != nil {
			return err
		}
		count, err := as[*messages.Count](x.askGrain(ctx, name, &messages.CountRequest{Sender: "b"}, askTimeout))
		if err == nil && (count.Notes != 1 || count.Violations != 0) {
			err = fmt.Errorf("%d notes of 1, %d out of order", count.Notes, count.Violations)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
