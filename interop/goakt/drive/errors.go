package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"rakt/interop/goakt/internal/actors"
	"rakt/interop/goakt/internal/trace"
	"rakt/interop/goakt/internal/wire"
)

// The codes of internalpb.Error that a node without a cluster answers with.
const (
	notFound           = 1
	invalidArgument    = 3
	failedPrecondition = 5
	internalError      = 6
	deadlineExceeded   = 7
)

// Pieces of requests. SYSTEM, HOST and PORT become those of the node.
const (
	here    = `host:"HOST" port:PORT `
	payload = `message:{[type.googleapis.com/google.protobuf.StringValue]:{value:"x"}} `
	nobody  = `sender:"goakt://@:0/" `
	toEcho  = `receiver:"goakt://SYSTEM@HOST:PORT/echo" `
	grainAt = `grain:{host:"HOST" port:PORT grain_id:{value:"VALUE"}} `
)

// refusals are requests that are answered with an error.
var refusals = []struct {
	name    string
	request protoreflect.FullName
	text    string
	code    int32
	// What GoAkt says, and what of it every node must say. Where that is empty the words are free.
	goakt, must string
}{
	{"lookup of no actor", "internalpb.RemoteLookupRequest", here + `name:"absent"`,
		notFound, "(actor address=goakt://SYSTEM@HOST:PORT/absent) address not found", ""},
	{"lookup at another host", "internalpb.RemoteLookupRequest", `host:"127.0.0.9" port:PORT name:"echo"`,
		invalidArgument, "invalid host", "invalid host"},
	{"lookup at another port", "internalpb.RemoteLookupRequest", `host:"HOST" port:1 name:"echo"`,
		invalidArgument, "invalid host", "invalid host"},

	{"ask of no actor", "internalpb.RemoteAskRequest", one(nobody + `receiver:"goakt://SYSTEM@HOST:PORT/absent" ` + payload),
		notFound, "(actor address=goakt://SYSTEM@HOST:PORT/absent) address not found", ""},
	{"ask at another host", "internalpb.RemoteAskRequest", one(nobody + `receiver:"goakt://SYSTEM@127.0.0.9:PORT/echo" ` + payload),
		invalidArgument, "invalid host", "invalid host"},
	{"ask of another system", "internalpb.RemoteAskRequest", one(nobody + `receiver:"goakt://other@HOST:PORT/echo" ` + payload),
		notFound, "(actor address=goakt://other@HOST:PORT/echo) address not found", ""},
	{"ask without a receiver", "internalpb.RemoteAskRequest", one(nobody + payload),
		invalidArgument, "address is required", ""},
	{"ask of what is no address", "internalpb.RemoteAskRequest", one(nobody + `receiver:"echo" ` + payload),
		invalidArgument, "address format is invalid", ""},
	{"ask by another protocol", "internalpb.RemoteAskRequest", one(nobody + `receiver:"http://SYSTEM@HOST:PORT/echo" ` + payload),
		invalidArgument, "address protocol is not supported", ""},
	{"ask without a sender", "internalpb.RemoteAskRequest", one(toEcho + payload),
		internalError, "remote send failed\ninvalid remote message\naddress is required", ""},
	{"ask without a message", "internalpb.RemoteAskRequest", one(nobody + toEcho),
		internalError, "", ""},
	{"ask with a message of an unknown type", "internalpb.RemoteAskRequest",
		one(nobody + toEcho + `message:{type_url:"type.googleapis.com/nobody.Knows"}`),
		internalError, "remote send failed\ninvalid remote message\nproto: not found", ""},
	{"ask with a message that does not decode", "internalpb.RemoteAskRequest",
		one(nobody + toEcho + `message:{type_url:"type.googleapis.com/google.protobuf.StringValue" value:"\xff\xff"}`),
		internalError, "", ""},
	{"ask that nobody answers", "internalpb.RemoteAskRequest",
		one(nobody+`receiver:"goakt://SYSTEM@HOST:PORT/silent" `+payload) + `timeout:{nanos:50000000}`,
		deadlineExceeded, "remote send failed\nrequest timed out", ""},
	{"ask with a timeout of zero", "internalpb.RemoteAskRequest",
		one(nobody+`receiver:"goakt://SYSTEM@HOST:PORT/silent" `+payload) + `timeout:{}`,
		deadlineExceeded, "remote send failed\nrequest timed out", ""},
	{"ask with a negative timeout", "internalpb.RemoteAskRequest",
		one(nobody+`receiver:"goakt://SYSTEM@HOST:PORT/silent" `+payload) + `timeout:{seconds:-1}`,
		deadlineExceeded, "remote send failed\nrequest timed out", ""},

	{"tell to no actor", "internalpb.RemoteTellRequest", one(nobody + `receiver:"goakt://SYSTEM@HOST:PORT/absent" ` + payload),
		notFound, "(actor address=goakt://SYSTEM@HOST:PORT/absent) address not found", ""},
	{"tell at another host", "internalpb.RemoteTellRequest", one(nobody + `receiver:"goakt://SYSTEM@127.0.0.9:PORT/echo" ` + payload),
		notFound, "(actor address=goakt://SYSTEM@127.0.0.9:PORT/echo) address not found", ""},
	{"tell to what is no address", "internalpb.RemoteTellRequest", one(nobody + `receiver:"goakt://SYSTEM@HOST:PORT" ` + payload),
		invalidArgument, "address format is invalid", ""},
	{"tell without a sender", "internalpb.RemoteTellRequest", one(toEcho + payload),
		internalError, "invalid remote message\naddress is required", ""},
	{"tell with a message of an unknown type", "internalpb.RemoteTellRequest",
		one(nobody + toEcho + `message:{type_url:"type.googleapis.com/nobody.Knows"}`),
		internalError, "invalid remote message\nproto: not found", ""},

	{"stop of no actor", "internalpb.RemoteStopRequest", here + `name:"absent"`,
		notFound, "(actor address=goakt://SYSTEM@HOST:PORT/absent) address not found", ""},
	{"stop of a reserved name", "internalpb.RemoteStopRequest", here + `name:"GoAktAnything"`,
		failedPrecondition, "(actor=GoAktAnything) actor not found", "actor not found"},
	{"stop at another host", "internalpb.RemoteStopRequest", `host:"127.0.0.9" port:PORT name:"echo"`,
		invalidArgument, "invalid host", "invalid host"},
	{"respawn of no actor", "internalpb.RemoteReSpawnRequest", here + `name:"absent"`,
		notFound, "(actor address=goakt://SYSTEM@HOST:PORT/absent) address not found", ""},
	{"respawn of a reserved name", "internalpb.RemoteReSpawnRequest", here + `name:"GoAktAnything"`,
		failedPrecondition, "(actor=GoAktAnything) actor not found", "actor not found"},
	{"respawn at another host", "internalpb.RemoteReSpawnRequest", `host:"127.0.0.9" port:PORT name:"echo"`,
		invalidArgument, "invalid host", "invalid host"},
	{"reinstate of no actor", "internalpb.RemoteReinstateRequest", here + `name:"absent"`,
		notFound, "(actor address=goakt://SYSTEM@HOST:PORT/absent) address not found", ""},
	{"reinstate of a reserved name", "internalpb.RemoteReinstateRequest", here + `name:"GoAktAnything"`,
		failedPrecondition, "(actor=GoAktAnything) actor not found", "actor not found"},
	{"reinstate at another host", "internalpb.RemoteReinstateRequest", `host:"127.0.0.9" port:PORT name:"echo"`,
		invalidArgument, "invalid host", "invalid host"},

	{"spawn at another host", "internalpb.RemoteSpawnRequest", `host:"127.0.0.9" port:PORT actor_name:"a" actor_type:"main.worker"`,
		invalidArgument, "invalid host", "invalid host"},
	{"spawn with a reserved name", "internalpb.RemoteSpawnRequest", here + `actor_name:"GoAktAnything" actor_type:"main.worker"`,
		failedPrecondition, "(actor=GoAktAnything) actor not found", "actor not found"},
	{"spawn of an unknown kind", "internalpb.RemoteSpawnRequest", here + `actor_name:"a" actor_type:"main.nobody"`,
		failedPrecondition, "actor type is not registered", "actor type is not registered"},
	{"spawn without a kind", "internalpb.RemoteSpawnRequest", here + `actor_name:"a"`,
		failedPrecondition, "actor type is not registered", "actor type is not registered"},
	{"spawn without a name", "internalpb.RemoteSpawnRequest", here + `actor_type:"main.worker"`,
		internalError, "the [name] is required", ""},
	{"spawn with a name of other characters", "internalpb.RemoteSpawnRequest", here + `actor_name:"a/b" actor_type:"main.worker"`,
		internalError, "", ""},
	{"spawn with a name that is too long", "internalpb.RemoteSpawnRequest",
		here + `actor_name:"` + strings.Repeat("a", 256) + `" actor_type:"main.worker"`,
		internalError, "actor name is too long. Maximum length is 255", ""},
	{"spawn that its actor refuses", "internalpb.RemoteSpawnRequest", here + `actor_name:"refused" actor_type:"main.refuser"`,
		internalError, "preStart failed\nrefusing to start", ""},
	{"spawn of a singleton", "internalpb.RemoteSpawnRequest", here + `actor_name:"a" actor_type:"main.worker" singleton:{}`,
		internalError, "cluster is not enabled", ""},
	{"spawn with an unknown dependency", "internalpb.RemoteSpawnRequest",
		here + `actor_name:"a" actor_type:"main.worker" dependencies:{id:"db" type_name:"main.db"}`,
		internalError, "dependency type is not registered", ""},

	{"grain without a grain", "internalpb.RemoteAskGrainRequest", payload,
		invalidArgument, "invalid host", "invalid host"},
	{"grain of an unknown kind", "internalpb.RemoteAskGrainRequest", grain("main.nobody/one") + payload + `request_timeout:{seconds:5}`,
		internalError, "grain type is not registered", "grain type is not registered"},
	{"grain with an invalid identity", "internalpb.RemoteAskGrainRequest", grain("nothing") + payload + `request_timeout:{seconds:5}`,
		invalidArgument, "invalid graind identity", ""},
	{"grain with a reserved name", "internalpb.RemoteAskGrainRequest", grain("main.tally/GoAktOne") + payload + `request_timeout:{seconds:5}`,
		failedPrecondition, "name=(main.tally/GoAktOne) actor name is reserved", "actor name is reserved"},
	{"tell to a grain of an unknown kind", "internalpb.RemoteTellGrainRequest", grain("main.nobody/one") + payload,
		internalError, "grain type is not registered", "grain type is not registered"},
	{"activation of a grain of an unknown kind", "internalpb.RemoteActivateGrainRequest", grain("main.nobody/one"),
		internalError, "grain type is not registered", "grain type is not registered"},

	{"kinds of a cluster", "internalpb.GetKindsRequest", `node_address:"HOST:PORT"`,
		failedPrecondition, "cluster is not enabled", "cluster is not enabled"},
	{"metric of a cluster", "internalpb.GetNodeMetricRequest", `node_address:"HOST:PORT"`,
		failedPrecondition, "cluster is not enabled", "cluster is not enabled"},
	{"state of a peer in a cluster", "internalpb.PersistPeerStateRequest", `peer_state:{host:"HOST"}`,
		failedPrecondition, "cluster is not enabled", "cluster is not enabled"},
}

// one is an ask or a tell of one message. Without a timeout an ask may take 5 s.
func one(message string) string { return "remote_messages:{" + message + "} " }

func grain(value string) string { return strings.ReplaceAll(grainAt, "VALUE", value) }

func errorChecks() []check {
	var checks []check
	for _, each := range refusals {
		checks = append(checks, check{name: each.name, run: func(ctx context.Context, x *target) error {
			return x.expectRefusal(ctx, each.request, each.text, each.code, each.goakt, each.must)
		}})
	}
	return append(checks, []check{
		{name: "deadline that passes", run: passingDeadline},
		{name: "headers that the propagator refuses", run: func(ctx context.Context, x *target) error {
			ctx = trace.WithRefusal(ctx, "not like this")
			_, err := x.ask(ctx, actors.EchoName, wrapperspb.String(""), askTimeout)
			return expectText(err, "invalid argument: not like this")
		}},
		{name: "a response instead of a request", run: responseAsRequest},
		{name: "a request of an unknown type", run: unknownRequest},
	}...)
}

func (x *target) fill(text string) string {
	return strings.NewReplacer("SYSTEM", x.system, "HOST", x.host, "PORT", strconv.Itoa(x.port)).Replace(text)
}

// parse reads a request in which SYSTEM, HOST and PORT are left to be filled in.
func (x *target) parse(request protoreflect.FullName, text string) (proto.Message, error) {
	return wire.Parse(request, x.fill(text))
}

func (x *target) expectRefusal(ctx context.Context, request protoreflect.FullName, text string, code int32, goakt, must string) error {
	message, err := x.parse(request, text)
	if err != nil {
		return err
	}
	response, err := x.raw(ctx, message)
	if err != nil {
		return err
	}
	gotCode, gotText, err := errorOf(response)
	if err != nil {
		return err
	}
	if gotCode != code {
		return fmt.Errorf("code %d %q, not %d", gotCode, gotText, code)
	}
	// Whether Go's protobuf puts a space or a no-break space into its errors depends on the binary.
	gotText = strings.ReplaceAll(gotText, "\u00a0", " ")
	if goakt = x.fill(goakt); !x.rakt && goakt != "" && gotText != goakt {
		return fmt.Errorf("text %q, not %q", gotText, goakt)
	}
	if !strings.Contains(gotText, must) {
		return fmt.Errorf("text %q, without %q", gotText, must)
	}
	return nil
}

// passingDeadline ends while the node works on the request, on both sides at once.
func passingDeadline(ctx context.Context, x *target) error {
	ctx, cancel := context.WithTimeout(ctx, shortTimeout)
	defer cancel()
	if _, err := x.ask(ctx, actors.SilentName, wrapperspb.String(""), askTimeout); err == nil {
		return errors.New("no error")
	}
	return nil
}

// responseAsRequest: GoAkt keeps silent and the connection open, rakt closes it.
func responseAsRequest(ctx context.Context, x *target) error {
	return x.expectDropped(ctx, wire.New("internalpb.RemoteTellResponse"), x.rakt)
}

// unknownRequest is one of a type that only this process knows.
func unknownRequest(ctx context.Context, x *target) error {
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name:        proto.String("unknown.proto"),
		Package:     proto.String("rakt.interop"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Unknown")}},
	}, nil)
	if err != nil {
		return err
	}
	return x.expectDropped(ctx, dynamicpb.NewMessage(file.Messages().Get(0)), true)
}

// expectDropped is for a request without a response, of which the other side closes the connection or does not.
func (x *target) expectDropped(ctx context.Context, request proto.Message, closed bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	response, err := x.raw(ctx, request)
	if err == nil {
		return fmt.Errorf("answered by %s", response.ProtoReflect().Descriptor().FullName())
	}
	// GoAkt's client sets the deadline on the socket as well.
	if timedOut := errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil; timedOut == closed {
		return fmt.Errorf("the other side should close: %t, but: %w", closed, err)
	}
	// A brotli stream that ends without its last byte is not at its end, but the connection is.
	if closed && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("closed otherwise than by the other side: %w", err)
	}
	return nil
}
