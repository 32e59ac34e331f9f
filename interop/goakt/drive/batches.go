package main

import (
	"context"
	"fmt"
	"time"

	"github.com/tochemey/goakt/v3/address"
	gerrors "github.com/tochemey/goakt/v3/errors"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"rakt/interop/goakt/internal/actors"
	"rakt/interop/goakt/internal/messages"
)

func batches() []check {
	return []check{
		{name: "batch of tells", run: func(ctx context.Context, x *target) error {
			sender := x.unique("batch")
			if err := x.batchTell(ctx, actors.CounterName, notes(sender, 1, 500)...); err != nil {
				return err
			}
			return x.expectCount(ctx, actors.CounterName, sender, 500)
		}},
		{name: "batch of asks", run: batchAsk},
		{name: "empty batches", run: func(ctx context.Context, x *target) error {
			if err := x.batchTell(ctx, actors.EchoName); err != nil {
				return err
			}
			replies, err := x.batchAsk(ctx, actors.EchoName, askTimeout)
			if err == nil && len(replies) != 0 {
				err = fmt.Errorf("%d replies", len(replies))
			}
			return err
		}},
		{name: "batch of asks of which the second fails", run: batchAskFails},
		{name: "batch of asks of which the second is to no actor", run: func(ctx context.Context, x *target) error {
			return x.splitBatch(ctx, "internalpb.RemoteAskRequest", `[type.googleapis.com/google.protobuf.StringValue]:{}`, 0)
		}},
		{name: "batch of tells of which the second is to no actor", run: func(ctx context.Context, x *target) error {
			return x.splitBatch(ctx, "internalpb.RemoteTellRequest", fmt.Sprintf(splitNote, 1), 1)
		}},
		{name: "timeout of a batch is that of each ask", run: batchTimeout},
	}
}

func notes(sender string, first, last uint64) []proto.Message {
	var batch []proto.Message
	for number := first; number <= last; number++ {
		batch = append(batch, &messages.Note{Sender: sender, Number: number})
	}
	return batch
}

func (x *target) batchTell(ctx context.Context, name string, batch ...proto.Message) error {
	return x.remoting.RemoteBatchTell(ctx, address.NoSender(), x.address(name), batch)
}

func (x *target) batchAsk(ctx context.Context, name string, timeout time.Duration, batch ...proto.Message) ([]proto.Message, error) {
	packed, err := x.remoting.RemoteBatchAsk(ctx, address.NoSender(), x.address(name), batch, timeout)
	if err != nil {
		return nil, err
	}
	var replies []proto.Message
	for _, each := range packed {
		reply, err := each.UnmarshalNew()
		if err != nil {
			return nil, err
		}
		replies = append(replies, reply)
	}
	return replies, nil
}

// expectEchoes is for a batch of asks that are all echoed.
func (x *target) expectEchoes(ctx context.Context, name string, batch []proto.Message) error {
	replies, err := x.batchAsk(ctx, name, askTimeout, batch...)
	if err != nil {
		return err
	}
	if len(replies) != len(batch) {
		return fmt.Errorf("%d replies to %d asks", len(replies), len(batch))
	}
	for i := range batch {
		if !proto.Equal(replies[i], batch[i]) {
			return fmt.Errorf("%w: %v came back as %v", errWrongReply, batch[i], replies[i])
		}
	}
	return nil
}

func batchAsk(ctx context.Context, x *target) error {
	var batch []proto.Message
	for i := range 50 {
		batch = append(batch, wrapperspb.String(fmt.Sprint("ask ", i)), wrapperspb.Bytes([]byte{byte(i)}))
	}
	return x.expectEchoes(ctx, actors.EchoName, batch)
}

// batchAskFails: what came before the failure has been done, what comes after it is not sent, replies are lost.
func batchAskFails(ctx context.Context, x *target) error {
	name := x.unique("batch-fails")
	if err := x.spawn(ctx, name, workerKind); err != nil {
		return err
	}
	_, err := x.batchAsk(ctx, name, shortTimeout,
		wrapperspb.String("answered"),
		&messages.Note{Sender: "batch", Number: 1}, // which is not
		&messages.Note{Sender: "batch", Number: 2})
	if err := expectIs(err, gerrors.ErrRequestTimeout); err != nil {
		return err
	}
	return x.expectCount(ctx, name, "batch", 1)
}

const splitNote = `[type.googleapis.com/rakt.interop.Note]:{sender:"split" number:%d}`

// splitBatch sends one request of three messages: first to a worker, one to nobody, and a note to the worker, which
// must not arrive. The worker then has that many notes.
func (x *target) splitBatch(ctx context.Context, request protoreflect.FullName, first string, arrived uint64) error {
	name := x.unique("split-" + string(request.Name()))
	if err := x.spawn(ctx, name, workerKind); err != nil {
		return err
	}
	const to = `remote_messages:{sender:"goakt://@:0/" receiver:"goakt://SYSTEM@HOST:PORT/%s" message:{%s}} `
	text := fmt.Sprintf(to, name, first) + fmt.Sprintf(to, "absent", first) + fmt.Sprintf(to, name, fmt.Sprintf(splitNote, 2))
	if err := x.expectRefusal(ctx, request, text, notFound, "", ""); err != nil {
		return err
	}
	return x.expectCount(ctx, name, "split", arrived)
}

// batchTimeout: five asks that take nearly as long as one of them may.
func batchTimeout(ctx context.Context, x *target) error {
	const each = 150 * time.Millisecond
	ask := &messages.Delay{Millis: uint32(each.Milliseconds())}
	replies, err := x.batchAsk(ctx, actors.SlowName, 4*each, ask, ask, ask, ask, ask)
	if err == nil && len(replies) != 5 {
		err = fmt.Errorf("%d replies", len(replies))
	}
	return err
}
