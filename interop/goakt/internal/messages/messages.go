// Package messages holds the messages of the contract (see README.md) that no well-known protobuf type covers.
//
// They are ordinary protobuf messages of the package rakt.interop. Their descriptor is put together at start
// (see descriptor.go), so that no protoc is needed to build or to change them.
package messages

import (
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoimpl"
)

// Note is one numbered message of a sender; the numbers of a sender start at 1 and have no gaps.
type Note struct {
	Sender string `protobuf:"bytes,1,opt,name=sender,proto3"`
	Number uint64 `protobuf:"varint,2,opt,name=number,proto3"`
}

// CountRequest asks for the notes of one sender, or of all senders if it names none.
type CountRequest struct {
	Sender string `protobuf:"bytes,1,opt,name=sender,proto3"`
}

// Count answers a CountRequest. A note violates the order if its number is not one more than the one before.
type Count struct {
	Notes      uint64 `protobuf:"varint,1,opt,name=notes,proto3"`
	Violations uint64 `protobuf:"varint,2,opt,name=violations,proto3"`
}

// Delay asks for its payload after some time.
type Delay struct {
	Millis  uint32 `protobuf:"varint,1,opt,name=millis,proto3"`
	Payload []byte `protobuf:"bytes,2,opt,name=payload,proto3"`
}

// Produce asks for that many bytes.
type Produce struct {
	Size uint32 `protobuf:"varint,1,opt,name=size,proto3"`
}

// Fail asks its receiver to fail, in one of the ways below.
type Fail struct {
	How string `protobuf:"bytes,1,opt,name=how,proto3"`
}

// The values of Fail.How; with any other the receiver does not fail but answers with the message.
const (
	FailByPanic = "panic"
	FailByError = "error"
)

// Relay asks its receiver to send payload to the actor with the address To by an asynchronous request.
type Relay struct {
	Id      string `protobuf:"bytes,1,opt,name=id,proto3"`
	To      string `protobuf:"bytes,2,opt,name=to,proto3"`
	Payload []byte `protobuf:"bytes,3,opt,name=payload,proto3"`
}

// OutcomeRequest asks what became of the Relay with the same id.
type OutcomeRequest struct {
	Id string `protobuf:"bytes,1,opt,name=id,proto3"`
}

// Outcome answers an OutcomeRequest: the payload of the reply, or why there is none.
type Outcome struct {
	Id      string `protobuf:"bytes,1,opt,name=id,proto3"`
	Payload []byte `protobuf:"bytes,2,opt,name=payload,proto3"`
	Error   string `protobuf:"bytes,3,opt,name=error,proto3"`
}

// TraceRequest asks for the trace context that the request came with.
type TraceRequest struct{}

// Trace answers a TraceRequest; it is empty if the request came with none.
type Trace struct {
	Traceparent string `protobuf:"bytes,1,opt,name=traceparent,proto3"`
}

// Hop asks its receiver to send a TraceRequest to the actor with the address To and to answer with its Trace.
type Hop struct {
	To string `protobuf:"bytes,1,opt,name=to,proto3"`
}

// all lists the messages in the order in which the descriptor numbers them.
var all = []any{
	(*Note)(nil),
	(*CountRequest)(nil),
	(*Count)(nil),
	(*Delay)(nil),
	(*Produce)(nil),
	(*Fail)(nil),
	(*Relay)(nil),
	(*OutcomeRequest)(nil),
	(*Outcome)(nil),
	(*TraceRequest)(nil),
	(*Trace)(nil),
	(*Hop)(nil),
}

func (x *Note) ProtoReflect() protoreflect.Message           { return infos[0].MessageOf(x) }
func (x *CountRequest) ProtoReflect() protoreflect.Message   { return infos[1].MessageOf(x) }
func (x *Count) ProtoReflect() protoreflect.Message          { return infos[2].MessageOf(x) }
func (x *Delay) ProtoReflect() protoreflect.Message          { return infos[3].MessageOf(x) }
func (x *Produce) ProtoReflect() protoreflect.Message        { return infos[4].MessageOf(x) }
func (x *Fail) ProtoReflect() protoreflect.Message           { return infos[5].MessageOf(x) }
func (x *Relay) ProtoReflect() protoreflect.Message          { return infos[6].MessageOf(x) }
func (x *OutcomeRequest) ProtoReflect() protoreflect.Message { return infos[7].MessageOf(x) }
func (x *Outcome) ProtoReflect() protoreflect.Message        { return infos[8].MessageOf(x) }
func (x *TraceRequest) ProtoReflect() protoreflect.Message   { return infos[9].MessageOf(x) }
func (x *Trace) ProtoReflect() protoreflect.Message          { return infos[10].MessageOf(x) }
func (x *Hop) ProtoReflect() protoreflect.Message            { return infos[11].MessageOf(x) }

var infos = make([]protoimpl.MessageInfo, len(all))
