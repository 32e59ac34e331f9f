// Package wire makes GoAkt's own messages, whose Go types are internal to it but whose descriptors are not.
package wire

import (
	"fmt"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/tochemey/goakt/v3/remote" // registers them
)

// New returns an empty message with that full name.
func New(name protoreflect.FullName) proto.Message {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(name)
	if err != nil {
		panic(fmt.Sprintf("this version of GoAkt knows no %s: %v", name, err))
	}
	return kind.New().Interface()
}

// Parse returns the message with that full name which text describes, in protobuf's text format.
func Parse(name protoreflect.FullName, text string) (proto.Message, error) {
	message := New(name)
	if err := prototext.Unmarshal([]byte(text), message); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return message, nil
}

// Set gives a field of message a value.
func Set(message proto.Message, field protoreflect.Name, value protoreflect.Value) {
	message.ProtoReflect().Set(fieldOf(message, field), value)
}

// Get returns the value of a field of message.
func Get(message proto.Message, field protoreflect.Name) protoreflect.Value {
	return message.ProtoReflect().Get(fieldOf(message, field))
}

func fieldOf(message proto.Message, name protoreflect.Name) protoreflect.FieldDescriptor {
	field := message.ProtoReflect().Descriptor().Fields().ByName(name)
	if field == nil {
		panic(fmt.Sprintf("%s has no field %s", message.ProtoReflect().Descriptor().FullName(), name))
	}
	return field
}
