package tpm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

func response(rc tpm2.TPMRC) []byte {
	b := []byte{0x80, 0x01, 0, 0, 0, headerSize}
	return binary.BigEndian.AppendUint32(b, uint32(rc))
}

// scripted is a device file that answers each write with the next response.
type scripted struct {
	answers [][]byte
	writes  int
}

func (s *scripted) Write(b []byte) (int, error) { s.writes++; return len(b), nil }

func (s *scripted) Read(b []byte) (int, error) {
	if len(s.answers) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.answers[0])
	s.answers = s.answers[1:]
	return n, nil
}

func TestBusyTPM(t *testing.T) {
	ok, busy := response(tpm2.TPMRCSuccess), response(tpm2.TPMRCRetry)
	dev := &scripted{answers: [][]byte{busy, response(tpm2.TPMRCTesting), response(tpm2.TPMRCYielded), ok}}
	got, err := patient(fileExchange(dev))(t.Context(), []byte("command"))
	if err != nil || !bytes.Equal(got, ok) || dev.writes != 4 {
		t.Errorf("got %x, %v after %d writes", got, err, dev.writes)
	}
	// Errors are not repeated.
	dev = &scripted{answers: [][]byte{response(tpm2.TPMRCFailure), ok}}
	if got, err := patient(fileExchange(dev))(t.Context(), nil); err != nil || bytes.Equal(got, ok) {
		t.Errorf("got %x, %v", got, err)
	}
	// Nobody waits for ever, nor after giving up.
	send := exchange(func(context.Context, []byte) ([]byte, error) { return busy, nil })
	if got, err := patient(send)(t.Context(), nil); err != nil || !bytes.Equal(got, busy) {
		t.Errorf("always busy: got %x, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := patient(send)(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: got %v", err)
	}
}

func TestBrokenFile(t *testing.T) {
	for name, dev := range map[string]*scripted{
		"nothing": {}, "too little": {answers: [][]byte{{1, 2, 3}}}, "empty": {answers: [][]byte{{}}},
	} {
		if got, err := fileExchange(dev)(t.Context(), nil); err == nil {
			t.Errorf("%s: got %x", name, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dev := &scripted{answers: [][]byte{response(0)}}
	if _, err := fileExchange(dev)(ctx, nil); !errors.Is(err, context.Canceled) || dev.writes != 0 {
		t.Errorf("given up: got %v after %d writes", err, dev.writes)
	}
}

func TestBrokenSocket(t *testing.T) {
	long := response(0)
	binary.BigEndian.PutUint32(long[2:], maxResponse+1)
	short := response(0)
	binary.BigEndian.PutUint32(short[2:], headerSize-1)
	cut := response(0)
	binary.BigEndian.PutUint32(cut[2:], headerSize+5)
	for name, answer := range map[string][]byte{"too long": long, "too short": short, "cut": cut, "no header": {1}, "nothing": nil} {
		dir, err := os.MkdirTemp("", "t")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 64))
			_, _ = conn.Write(answer)
			_ = conn.Close()
		}()
		if got, err := socketExchange(path)(t.Context(), []byte("command")); err == nil {
			t.Errorf("%s: got %x", name, got)
		}
		_ = l.Close()
		<-done
	}
}

func TestSplitDER(t *testing.T) {
	one, two := []byte{0x30, 0x01, 0x05}, []byte{0x30, 0x00}
	for name, tt := range map[string]struct {
		in   []byte
		want int
	}{
		"one": {one, 1}, "two": {append(bytes.Clone(one), two...), 2},
		"padded with ones": {append(bytes.Clone(one), 0xff, 0xff, 0xff), 1}, "padded with zeros": {append(bytes.Clone(one), 0, 0, 0), 1},
		"cut": {one[:2], 0}, "none": {nil, 0}, "noise": {[]byte("noise"), 0},
	} {
		if got := splitDER(tt.in); len(got) != tt.want {
			t.Errorf("%s: got %d, want %d", name, len(got), tt.want)
		}
	}
}

func FuzzSplitBlob(f *testing.F) {
	f.Add([]byte(sealTag + "\x00\x01a\x00\x01b"))
	f.Add([]byte(sealTag))
	f.Fuzz(func(t *testing.T, b []byte) {
		public, private, err := splitBlob(b)
		if err == nil && len(sealTag)+2+len(public)+2+len(private) != len(b) {
			t.Errorf("took %q for %q and %q", b, public, private)
		}
		splitDER(b)
	})
}
