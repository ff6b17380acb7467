package source

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
)

// digestDomain begins what is hashed, so that no other bytes of this project
// have the same digest, and has the version of the format.
const digestDomain = "apocryph/tree/1\x00"

// Check refuses links that lead out of the tree, as [Tree.Digest] and [Tree.Commit] do.
func (t *Tree) Check() error {
	if t.end != nil {
		return t.end
	}
	if err := t.check(); err != nil {
		return t.fail(err)
	}
	return nil
}

// Digest returns "sha256:" and the hexadecimal SHA-256 of the tree as it is on
// the disk. What is hashed is the text "apocryph/tree/1" and a zero byte, then
// a record for each entry but the root. In each directory, entries are in the
// order of the bytes of their names, and what is in a directory follows it
// immediately. A record is, with all numbers big-endian:
//
//	length of the path   4 bytes
//	path                 without a slash at the beginning or end
//	type                 1 byte: 'd' directory, 'f' file, 'l' symbolic link
//	executable           1 byte: 1 for a file of mode 0755, else 0
//	size                 8 bytes: of a file, else 0
//	contents             32 bytes: SHA-256 of a file's, else 0
//	length of the target 4 bytes: 0 but for a link
//	target               of a link, as it is written
//
// It does not depend on times, owners, the umask, the order of entries or the
// kind of archive. It also checks the links, as [Tree.Commit] does.
func (t *Tree) Digest() (string, error) {
	if err := t.Check(); err != nil {
		return "", err
	}
	sum, contents := sha256.New(), sha256.New()
	sum.Write([]byte(digestDomain))
	w := walker{visit: func(name string, info fs.FileInfo, dir *os.Root) error {
		r := record{name: name}
		var err error
		switch info.Mode().Type() {
		case fs.ModeDir:
			r.kind = 'd'
		case fs.ModeSymlink:
			r.kind = 'l'
			r.target, err = dir.Readlink(path.Base(name))
		case 0:
			r.kind, r.exec = 'f', info.Mode()&0o111 != 0
			contents.Reset()
			r.size, err = t.sum(contents, dir, path.Base(name))
			contents.Sum(r.contents[:0])
		default:
			err = fmt.Errorf("%q is %s", name, kindOf(info.Mode()))
		}
		r.write(sum)
		return err
	}}
	if err := w.walk(t.root, ""); err != nil {
		return "", hostError("hashing the tree", err)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}

func (t *Tree) sum(h hash.Hash, dir *os.Root, name string) (int64, error) {
	f, err := dir.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	// Only the two methods, so that the buffer is used.
	return io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, t.buf)
}

type record struct {
	name     string
	kind     byte
	exec     bool
	size     int64
	contents [sha256.Size]byte
	target   string
}

// write hashes the record; a hash never fails.
func (r *record) write(h hash.Hash) {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(r.name)))
	b = append(b, r.name...)
	b = append(b, r.kind, 0)
	if r.exec {
		b[len(b)-1] = 1
	}
	b = binary.BigEndian.AppendUint64(b, uint64(r.size))
	b = append(b, r.contents[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.target)))
	b = append(b, r.target...)
	h.Write(b)
}
