package seal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"apocryph/p2p/oci"

	"github.com/containers/ocicrypt/blockcipher"
	"github.com/opencontainers/go-digest"
)

const (
	// chunk is the bytes that are encrypted, hashed and written at a time.
	chunk = 512 << 10
	// chunks is how many of them are in flight between encrypting and writing.
	chunks = 4
)

// verifying is a reader that fails by itself when its bytes do not have the
// digest that it returns; hashing them again would only cost time.
type verifying interface{ Verifies() string }

// encrypt writes a layer's ciphertext as a blob and remembers it.
func (s *Sealer) encrypt(ctx context.Context, l oci.Layer, source string, advance func(int64)) (entry, error) {
	where := fmt.Sprintf("layer %s of %s", l.Digest, source)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rc, err := l.Open(ctx)
	if err != nil {
		return entry{}, fmt.Errorf("opening %s: %w", where, err)
	}
	defer rc.Close()
	var in io.Reader = rc
	if v, ok := rc.(verifying); !ok || v.Verifies() != l.Digest {
		in = oci.Verify(rc, l.Digest, l.Size, where)
	}
	cipher, err := blockcipher.NewLayerBlockCipherHandler()
	if err != nil {
		return entry{}, fmt.Errorf("preparing cipher: %w", err)
	}
	out, finish, err := cipher.Encrypt(in, blockcipher.AES256CTR)
	if err != nil {
		return entry{}, fmt.Errorf("preparing cipher: %w", err)
	}
	f, err := s.create(s.tempDir())
	if err != nil {
		return entry{}, s.diskError(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	sum, index := sha256.New(), s.cfg.Index()
	size, err := s.pump(ctx, cancel, f, io.MultiWriter(sum, index), out, min(chunk, max(l.Size, 1)), advance)
	if err != nil {
		return entry{}, fmt.Errorf("encrypting %s: %w", where, err)
	}
	opts, err := finish()
	if err != nil {
		return entry{}, fmt.Errorf("encrypting %s: %w", where, err)
	}
	opts.Private.Digest = digest.Digest(l.Digest)
	e := entry{Version: entryVersion, Digest: "sha256:" + hex.EncodeToString(sum.Sum(nil)), Size: size, Used: s.cfg.Now()}
	if e.Private, err = json.Marshal(opts.Private); err != nil {
		return entry{}, fmt.Errorf("encoding layer key: %w", err)
	}
	if e.Public, err = json.Marshal(opts.Public); err != nil {
		return entry{}, fmt.Errorf("encoding cipher options: %w", err)
	}
	if err := s.commit(f, &e, cacheKey(l)); err != nil {
		return entry{}, err
	}
	if err := index.Commit(ctx, s.cfg.BlobPath(e.Digest), e.Digest); err != nil {
		return entry{}, fmt.Errorf("indexing %s: %w", where, err)
	}
	return e, nil
}

// commit makes the blob durable under its name. The cache learns of it first:
// killed in between, there is an entry without a file, which is a miss, and
// never a file that nobody would remove.
func (s *Sealer) commit(f file, e *entry, key string) error {
	if err := f.Sync(); err != nil {
		return s.diskError(err)
	}
	info, err := f.Stat()
	if err != nil {
		return s.diskError(err)
	}
	if err := f.Close(); err != nil {
		return s.diskError(err)
	}
	e.Modified = info.ModTime().UnixNano()
	if err := s.remember(key, *e); err != nil {
		return s.diskError(err)
	}
	to := s.cfg.BlobPath(e.Digest)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return s.diskError(err)
	}
	if err := os.Rename(f.Name(), to); err != nil {
		return s.diskError(err)
	}
	if err := syncDir(filepath.Dir(to)); err != nil {
		return s.diskError(err)
	}
	return nil
}

// piece is a chunk of ciphertext, or how it ended.
type piece struct {
	data []byte
	err  error
}

// pump encrypts on one goroutine and hashes and writes on this one, with fixed
// memory between them, chunks buffers of each bytes. It has joined the other when it returns; cancel is what
// makes a reader that waits for the network give up.
func (s *Sealer) pump(ctx context.Context, cancel func(), f file, sums io.Writer, r io.Reader, each int64, advance func(int64)) (int64, error) {
	free, full := make(chan []byte, chunks), make(chan piece, chunks)
	for range chunks {
		free <- make([]byte, each)
	}
	go func() {
		defer close(full)
		for {
			select {
			case <-ctx.Done():
				full <- piece{err: context.Cause(ctx)}
				return
			case buf := <-free:
				n, err := r.Read(buf)
				full <- piece{data: buf[:n], err: err}
				if err != nil {
					return
				}
			}
		}
	}()
	var (
		total  int64
		failed error
	)
	for p := range full {
		if failed != nil {
			continue
		}
		if len(p.data) > 0 {
			// Hashes take everything.
			_, _ = sums.Write(p.data)
			if _, err := f.Write(p.data); err != nil {
				failed = s.diskError(err)
				cancel()
				continue
			}
			total += int64(len(p.data))
			advance(int64(len(p.data)))
		}
		if p.err != nil && p.err != io.EOF {
			failed = p.err
			continue
		}
		if p.err == nil {
			free <- p.data[:each]
		}
	}
	return total, failed
}
