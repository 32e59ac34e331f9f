package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"rakt/interop/goakt/internal/actors"
	"rakt/interop/goakt/internal/messages"
	"rakt/interop/goakt/internal/wire"
)

// maxFrame is the largest frame that a node takes unless told otherwise.
const maxFrame = 16 << 20

func frames() []check {
	return []check{
		{name: "a request of 16 MiB is taken", run: func(ctx context.Context, x *target) error {
			return x.sendFrame(ctx, maxFrame)
		}},
		{name: "a request of one byte more is refused", run: func(ctx context.Context, x *target) error {
			if x.sendFrame(ctx, maxFrame+1) == nil {
				return errors.New("taken")
			}
			return x.stillThere(ctx)
		}},
		{name: "an echo of nearly 16 MiB", run: func(ctx context.Context, x *target) error {
			payload := wrapperspb.Bytes(actors.Produced(maxFrame - 1024))
			reply, err := askFor[*wrapperspb.BytesValue](ctx, x, actors.EchoName, payload)
			if err == nil && !bytes.Equal(reply.GetValue(), payload.GetValue()) {
				err = errWrongReply
			}
			return err
		}},
		{name: "a response of more than 16 MiB is an error", run: func(ctx context.Context, x *target) error {
			if _, err := x.ask(ctx, actors.ProducerName, &messages.Produce{Size: maxFrame}, askTimeout); err == nil {
				return errors.New("no error")
			}
			return x.stillThere(ctx)
		}},
	}
}

// sendFrame tells the silent actor a message that makes the request's frame exactly that large.
func (x *target) sendFrame(ctx context.Context, size int) error {
	// The lengths of lengths are the same for all sizes near this one.
	nearly, err := x.largeTell(size - 1024)
	if err != nil {
		return err
	}
	exact, err := x.largeTell(size - 1024 + size - frameSize(nearly))
	if err != nil {
		return err
	}
	if got := frameSize(exact); got != size {
		return fmt.Errorf("made a frame of %d bytes instead of %d", got, size)
	}
	response, err := x.raw(ctx, exact)
	if err != nil {
		return err
	}
	if got := response.ProtoReflect().Descriptor().FullName(); got != "internalpb.RemoteTellResponse" {
		return fmt.Errorf("answered by %s", got)
	}
	return nil
}

// largeTell is a request with a message of that many bytes.
func (x *target) largeTell(payload int) (proto.Message, error) {
	packed, err := anypb.New(wrapperspb.Bytes(actors.Produced(uint32(payload))))
	if err != nil {
		return nil, err
	}
	request, err := x.parse("internalpb.RemoteTellRequest",
		`remote_messages:{sender:"goakt://@:0/" receiver:"goakt://SYSTEM@HOST:PORT/silent"}`)
	if err != nil {
		return nil, err
	}
	told := wire.Get(request, "remote_messages").List().Get(0).Message().Interface()
	wire.Set(told, "message", protoreflect.ValueOf(packed.ProtoReflect()))
	return request, nil
}

// frameSize is that of the frame in which the raw client sends request, which is without metadata.
func frameSize(request proto.Message) int {
	const lengths = 8
	return lengths + len(request.ProtoReflect().Descriptor().FullName()) + proto.Size(request)
}

// stillThere asks by a client of its own: after a brotli stream that broke off, GoAkt's client cannot read the next.
func (x *target) stillThere(ctx context.Context) error {
	fresh := *x
	fresh.remoting = newRemoting(x.compression, x.tls)
	defer fresh.remoting.Close()
	return fresh.expectLookup(ctx, actors.EchoName, true)
}
