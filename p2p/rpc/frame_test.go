package rpc

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"apocryph/proto/contentpb"
	"apocryph/proto/podpb"
	"apocryph/proto/status"
)

const testLimit = 1 << 16

func FuzzFrame(f *testing.F) {
	good, err := appendFrame(nil, testLimit, &podpb.PodRequest{Call: &podpb.PodRequest_Status{Status: &podpb.GetPod{Name: "web"}}})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{good, good[:3], {}, {0}, {0x80, 0x00}, {0xff, 0xff, 0x7f}, bytes.Repeat([]byte{0xff}, 12), {2, 0xff, 0xff}, append(bytes.Clone(good), good...)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		for {
			msg := new(podpb.PodRequest)
			err := readFrame(r, testLimit, msg)
			var bad *badFrame
			switch {
			case err == nil:
			case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &bad):
				return
			default:
				t.Fatalf("unexpected error %v", err)
			}
			again, err := appendFrame(nil, 2*testLimit, msg)
			if err != nil {
				t.Fatal(err)
			}
			back := new(podpb.PodRequest)
			if err := readFrame(bufio.NewReader(bytes.NewReader(again)), 2*testLimit, back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(msg, back, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
		}
	})
}

// TestLengthAloneCostsLittle: memory follows the bytes that come.
func TestLengthAloneCostsLittle(t *testing.T) {
	var largest int
	r := readerFunc(func(p []byte) (int, error) {
		largest = max(largest, len(p))
		return 0, io.ErrUnexpectedEOF
	})
	if _, err := readBody(r, 1<<30); err == nil {
		t.Fatal("no error")
	}
	if largest > firstAlloc {
		t.Errorf("%d bytes were allocated before any came", largest)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestFrameOverLimitIsNotSent(t *testing.T) {
	msg := &podpb.GetPod{Name: "0123456789"}
	for limit, want := range map[int]error{12: nil, 11: errFrameTooLarge} {
		if _, err := appendFrame(nil, limit, msg); !errors.Is(err, want) {
			t.Errorf("limit %d: %v, want %v", limit, err, want)
		}
	}
}

// TestErrorField: every response has one, in a oneof or not.
func TestErrorField(t *testing.T) {
	refusal := status.New(status.NotFound, "x", "no such thing")
	for _, res := range []proto.Message{(*podpb.PodResponse)(nil), (*contentpb.ContentResponse)(nil)} {
		if err := errorOf(errorFrame(res, refusal, testLimit)); status.CodeOf(err) != status.NotFound {
			t.Errorf("%T: %v", res, err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a message without a field error was taken")
		}
	}()
	errorField((*podpb.GetPod)(nil))
}
