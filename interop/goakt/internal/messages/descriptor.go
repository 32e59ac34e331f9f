package messages

import (
	"reflect"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/runtime/protoimpl"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Package is the protobuf package of the messages here.
const Package = "rakt.interop"

// The protobuf types of the Go types that fields have.
var fieldTypes = map[reflect.Type]descriptorpb.FieldDescriptorProto_Type{
	reflect.TypeFor[string](): descriptorpb.FieldDescriptorProto_TYPE_STRING,
	reflect.TypeFor[[]byte](): descriptorpb.FieldDescriptorProto_TYPE_BYTES,
	reflect.TypeFor[uint32](): descriptorpb.FieldDescriptorProto_TYPE_UINT32,
	reflect.TypeFor[uint64](): descriptorpb.FieldDescriptorProto_TYPE_UINT64,
}

func init() {
	raw, err := proto.Marshal(describeFile())
	if err != nil {
		panic(err)
	}
	protoimpl.TypeBuilder{
		File: protoimpl.DescBuilder{
			GoPackagePath: reflect.TypeFor[Note]().PkgPath(),
			RawDescriptor: raw,
			NumMessages:   int32(len(all)),
		},
		GoTypes: all,
		// The five empty lists of references from one message to another.
		DependencyIndexes: make([]int32, 5),
		MessageInfos:      infos,
	}.Build()
}

func describeFile() *descriptorpb.FileDescriptorProto {
	file := &descriptorpb.FileDescriptorProto{
		Name:    proto.String("rakt/interop.proto"),
		Package: proto.String(Package),
		Syntax:  proto.String("proto3"),
	}
	for _, message := range all {
		file.MessageType = append(file.MessageType, describe(reflect.TypeOf(message).Elem()))
	}
	return file
}

func describe(message reflect.Type) *descriptorpb.DescriptorProto {
	described := &descriptorpb.DescriptorProto{Name: proto.String(message.Name())}
	for i := range message.NumField() {
		field := message.Field(i)
		described.Field = append(described.Field, &descriptorpb.FieldDescriptorProto{
			Name:   proto.String(strings.ToLower(field.Name)),
			Number: proto.Int32(fieldNumber(field)),
			Label:  descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			Type:   fieldTypes[field.Type].Enum(),
		})
	}
	return described
}

// fieldNumber is the second part of a field's tag.
func fieldNumber(field reflect.StructField) int32 {
	number, err := strconv.ParseInt(strings.Split(field.Tag.Get("protobuf"), ",")[1], 10, 32)
	if err != nil {
		panic(err)
	}
	return int32(number)
}
