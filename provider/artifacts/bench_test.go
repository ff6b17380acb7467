package artifacts

import (
	"bytes"
	"io"
	"testing"
)

// BenchmarkUpload is one artifact of 256 MiB to the disk, synced; allocations
// are those of an upload, not of its size.
func BenchmarkUpload(b *testing.B) {
	s, _ := start(b, Config{Dir: b.TempDir(), Records: newBook()})
	piece := noise(1 << 20)
	const size = 256 << 20
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		id := create(b, s)
		r := io.LimitReader(&endless{piece: piece}, size)
		if _, err := s.Upload(b.Context(), "team", id, r, nil); err != nil {
			b.Fatal(err)
		}
		if err := s.Delete(b.Context(), "team", id); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead is sequential, as downloads are.
func BenchmarkRead(b *testing.B) {
	s, _ := start(b, Config{Dir: b.TempDir(), Records: newBook()})
	id := create(b, s)
	want := noise(64 << 20)
	if _, err := s.Upload(b.Context(), "team", id, bytes.NewReader(want), nil); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(want)))
	b.ReportAllocs()
	for b.Loop() {
		c, err := s.Open(b.Context(), "team", id)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{c}, make([]byte, 32<<10)); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

type endless struct {
	piece []byte
	at    int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.piece[e.at:])
	e.at = (e.at + n) % len(e.piece)
	return n, nil
}
