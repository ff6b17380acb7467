package providertest

import (
	"bytes"
	"context"
	"sync"
)

// Documents are documents by name in memory. Values are copied on the way in and out.
type Documents struct {
	mu   sync.Mutex
	all  map[string][]byte
	fail error
}

// NewDocuments are none.
func NewDocuments() *Documents { return &Documents{all: map[string][]byte{}} }

// Put stores a document, or answers what [Documents.Fail] was given.
func (d *Documents) Put(_ context.Context, name string, value []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return d.fail
	}
	d.all[name] = bytes.Clone(value)
	return nil
}

// All returns every document.
func (d *Documents) All(context.Context) (map[string][]byte, error) { return d.copies(), nil }

// Delete forgets a document, if there is one.
func (d *Documents) Delete(_ context.Context, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.all, name)
	return nil
}

// Fail has every Put end with an error from now on; nil takes it back.
func (d *Documents) Fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = err
}

// Get is a document, nil where there is none.
func (d *Documents) Get(name string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return bytes.Clone(d.all[name])
}

// Len is how many there are.
func (d *Documents) Len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.all)
}

// Clone are the documents as they are now, for going back to them.
func (d *Documents) Clone() *Documents { return &Documents{all: d.copies()} }

func (d *Documents) copies() map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[string][]byte, len(d.all))
	for name, value := range d.all {
		out[name] = bytes.Clone(value)
	}
	return out
}
