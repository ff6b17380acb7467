package artifacts

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"testing"

	"apocryph/proto/status"
)

func appendTo(t *testing.T, s *Store, id string, offset int64, part []byte) {
	t.Helper()
	n, err := s.Append(t.Context(), "team", id, offset, bytes.NewReader(part), nil)
	if err != nil || n != offset+int64(len(part)) {
		t.Fatalf("appending at %d: %d, %v", offset, n, err)
	}
}

// TestResume uploads in parts with a restart after each of them; the sizes are
// on both sides of the cipher's chunks.
func TestResume(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), Records: newBook()}
	want := noise(900_000)
	s, stop := start(t, cfg)
	id := create(t, s)
	if err := s.Begin(t.Context(), "team", id, -1); err != nil {
		t.Fatal(err)
	}
	var at int64
	for i, size := range []int{1, 64<<10 - prologue, 64 << 10, 300_000, 7} {
		appendTo(t, s, id, at, want[at:at+int64(size)])
		at += int64(size)
		stop()
		s, stop = start(t, cfg)
		if offset, length, err := s.Offset(t.Context(), "team", id); err != nil || offset != at || i < 3 && length != -1 || s.used != at {
			t.Fatalf("after a restart: %d of %d, %v; %d bytes used", offset, length, err, s.used)
		}
		if i == 3 {
			if err := s.Begin(t.Context(), "team", id, int64(len(want))); err != nil {
				t.Fatal(err)
			}
		}
	}
	appendTo(t, s, id, at, want[at:])
	a, err := s.Get(t.Context(), "team", id)
	if err != nil || !a.Complete || a.SHA256 != hexSum(want) {
		t.Fatalf("%+v, %v", a, err)
	}
	if !bytes.Equal(readBack(t, s, id), want) {
		t.Error("other bytes come back")
	}
	if _, err := s.Upload(t.Context(), "team", id, bytes.NewReader(want), nil); err != nil {
		t.Errorf("the same content as a whole: %v", err)
	}
	appendTo(t, s, id, a.Size, nil)
	_, err = s.Append(t.Context(), "team", id, a.Size, bytes.NewReader([]byte{1}), nil)
	wantReason(t, err, status.InvalidArgument, "upload.length")
}

func TestAppendRefused(t *testing.T) {
	s, cfg := fresh(t)
	id := create(t, s)
	_, err := s.Append(t.Context(), "team", id, 0, bytes.NewReader(nil), nil)
	wantReason(t, err, status.Conflict, "upload.not_begun")
	_, _, err = s.Offset(t.Context(), "team", id)
	wantReason(t, err, status.Conflict, "upload.not_begun")
	wantReason(t, s.Begin(t.Context(), "team", id, -2), status.InvalidArgument, "upload.length")
	wantReason(t, s.Begin(t.Context(), "team", id, defaultMaxBytes+1), status.InvalidArgument, "artifact.too_large")
	if err := s.Begin(t.Context(), "team", id, 100); err != nil {
		t.Fatal(err)
	}
	wantReason(t, s.Begin(t.Context(), "team", id, 99), status.Conflict, "upload.length")
	for _, again := range []int64{100, -1} {
		if err := s.Begin(t.Context(), "team", id, again); err != nil {
			t.Errorf("beginning again: %v", err)
		}
	}
	appendTo(t, s, id, 0, noise(40))
	before := len(files(t, cfg.Dir))
	sum := sha256.Sum256(noise(10))
	tests := map[string]struct {
		offset int64
		r      io.Reader
		want   map[string][]byte
		code   status.Code
		reason string
	}{
		"offset too low":       {39, bytes.NewReader(noise(1)), nil, status.Conflict, "upload.offset"},
		"offset too high":      {41, bytes.NewReader(noise(1)), nil, status.Conflict, "upload.offset"},
		"negative offset":      {-1, bytes.NewReader(noise(1)), nil, status.Conflict, "upload.offset"},
		"too long":             {40, bytes.NewReader(noise(61)), nil, status.InvalidArgument, "upload.length"},
		"digest":               {40, bytes.NewReader(noise(11)), map[string][]byte{SHA256: sum[:]}, status.InvalidArgument, "artifact.digest"},
		"broken at once":       {40, brokenReader{}, nil, status.Canceled, "upload.interrupted"},
		"broken with a digest": {40, io.MultiReader(bytes.NewReader(noise(9)), brokenReader{}), map[string][]byte{SHA256: sum[:]}, status.Canceled, "upload.interrupted"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n, err := s.Append(t.Context(), "team", id, tt.offset, tt.r, tt.want)
			wantReason(t, err, tt.code, tt.reason)
			if n != 40 || len(files(t, cfg.Dir)) != before || s.used != 40 {
				t.Errorf("offset %d, %d bytes used, files %v", n, s.used, files(t, cfg.Dir))
			}
		})
	}
	n, err := s.Append(t.Context(), "team", id, 40, bytes.NewReader(noise(10)), map[string][]byte{SHA256: sum[:]})
	if n != 50 || err != nil {
		t.Errorf("with its digest: %d, %v", n, err)
	}
}

func TestInterruptedAppendIsKept(t *testing.T) {
	s, _ := fresh(t)
	id := create(t, s)
	want := noise(2*blockSize + 100)
	if err := s.Begin(t.Context(), "team", id, int64(len(want))); err != nil {
		t.Fatal(err)
	}
	n, err := s.Append(t.Context(), "team", id, 0, io.MultiReader(bytes.NewReader(want[:blockSize+5]), brokenReader{}), nil)
	wantReason(t, err, status.Canceled, "upload.interrupted")
	if n != blockSize+5 || !errors.Is(err, errBroken) {
		t.Fatalf("%d bytes are kept: %v", n, err)
	}
	appendTo(t, s, id, n, want[n:])
	if !bytes.Equal(readBack(t, s, id), want) {
		t.Error("other bytes come back")
	}
}

// TestUploadReplacesParts checks that a failed upload leaves the parts alone.
func TestUploadReplacesParts(t *testing.T) {
	s, cfg := fresh(t)
	id := create(t, s)
	if err := s.Begin(t.Context(), "team", id, -1); err != nil {
		t.Fatal(err)
	}
	appendTo(t, s, id, 0, noise(50))
	_, err := s.Upload(t.Context(), "team", id, io.MultiReader(bytes.NewReader(noise(99)), brokenReader{}), nil)
	wantReason(t, err, status.Canceled, "upload.interrupted")
	if offset, _, err := s.Offset(t.Context(), "team", id); offset != 50 || err != nil {
		t.Fatalf("%d, %v", offset, err)
	}
	if _, err := s.Upload(t.Context(), "team", id, bytes.NewReader(noise(99)), nil); err != nil {
		t.Fatal(err)
	}
	if got := len(files(t, cfg.Dir)); got != 2 || s.used != 99 {
		t.Errorf("%d files, %d bytes used", got, s.used)
	}
}

func TestEmptyByLength(t *testing.T) {
	s, _ := fresh(t)
	id := create(t, s)
	if err := s.Begin(t.Context(), "team", id, 0); err != nil {
		t.Fatal(err)
	}
	if a, err := s.Get(t.Context(), "team", id); err != nil || !a.Complete || a.SHA256 != hexSum(nil) {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestHashStateOfAnotherVersion has the content hashed again.
func TestHashStateOfAnotherVersion(t *testing.T) {
	s, _ := fresh(t)
	id := create(t, s)
	want := noise(200_000)
	if err := s.Begin(t.Context(), "team", id, int64(len(want))); err != nil {
		t.Fatal(err)
	}
	appendTo(t, s, id, 0, want[:150_000])
	st, err := s.loadState(id)
	if err != nil {
		t.Fatal(err)
	}
	st.hash = []byte("another form")
	if err := s.saveState(id, st); err != nil {
		t.Fatal(err)
	}
	appendTo(t, s, id, 150_000, want[150_000:])
	if a, err := s.Get(t.Context(), "team", id); err != nil || a.SHA256 != hexSum(want) {
		t.Errorf("%+v, %v", a, err)
	}
}
