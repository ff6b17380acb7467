package rpc

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/dynamicpb"

	"apocryph/proto/attestpb"
	"apocryph/proto/capacitypb"
	"apocryph/proto/contentpb"
	"apocryph/proto/discoverypb"
	"apocryph/proto/podpb"
	"apocryph/proto/statuspb"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGoldenFrames fixes the bytes of every message of the wire, as frames. The
// samples are made from the descriptors by a rule that a second implementation
// can follow (testdata/golden/README.md), so that no message can be forgotten.
func TestGoldenFrames(t *testing.T) {
	seen := make(map[string]bool)
	for _, file := range []protoreflect.FileDescriptor{
		attestpb.File_attest_proto, capacitypb.File_capacity_proto, contentpb.File_content_proto,
		discoverypb.File_discovery_proto, podpb.File_pod_proto, statuspb.File_status_proto,
	} {
		for i := range file.Messages().Len() {
			for name, msg := range samples(file.Messages().Get(i)) {
				path := filepath.Join("testdata", "golden", name+".hex")
				seen[path] = true
				golden(t, path, msg)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join("testdata", "golden", "*.hex"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if !seen[path] {
			t.Errorf("%s is of no message: numbers and names are append-only", path)
		}
	}
}

func golden(t *testing.T, path string, msg proto.Message) {
	t.Helper()
	frame, err := appendFrame(nil, 1<<20, msg)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, []byte(hex.EncodeToString(frame)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (new messages: run the test with -update)", err)
	}
	want, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(frame, want) {
		t.Errorf("%s: the bytes on the wire have changed\n got %x\nwant %x", path, frame, want)
	}
	back := dynamicpb.NewMessage(msg.ProtoReflect().Descriptor())
	if err := readFrame(bufio.NewReader(bytes.NewReader(want)), 1<<20, back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(msg, proto.Message(back), protocmp.Transform()); diff != "" {
		t.Errorf("%s: %s", path, diff)
	}
}

// samples are one message for each choice of each oneof, or one where there is none.
func samples(desc protoreflect.MessageDescriptor) map[string]proto.Message {
	out := make(map[string]proto.Message)
	for i := range desc.Oneofs().Len() {
		fields := desc.Oneofs().Get(i).Fields()
		for j := range fields.Len() {
			out[fmt.Sprintf("%s.%s", desc.Name(), fields.Get(j).Name())] = sample(desc, fields.Get(j))
		}
	}
	if len(out) == 0 {
		out[string(desc.Name())] = sample(desc, nil)
	}
	return out
}

// sample sets every field; of a oneof the chosen field, or else its first.
func sample(desc protoreflect.MessageDescriptor, chosen protoreflect.FieldDescriptor) *dynamicpb.Message {
	msg := dynamicpb.NewMessage(desc)
	for i := range desc.Fields().Len() {
		f := desc.Fields().Get(i)
		if o := f.ContainingOneof(); o != nil {
			pick := o.Fields().Get(0)
			if chosen != nil && chosen.ContainingOneof() == o {
				pick = chosen
			}
			if f != pick {
				continue
			}
		}
		if f.IsList() {
			list := msg.Mutable(f).List()
			list.Append(value(f, 0))
			list.Append(value(f, 1))
			continue
		}
		msg.Set(f, value(f, 0))
	}
	return msg
}

// value is made of the field's number n and the index k in a list.
func value(f protoreflect.FieldDescriptor, k int) protoreflect.Value {
	n := int(f.Number())*100 + k
	switch f.Kind() {
	case protoreflect.MessageKind:
		return protoreflect.ValueOfMessage(sample(f.Message(), nil))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(1)
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(fmt.Sprintf("s%d", n))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(fmt.Appendf(nil, "b%d", n))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(n))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(-int32(n))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(-int64(n))
	}
	panic("a kind that the wire has not used so far: " + f.Kind().String())
}
