package artifacts

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"apocryph/proto/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// book is the records of a test; step may refuse a change.
type book struct {
	mu   sync.Mutex
	all  map[string]Artifact
	step func(op, name string) error
}

func newBook() *book {
	return &book{all: map[string]Artifact{}, step: func(string, string) error { return nil }}
}

func (b *book) SaveArtifact(_ context.Context, a Artifact) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.step("save", a.ID); err != nil {
		return err
	}
	b.all[a.ID] = clone(a)
	return nil
}

func (b *book) Artifacts(context.Context) ([]Artifact, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []Artifact
	for _, a := range b.all {
		list = append(list, a)
	}
	return list, nil
}

func (b *book) DeleteArtifact(_ context.Context, id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.step("delete", id); err != nil {
		return err
	}
	delete(b.all, id)
	return nil
}

var identityOnce = sync.OnceValues(NewIdentity)

func identity(t testing.TB) string {
	t.Helper()
	id, err := identityOnce()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// start runs a store until stop is called or the test ends.
func start(t testing.TB, cfg Config) (s *Store, stop func()) {
	t.Helper()
	if cfg.Identity == "" {
		cfg.Identity = identity(t)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-done:
		cancel()
		t.Fatalf("running: %v", err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

func fresh(t testing.TB) (*Store, Config) {
	t.Helper()
	cfg := Config{Dir: filepath.Join(t.TempDir(), "artifacts"), Records: newBook()}
	s, _ := start(t, cfg)
	return s, cfg
}

func create(t testing.TB, s *Store) string {
	t.Helper()
	a, err := s.Create(t.Context(), "team", "app", "", "alice", nil)
	if err != nil {
		t.Fatal(err)
	}
	return a.ID
}

// noise is reproducible content.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func wantReason(t testing.TB, err error, code status.Code, reason string) {
	t.Helper()
	if status.CodeOf(err) != code || status.ReasonOf(err) != reason {
		t.Errorf("got %s %q (%v), want %s %q", status.CodeOf(err), status.ReasonOf(err), err, code, reason)
	}
}

func readBack(tb testing.TB, s *Store, id string) []byte {
	tb.Helper()
	c, err := s.Open(tb.Context(), "team", id)
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// files lists all files below a directory, without the store's mark.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != markName {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestUpload(t *testing.T) {
	s, cfg := fresh(t)
	for _, size := range []int{0, 1, blockSize - 1, blockSize, 5*blockSize + 7, 64<<10 - prologue} {
		id := create(t, s)
		want := noise(size)
		a, err := s.Upload(t.Context(), "team", id, bytes.NewReader(want), nil)
		if err != nil {
			t.Fatal(err)
		}
		if !a.Complete || a.Size != int64(size) || a.SHA256 != hexSum(want) || a.Completed.IsZero() {
			t.Errorf("%d bytes: %+v", size, a)
		}
		if !bytes.Equal(readBack(t, s, id), want) {
			t.Errorf("%d bytes come back as others", size)
		}
		again, err := s.Upload(t.Context(), "team", id, bytes.NewReader(want), nil)
		if diff := cmp.Diff(a, again); err != nil || diff != "" {
			t.Errorf("the repeat: %v %s", err, diff)
		}
		for _, other := range [][]byte{append(bytes.Clone(want), 1), append([]byte{9, 9}, want...)[:max(size, 1)], want[:size/2]} {
			if bytes.Equal(other, want) {
				continue
			}
			_, err := s.Upload(t.Context(), "team", id, bytes.NewReader(other), nil)
			wantReason(t, err, status.Conflict, "artifact.differs")
		}
	}
	for _, f := range files(t, cfg.Dir) {
		if info, _ := os.Stat(f); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s", f, info.Mode())
		}
	}
}

func TestUploadRefused(t *testing.T) {
	want := noise(1000)
	sum := sha256.Sum256(want)
	tests := []struct {
		name   string
		r      io.Reader
		digest map[string][]byte
		code   status.Code
		reason string
	}{
		{"too large", bytes.NewReader(noise(4097)), nil, status.InvalidArgument, "artifact.too_large"},
		{"digest", bytes.NewReader(noise(999)), map[string][]byte{SHA256: sum[:]}, status.InvalidArgument, "artifact.digest"},
		{"one of two digests", bytes.NewReader(want), map[string][]byte{SHA256: sum[:], SHA512: make([]byte, 64)}, status.InvalidArgument, "artifact.digest"},
		{"short digest", bytes.NewReader(want), map[string][]byte{SHA256: sum[:5]}, status.InvalidArgument, "artifact.digest"},
		{"unknown digest", bytes.NewReader(want), map[string][]byte{"md5": make([]byte, 16)}, status.InvalidArgument, "artifact.digest"},
		{"broken", io.MultiReader(bytes.NewReader(want), brokenReader{}), nil, status.Canceled, "upload.interrupted"},
		{"silent", silentReader{}, nil, status.Canceled, "upload.interrupted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Config{Dir: t.TempDir(), Records: newBook(), MaxBytes: 4096}
			s, _ := start(t, cfg)
			id := create(t, s)
			_, err := s.Upload(t.Context(), "team", id, tt.r, tt.digest)
			wantReason(t, err, tt.code, tt.reason)
			if left := files(t, cfg.Dir); len(left) > 0 || s.used != 0 {
				t.Errorf("left: %v, %d bytes", left, s.used)
			}
			if _, err := s.Upload(t.Context(), "team", id, bytes.NewReader(want), map[string][]byte{SHA256: sum[:]}); err != nil {
				t.Errorf("the next upload: %v", err)
			}
		})
	}
}

var errBroken = errors.New("the client is gone")

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }

type silentReader struct{}

func (silentReader) Read([]byte) (int, error) { return 0, nil }

func TestOthersDoNotSee(t *testing.T) {
	s, _ := fresh(t)
	id := create(t, s)
	for ns, unknown := range map[string]string{"other": id, "team": newID(), "": id, "tea": id, AnyNamespace: "../" + id} {
		_, getErr := s.Get(t.Context(), ns, unknown)
		_, upErr := s.Upload(t.Context(), ns, unknown, strings.NewReader("x"), nil)
		_, appErr := s.Append(t.Context(), ns, unknown, 0, strings.NewReader("x"), nil)
		_, _, offErr := s.Offset(t.Context(), ns, unknown)
		_, openErr := s.Open(t.Context(), ns, unknown)
		for _, err := range []error{getErr, upErr, appErr, offErr, openErr, s.Begin(t.Context(), ns, unknown, 1), s.Hold(ns, unknown, "rev"), s.Delete(t.Context(), ns, unknown)} {
			wantReason(t, err, status.NotFound, "artifact.unknown")
		}
	}
	if list, _ := s.List(t.Context(), "other"); len(list) != 0 {
		t.Errorf("another namespace lists %v", list)
	}
	if _, err := s.Get(t.Context(), AnyNamespace, id); err != nil {
		t.Errorf("the operator: %v", err)
	}
}

func TestCreateRefused(t *testing.T) {
	s, _ := fresh(t)
	many := map[string]string{}
	for i := range maxLabels + 1 {
		many[strings.Repeat("k", i+1)] = ""
	}
	tests := map[string]struct {
		ns, name, media, by string
		labels              map[string]string
	}{
		"no name":          {"team", "", "", "", nil},
		"long name":        {"team", strings.Repeat("n", 256), "", "", nil},
		"control in name":  {"team", "a\nb", "", "", nil},
		"invalid utf-8":    {"team", "a\xff", "", "", nil},
		"direction change": {"team", "a\u202eb", "", "", nil},
		"no namespace":     {"", "a", "", "", nil},
		"any namespace":    {AnyNamespace, "a", "", "", nil},
		"media type":       {"team", "a", "text", "", nil},
		"header injection": {"team", "a", "text/plain\r\nSet-Cookie: a", "", nil},
		"creator":          {"team", "a", "", "a\x00", nil},
		"many labels":      {"team", "a", "", "", many},
		"long label":       {"team", "a", "", "", map[string]string{"k": strings.Repeat("v", 256)}},
		"empty label key":  {"team", "a", "", "", map[string]string{"": "v"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := s.Create(t.Context(), tt.ns, tt.name, tt.media, tt.by, tt.labels)
			wantReason(t, err, status.InvalidArgument, "artifact.invalid")
		})
	}
	_, err := s.Create(t.Context(), "", "", "x", "", nil)
	var e *status.Error
	if !errors.As(err, &e) || len(e.Faults) != 3 {
		t.Errorf("want three faults at once: %v", err)
	}
	a, err := s.Create(t.Context(), "team", "ünïcode 1.0", "Text/Plain; Charset=utf-8", "", map[string]string{"a": "b"})
	if err != nil || a.ContentType != "text/plain; charset=utf-8" || !isID(a.ID) || a.ID[14] != '4' {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestLimits(t *testing.T) {
	s, _ := start(t, Config{Dir: t.TempDir(), Records: newBook(), MaxPerNamespace: 2, MaxTotal: 1000, MaxUploads: 4})
	first, second := create(t, s), create(t, s)
	_, err := s.Create(t.Context(), "team", "third", "", "", nil)
	wantReason(t, err, status.ResourceExhausted, "artifact.too_many")
	if _, err := s.Create(t.Context(), "other", "a", "", "", nil); err != nil {
		t.Error(err)
	}
	if _, err := s.Upload(t.Context(), "team", first, bytes.NewReader(noise(900)), nil); err != nil {
		t.Fatal(err)
	}
	_, err = s.Upload(t.Context(), "team", second, bytes.NewReader(noise(101)), nil)
	wantReason(t, err, status.ResourceExhausted, "artifact.store_full")
	wantReason(t, s.Begin(t.Context(), "team", second, 101), status.ResourceExhausted, "artifact.store_full")
	if err := s.Delete(t.Context(), "team", first); err != nil {
		t.Fatal(err)
	}
	if _, err = s.Upload(t.Context(), "team", second, bytes.NewReader(noise(1000)), nil); err != nil || s.used != 1000 {
		t.Errorf("after a deletion: %v, %d bytes", err, s.used)
	}

	third := create(t, s)
	r, w := io.Pipe()
	started, done := make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := s.Upload(t.Context(), "team", third, io.MultiReader(signal{started}, r), nil)
		done <- err
	}()
	<-started
	_, err = s.Upload(t.Context(), "team", third, strings.NewReader("x"), nil)
	wantReason(t, err, status.Conflict, "artifact.busy")
	var e *status.Error
	if errors.As(err, &e); e.RetryAfter == 0 {
		t.Error("busy without a time to retry")
	}
	wantReason(t, s.Delete(t.Context(), "team", third), status.Conflict, "artifact.busy")
	_, err = s.Upload(t.Context(), "team", second, strings.NewReader("x"), nil)
	wantReason(t, err, status.ResourceExhausted, "upload.too_many")
	w.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// signal is an empty reader that tells when it is read.
type signal struct{ c chan struct{} }

func (s signal) Read([]byte) (int, error) { close(s.c); return 0, io.EOF }

func TestHoldsAndDelete(t *testing.T) {
	s, cfg := fresh(t)
	id := create(t, s)
	wantReason(t, s.Hold("team", id, "rev 1"), status.Conflict, "artifact.not_uploaded")
	_, err := s.Open(t.Context(), "team", id)
	wantReason(t, err, status.Conflict, "artifact.not_uploaded")
	want := noise(3 * blockSize)
	if _, err := s.Upload(t.Context(), "team", id, bytes.NewReader(want), nil); err != nil {
		t.Fatal(err)
	}
	for _, owner := range []string{"rev 1", "rev 2"} {
		if err := s.Hold("team", id, owner); err != nil {
			t.Fatal(err)
		}
	}
	err = s.Delete(t.Context(), "team", id)
	wantReason(t, err, status.Conflict, "artifact.in_use")
	if !strings.Contains(err.Error(), "rev 1, rev 2") {
		t.Errorf("owners are not named: %v", err)
	}
	s.Release(id, "rev 1")
	wantReason(t, s.Delete(t.Context(), "team", id), status.Conflict, "artifact.in_use")
	s.Release(id, "rev 2")
	c, err := s.Open(t.Context(), "team", id)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), "team", id); err != nil {
		t.Fatal(err)
	}
	_, err = s.Get(t.Context(), "team", id)
	wantReason(t, err, status.NotFound, "artifact.unknown")
	if b, err := io.ReadAll(c); err != nil || !bytes.Equal(b, want) {
		t.Errorf("read after deletion: %v", err)
	}
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Error(err)
	}
	if _, err := c.ReadAt(make([]byte, 1), 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	if left := files(t, cfg.Dir); len(left) > 0 || s.used != 0 {
		t.Errorf("left: %v, %d bytes", left, s.used)
	}
}

func TestListOrder(t *testing.T) {
	var now atomic.Int64
	s, _ := start(t, Config{Dir: t.TempDir(), Records: newBook(), Now: func() time.Time { return time.Unix(now.Load(), 0) }})
	var want []string
	for range 3 {
		now.Add(1)
		want = append(want, create(t, s))
	}
	list, err := s.List(t.Context(), AnyNamespace)
	var got []string
	for _, a := range list {
		got = append(got, a.ID)
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}
