package state

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"apocryph/proto/status"
)

const layerVersion = 1

// Layers is the cache of encrypted layers, for sealing. Values are sealed under
// the state's key.
type Layers struct{ s *State }

// Layers returns the cache of encrypted layers.
func (s *State) Layers() *Layers { return &Layers{s} }

type layerRecord struct {
	Version int    `json:"version"`
	Sealed  []byte `json:"sealed"`
}

var keyPattern = regexp.MustCompile(`^[0-9a-f]{16,128}$`)

func (l *Layers) path(key string) string { return filepath.Join(l.s.dir, "layers", key+".json") }

func checkKey(key string) error {
	if !keyPattern.MatchString(key) {
		return status.New(status.InvalidArgument, "state.layer", "layer key: got %.80q, want hex digits", key)
	}
	return nil
}

// Get returns the value of a key, nil when it is unknown.
func (l *Layers) Get(key string) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	var r layerRecord
	err := l.s.readJSON(l.path(key), layerVersion, &r)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return l.s.box.open(r.Sealed, "layer "+key)
}

// Put sets the value of a key.
func (l *Layers) Put(key string, value []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	// A change takes milliseconds; there is no caller whose context could end it.
	release, err := l.s.change(context.Background())
	if err != nil {
		return err
	}
	defer release()
	sealed, err := l.s.box.seal(value, "layer "+key)
	if err != nil {
		return err
	}
	return l.s.writeJSON(l.path(key), layerRecord{Version: layerVersion, Sealed: sealed})
}

// Sweep calls keep for each entry and removes those for which it is false.
// Damaged entries, which are worth nothing, are removed; newer ones are left.
func (l *Layers) Sweep(keep func(key string, value []byte) bool) error {
	dir := filepath.Join(l.s.dir, "layers")
	all, err := os.ReadDir(dir)
	if err != nil {
		return l.s.diskError(err, dir)
	}
	for _, e := range all {
		key, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || checkKey(key) != nil {
			continue
		}
		value, err := l.Get(key)
		if status.ReasonOf(err) == "state.newer" || status.CodeOf(err) == status.NotFound || err == nil && value == nil {
			continue
		}
		if err == nil && keep(key, value) {
			continue
		}
		if err := os.Remove(l.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return l.s.diskError(err, dir)
		}
	}
	return nil
}

// Share waits until nobody removes sealed layers; several may share.
func (l *Layers) Share(ctx context.Context) (release func(), err error) {
	return l.s.wait(ctx, l.s.lockPath("layers"), false, func() {})
}

// Exclusive is for removing sealed layers; ok is false while anybody shares.
func (l *Layers) Exclusive() (release func(), ok bool, err error) {
	path := l.s.lockPath("layers")
	f, ok, err := tryLock(path, true)
	if err != nil {
		return nil, false, l.s.diskError(err, path)
	}
	if !ok {
		return nil, false, nil
	}
	return func() { f.Close() }, true, nil
}
