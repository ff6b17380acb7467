package builds

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"apocryph/proto/status"
)

const (
	// maxHead and maxTail are what is kept of a log, in bytes: its beginning and
	// its end. A build may write without end.
	maxHead = 512 << 10
	maxTail = 512 << 10
	// maxLine is where a line is broken for those who follow.
	maxLine = 4 << 10
)

const omitted = "\n[the middle of this log is left out]\n"

// buildLog keeps the beginning and the end of what a build writes, and tells of
// each line.
type buildLog struct {
	mu         sync.Mutex
	head, tail []byte
	// cut says that something between the two is gone.
	cut  bool
	line []byte
	tell func(line string)
}

func (l *buildLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keep(p)
	for rest := p; len(rest) > 0; {
		n := bytes.IndexByte(rest, '\n')
		end := n >= 0
		if !end {
			n = len(rest)
		}
		n = min(n, maxLine-len(l.line))
		l.line = append(l.line, rest[:n]...)
		rest = rest[n:]
		if len(rest) > 0 && rest[0] == '\n' {
			rest = rest[1:]
		} else if len(l.line) < maxLine {
			break
		}
		l.flush()
	}
	return len(p), nil
}

func (l *buildLog) keep(p []byte) {
	n := min(len(p), maxHead-len(l.head))
	l.head = append(l.head, p[:n]...)
	l.tail = append(l.tail, p[n:]...)
	// Cut at twice the bound, so that bytes are moved once and not with each line.
	if len(l.tail) > 2*maxTail {
		l.tail, l.cut = append([]byte(nil), l.tail[len(l.tail)-maxTail:]...), true
	}
}

func (l *buildLog) flush() {
	text := strings.TrimSuffix(strings.ToValidUTF8(string(l.line), "\uFFFD"), "\r")
	l.line = l.line[:0]
	l.tell(text)
}

// end tells of a last line without its end.
func (l *buildLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.line) > 0 {
		l.flush()
	}
}

// text is what is kept.
func (l *buildLog) text() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.joined()
}

// told is what is kept of the lines that were told of. The caller holds l.mu.
func (l *buildLog) told() []byte {
	out := l.joined()
	if len(l.line) == 0 {
		return out
	}
	return out[:bytes.LastIndexByte(out, '\n')+1]
}

func (l *buildLog) joined() []byte {
	out := bytes.Clone(l.head)
	tail, cut := l.tail, l.cut
	if len(tail) > maxTail {
		tail, cut = tail[len(tail)-maxTail:], true
	}
	if cut {
		out = append(out, omitted...)
	}
	return append(out, tail...)
}

// seal writes a file of a build, for the key that is in its record: beside it, on a
// disk that its owner can read, a log may have anything in it. AES-256-GCM with a
// random nonce (a build writes a few files); the name is authenticated.
func seal(dir, name string, key, plain []byte) error {
	aead, err := newAEAD(key)
	if err != nil {
		return fmt.Errorf("sealing %s: %w", name, err)
	}
	return replace(dir, name, aead.Seal(nil, nil, plain, []byte(name)))
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// unseal reads such a file; one that is not there is empty.
func unseal(dir, name string, key []byte) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	plain, err := aead.Open(nil, nil, b, []byte(name))
	if err != nil {
		return nil, status.New(status.Internal, "internal", "the file %s of a build was changed", name)
	}
	return plain, nil
}

// replace writes a file whole or not at all.
func replace(dir, name string, b []byte) error {
	f, err := os.CreateTemp(dir, ".new-")
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, errors.Join(err, os.Remove(f.Name())))
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
