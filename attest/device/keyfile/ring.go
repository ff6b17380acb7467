package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"apocryph/proto/status"
)

// ErrOther is what a ring's open returns for a blob that is sealed to another
// state than that of now, or by another device.
var ErrOther = errors.New("sealed to another state")

// maxKeys bounds a ring: the states that a machine goes through. Each start
// tries them all.
const maxKeys = 32

// Ring is the sealed keys of a machine that changes its state, each of which
// opens in the state that it was made in. None is ever replaced or removed: who
// goes back to an earlier state finds its key. They are the files Name, Name.2,
// Name.3 and so on in Dir.
type Ring struct{ Dir, Name string }

// Open returns the key of the newest blob that open opens. Where it returns
// [ErrOther] for every one, create makes another, and the key for it. Any other
// error of open ends the search: a device that does not answer says nothing
// about its state. More than 32 keys are resource_exhausted, "keyfile.ring".
func (r Ring) Open(create func() (blob, key []byte, err error), open func(blob []byte) ([]byte, error)) ([]byte, error) {
	n := 0
	for n < maxKeys {
		_, err := Read(r.path(n + 1))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, err
		}
		n++
	}
	for i := n; i > 0; i-- {
		blob, err := Read(r.path(i))
		if err != nil {
			return nil, err
		}
		key, err := open(blob)
		if !errors.Is(err, ErrOther) {
			return key, err
		}
	}
	if n == maxKeys {
		return nil, status.New(status.ResourceExhausted, "keyfile.ring", "%s keeps the keys of %d states of this machine, and none is that of now", filepath.Base(r.Dir), n).
			WithHint("move the files %s* of states that will not come back away; what they opened is lost then", r.Name)
	}
	var made []byte
	blob, err := ReadOrCreate(r.path(n+1), func() ([]byte, error) {
		blob, key, err := create()
		made = key
		return blob, err
	})
	if err != nil {
		return nil, err
	}
	// What counts is what the file has: another process may have been first.
	key, err := open(blob)
	if err != nil {
		clear(made)
		return nil, fmt.Errorf("opening the key that was just sealed: %w", err)
	}
	return key, nil
}

func (r Ring) path(n int) string {
	if n == 1 {
		return filepath.Join(r.Dir, r.Name)
	}
	return filepath.Join(r.Dir, r.Name+"."+strconv.Itoa(n))
}
