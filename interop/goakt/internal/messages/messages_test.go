package messages

import (
	"encoding/hex"
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

func TestMessagesOnTheWire(t *testing.T) {
	for name, test := range map[string]struct {
		message proto.Message
		hex     string
	}{
		"rakt.interop.Note":         {&Note{Sender: "a", Number: 300}, "0a016110ac02"},
		"rakt.interop.Count":        {&Count{Notes: 1, Violations: 2}, "08011002"},
		"rakt.interop.Delay":        {&Delay{Millis: 5, Payload: []byte{7}}, "0805120107"},
		"rakt.interop.Outcome":      {&Outcome{Id: "i", Error: "e"}, "0a01691a0165"},
		"rakt.interop.TraceRequest": {&TraceRequest{}, ""},
	} {
		packed, err := anypb.New(test.message)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(packed.GetValue()); got != test.hex {
			t.Errorf("%s: %s on the wire, want %s", name, got, test.hex)
		}
		if got := packed.GetTypeUrl(); got != "type.googleapis.com/"+name {
			t.Errorf("%s has the type URL %s", name, got)
		}
		back, err := packed.UnmarshalNew()
		if err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(back, test.message) {
			t.Errorf("%s: %v came back as %v", name, test.message, back)
		}
	}
}

func TestEveryMessageIsWhatItIsNumberedAs(t *testing.T) {
	for _, message := range all {
		want := reflect.TypeOf(message).Elem().Name()
		if got := message.(proto.Message).ProtoReflect().Descriptor().Name(); string(got) != want {
			t.Errorf("%s is described as %s", want, got)
		}
	}
}
