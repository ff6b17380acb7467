package artifacts

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"apocryph/proto/status"
)

// TestNoPlaintextOnDisk looks for the content, name and labels in each file.
func TestNoPlaintextOnDisk(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), Records: newBook()}
	s, _ := start(t, cfg)
	const canary = "the-canary-in-the-artifact"
	want := []byte(strings.Repeat(canary+" ", 20_000))
	whole, parts := create(t, s), create(t, s)
	if _, err := s.Upload(t.Context(), "team", whole, bytes.NewReader(want), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Begin(t.Context(), "team", parts, -1); err != nil {
		t.Fatal(err)
	}
	appendTo(t, s, parts, 0, want[:100_000])
	appendTo(t, s, parts, 100_000, want[100_000:])
	all := files(t, cfg.Dir)
	if len(all) != 5 {
		t.Fatalf("files: %q", all)
	}
	identityKey := s.identity.Recipient().String()
	for _, f := range all {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("canary")) || bytes.Contains(b, []byte("team")) || bytes.Contains(b, []byte(identityKey)) || !bytes.HasPrefix(b, []byte("age-encryption.org/v1\n")) {
			t.Errorf("%s has plaintext", f)
		}
	}
}

// TestTamperedFiles has the disk's owner change, cut and exchange files.
func TestTamperedFiles(t *testing.T) {
	segmentOf := func(t *testing.T, dir, id string) string {
		found, err := filepath.Glob(filepath.Join(dir, id, "0*.age"))
		if err != nil || len(found) != 1 {
			t.Fatalf("%q, %v", found, err)
		}
		return found[0]
	}
	edit := func(t *testing.T, path string, change func([]byte) []byte) {
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, change(b), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	moved := func(t *testing.T, from, to string) {
		edit(t, to, func([]byte) []byte {
			b, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			return b
		})
	}
	tests := map[string]func(t *testing.T, dir, id, other string){
		"a bit of the content": func(t *testing.T, dir, id, _ string) {
			edit(t, segmentOf(t, dir, id), func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		},
		"cut within a chunk": func(t *testing.T, dir, id, _ string) {
			edit(t, segmentOf(t, dir, id), func(b []byte) []byte { return b[:len(b)-1] })
		},
		"cut at a chunk": func(t *testing.T, dir, id, _ string) {
			edit(t, segmentOf(t, dir, id), func(b []byte) []byte { return b[:len(b)-(64<<10+16)] })
		},
		"longer": func(t *testing.T, dir, id, _ string) {
			edit(t, segmentOf(t, dir, id), func(b []byte) []byte { return append(b, 0) })
		},
		"another artifact's segment": func(t *testing.T, dir, id, other string) {
			moved(t, segmentOf(t, dir, other), segmentOf(t, dir, id))
		},
		"another artifact's state": func(t *testing.T, dir, id, other string) {
			moved(t, filepath.Join(dir, other, stateName), filepath.Join(dir, id, stateName))
		},
		"no segment": func(t *testing.T, dir, id, _ string) { os.Remove(segmentOf(t, dir, id)) },
		"no state":   func(t *testing.T, dir, id, _ string) { os.Remove(filepath.Join(dir, id, stateName)) },
		"a link out of the store": func(t *testing.T, dir, id, _ string) {
			path := segmentOf(t, dir, id)
			os.Rename(path, filepath.Join(t.TempDir(), "segment"))
			if err := os.Symlink("/etc/passwd", path); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, tamper := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Dir: t.TempDir(), Records: newBook()}
			s, stop := start(t, cfg)
			id, other := create(t, s), create(t, s)
			for _, a := range []string{id, other} {
				if _, err := s.Upload(t.Context(), "team", a, bytes.NewReader(noise(300_000)), nil); err != nil {
					t.Fatal(err)
				}
			}
			tamper(t, cfg.Dir, id, other)
			for range 2 {
				c, err := s.Open(t.Context(), "team", id)
				if err == nil {
					_, err = io.ReadAll(c)
					c.Close()
				}
				wantReason(t, err, status.Internal, "artifact.damaged")
				if _, err := s.Get(t.Context(), "team", id); err != nil {
					t.Errorf("the record is gone: %v", err)
				}
				stop()
				s, stop = start(t, cfg)
			}
			readBack(t, s, other)
		})
	}
}

// TestWrongIdentity must not take a store for damaged and remove it.
func TestWrongIdentity(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), Records: newBook()}
	s, stop := start(t, cfg)
	id := create(t, s)
	if err := s.Begin(t.Context(), "team", id, -1); err != nil {
		t.Fatal(err)
	}
	appendTo(t, s, id, 0, noise(10))
	stop()
	before := len(files(t, cfg.Dir))
	other, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	wrong, foreign := cfg, Config{Dir: t.TempDir(), Identity: other, Records: newBook()}
	wrong.Identity = other
	if err := os.Mkdir(filepath.Join(foreign.Dir, newID()), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]Config{"another identity": wrong, "not a store": foreign} {
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Run(t.Context()); err == nil {
			t.Errorf("%s is opened", name)
		}
		_, err = s.Get(t.Context(), "team", id)
		wantReason(t, err, status.Unavailable, "artifact.closed")
	}
	if after := len(files(t, cfg.Dir)); after != before {
		t.Errorf("%d files of %d are left", after, before)
	}
	if _, err := New(Config{Dir: t.TempDir(), Identity: "AGE-SECRET-KEY-1SECRET", Records: newBook()}); err == nil || strings.Contains(err.Error(), "SECRET-KEY-1S") {
		t.Errorf("a wrong key: %v", err)
	}
}

func TestStaleUploads(t *testing.T) {
	dir, records := t.TempDir(), newBook()
	key := identity(t)
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{Dir: dir, Identity: key, Records: records, StaleAfter: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		<-s.Ready()
		never, begun, whole := create(t, s), create(t, s), create(t, s)
		if err := s.Begin(t.Context(), "team", begun, -1); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Upload(t.Context(), "team", whole, strings.NewReader("x"), nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Minute) // the bubble's clock
		appendTo(t, s, begun, 0, noise(5))
		time.Sleep(50 * time.Minute)
		synctest.Wait()
		_, err = s.Get(t.Context(), "team", never)
		wantReason(t, err, status.NotFound, "artifact.unknown")
		if _, err := s.Get(t.Context(), "team", begun); err != nil {
			t.Errorf("one that goes on: %v", err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		_, err = s.Get(t.Context(), "team", begun)
		wantReason(t, err, status.NotFound, "artifact.unknown")
		if _, err := s.Get(t.Context(), "team", whole); err != nil || len(records.all) != 1 || s.used != 1 {
			t.Errorf("a complete one: %v, %d records, %d bytes", err, len(records.all), s.used)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestReadAt reads at random places of more segments than are kept open, from
// several goroutines.
func TestReadAt(t *testing.T) {
	s, _ := fresh(t)
	id := create(t, s)
	want := noise(2000)
	if err := s.Begin(t.Context(), "team", id, int64(len(want))); err != nil {
		t.Fatal(err)
	}
	for at := int64(0); at < int64(len(want)); at += 100 {
		appendTo(t, s, id, at, want[at:at+100])
	}
	c, err := s.Open(t.Context(), "team", id)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				off := (i*37 + g*501) % len(want)
				buf := make([]byte, (i*53)%450)
				n, err := c.ReadAt(buf, int64(off))
				end := min(off+len(buf), len(want))
				if !bytes.Equal(buf[:n], want[off:end]) || (err == io.EOF) != (n < len(buf)) || err != nil && err != io.EOF {
					t.Errorf("%d bytes at %d: %d, %v", len(buf), off, n, err)
				}
			}
		})
	}
	wg.Wait()
	buf := make([]byte, 10)
	for _, seek := range []struct {
		off    int64
		whence int
		at     int64
	}{{-10, io.SeekEnd, 1990}, {5, io.SeekStart, 5}, {100, io.SeekCurrent, 115}} {
		if at, err := c.Seek(seek.off, seek.whence); err != nil || at != seek.at {
			t.Errorf("seeking: %d, %v, want %d", at, err, seek.at)
		}
		if _, err := io.ReadFull(c, buf); err != nil || !bytes.Equal(buf, want[seek.at:seek.at+10]) {
			t.Errorf("other bytes at %d: %v", seek.at, err)
		}
	}
	if _, err := c.ReadAt(buf, -1); err == nil || err == io.EOF {
		t.Errorf("a negative offset: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
