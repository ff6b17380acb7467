package vault

import (
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// benchBytes is written and synced, then read from the disk.
const benchBytes = 256 << 20

// BenchmarkVault compares encrypted storage with the rest of its own file
// system, which is not, and with the disk below.
func BenchmarkVault(b *testing.B) {
	v := open(b, Config{Dir: tempDir(b), Size: 1 << 30})
	vol := volume(b, v, "vol", testKey(1), 1<<30)
	for _, bm := range []struct{ name, dir string }{
		{"private", v.Path()},
		{"volume", vol.Path},
		{"loop without encryption", filepath.Dir(v.Path())},
		{"disk", v.dirs.dir},
	} {
		b.Run(bm.name, func(b *testing.B) {
			path := filepath.Join(bm.dir, "bench")
			buf := make([]byte, 1<<20)
			rand.Read(buf)
			b.Run("write", func(b *testing.B) {
				b.SetBytes(benchBytes)
				for b.Loop() {
					f, err := os.Create(path)
					if err != nil {
						b.Fatal(err)
					}
					for range benchBytes / len(buf) {
						if _, err := f.Write(buf); err != nil {
							b.Fatal(err)
						}
					}
					if err := errors.Join(f.Sync(), f.Close()); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("read", func(b *testing.B) {
				b.SetBytes(benchBytes)
				for b.Loop() {
					b.StopTimer()
					f, err := os.Open(path)
					if err != nil {
						b.Fatal(err)
					}
					if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
					n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, buf)
					if err := errors.Join(err, f.Close()); err != nil || n != benchBytes {
						b.Fatal(n, err)
					}
				}
			})
			b.Run("fsync", func(b *testing.B) {
				f, err := os.Create(path + "-small")
				if err != nil {
					b.Fatal(err)
				}
				defer f.Close()
				for b.Loop() {
					if _, err := f.Write(buf[:4096]); err != nil {
						b.Fatal(err)
					}
					if err := f.Sync(); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("files", func(b *testing.B) {
				dir := path + "-files"
				for b.Loop() {
					if err := os.Mkdir(dir, 0o700); err != nil {
						b.Fatal(err)
					}
					for i := range 1000 {
						if err := os.WriteFile(filepath.Join(dir, string(rune('a'+i%26))+rand.Text()), buf[:4096], 0o600); err != nil {
							b.Fatal(err)
						}
					}
					if err := os.RemoveAll(dir); err != nil {
						b.Fatal(err)
					}
				}
			})
			if err := os.Remove(path); err != nil {
				b.Fatal(err)
			}
		})
	}
}
