package state

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"time"

	"apocryph/publisher"
)

const (
	// rememberFor is how long an activation is remembered. What it proved stays
	// true, but a state that was once written to by somebody else does not count for
	// ever.
	rememberFor = 24 * time.Hour
	// maxMachines bounds the files, against providers that each show another TPM.
	maxMachines    = 1024
	machineVersion = 1
)

// machine is one TPM, machines/HEX.json with HEX its endorsement key's
// fingerprint.
type machine struct {
	Version int       `json:"version"`
	AKName  string    `json:"ak_name"`
	Seen    time.Time `json:"seen"`
}

// Machines is a [publisher.Machines].
type Machines struct{ s *State }

var _ publisher.Machines = Machines{}

// Machines remembers activated attestation keys.
func (s *State) Machines() Machines { return Machines{s} }

func (m Machines) path(ek [32]byte) string {
	return filepath.Join(m.s.dir, "machines", hex.EncodeToString(ek[:])+".json")
}

// Activated reports whether both keys were remembered within the last day. What
// cannot be read was not.
func (m Machines) Activated(ek [32]byte, akName []byte) bool {
	var have machine
	if err := m.s.readJSON(m.path(ek), machineVersion, &have); err != nil {
		return false
	}
	name, err := hex.DecodeString(have.AKName)
	age := m.s.now().Sub(have.Seen)
	return err == nil && len(akName) > 0 && bytes.Equal(name, akName) && age >= 0 && age < rememberFor
}

// Remember notes that one TPM was shown to hold both keys. While it is
// remembered it is not written again.
func (m Machines) Remember(ek [32]byte, akName []byte) error {
	if m.Activated(ek, akName) {
		return nil
	}
	if err := m.prune(); err != nil {
		return err
	}
	return m.s.writeJSON(m.path(ek), machine{machineVersion, hex.EncodeToString(akName), m.s.now().UTC()})
}

// prune forgets all of them when there are too many: each costs one activation.
func (m Machines) prune() error {
	dir := filepath.Join(m.s.dir, "machines")
	all, err := os.ReadDir(dir)
	if err != nil {
		return m.s.diskError(err, dir)
	}
	if len(all) < maxMachines {
		return nil
	}
	for _, e := range all {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !os.IsNotExist(err) {
			return m.s.diskError(err, dir)
		}
	}
	return nil
}
