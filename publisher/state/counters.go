package state

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"apocryph/attest/verify"
	"apocryph/proto/status"
	"apocryph/publisher"
)

const (
	// maxCounters bounds the files, against providers that each show another TPM,
	// or one TPM with ever new keys.
	maxCounters    = 1024
	counterVersion = 1
	// maxAKName is the size of a name with SHA-512 (TPM 2.0 Part 2, 10.5.3), in
	// bytes; maxEpoch bounds what claims say of their boot.
	maxAKName, maxEpoch = 66, 64
)

// counterRecord is one attestation key of one provider, counters/HASH.json.
type counterRecord struct {
	Version      int       `json:"version"`
	Provider     string    `json:"provider"`
	AKName       string    `json:"ak_name"`
	BootEpoch    string    `json:"boot_epoch"`
	ResetCount   uint32    `json:"reset_count"`
	RestartCount uint32    `json:"restart_count"`
	Seen         time.Time `json:"seen"`
}

// Counters is a [publisher.Counters].
type Counters struct{ s *State }

var _ publisher.Counters = Counters{}

// Counters remembers the TPMs' counters.
func (s *State) Counters() Counters { return Counters{s} }

func (c Counters) path(of publisher.ProviderID, akName []byte) string {
	return filepath.Join(c.s.dir, "counters", hashName(string(of)+" "+hex.EncodeToString(akName))+".json")
}

// ChangeSeen does so under the lock for changes; it is durable when it returns
// nil. A damaged file is an error and not nothing: counters that were forgotten
// can be put back unnoticed.
func (c Counters) ChangeSeen(ctx context.Context, of publisher.ProviderID, akName []byte, change func(*verify.Seen) error) error {
	var faults []status.Fault
	if !providerPattern.MatchString(string(of)) {
		faults = append(faults, status.Fault{Field: "provider", Got: hex.EncodeToString([]byte(of[:min(len(of), 80)])), Want: "a peer id"})
	}
	if len(akName) == 0 || len(akName) > maxAKName {
		faults = append(faults, status.Fault{Field: "ak_name", Got: hex.EncodeToString(akName[:min(len(akName), maxAKName)]), Want: "1 to 66 bytes"})
	}
	if len(faults) > 0 {
		return status.Invalid("state.counters", "counters", faults)
	}
	release, err := c.s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	path := c.path(of, akName)
	var r counterRecord
	var seen verify.Seen
	err = c.s.readJSON(path, counterVersion, &r)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := c.prune(); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		epoch, err := hex.DecodeString(r.BootEpoch)
		if err != nil || r.Provider != string(of) || r.AKName != hex.EncodeToString(akName) {
			return status.New(status.InvalidArgument, "state.corrupt", "%s is damaged", path).
				WithHint("move the file away; the machine's counters are then taken as it shows them next")
		}
		seen = verify.Seen{AKName: akName, BootEpoch: epoch, ResetCount: r.ResetCount, RestartCount: r.RestartCount}
	}
	if err := change(&seen); err != nil {
		return err
	}
	if len(seen.BootEpoch) > maxEpoch {
		return status.New(status.InvalidArgument, "state.counters", "boot epoch: got %d bytes, want at most %d", len(seen.BootEpoch), maxEpoch)
	}
	next := counterRecord{
		Version: counterVersion, Provider: string(of), AKName: hex.EncodeToString(akName), BootEpoch: hex.EncodeToString(seen.BootEpoch),
		ResetCount: seen.ResetCount, RestartCount: seen.RestartCount, Seen: r.Seen,
	}
	if next == r {
		return nil
	}
	next.Seen = c.s.now().UTC()
	return c.s.writeJSON(path, next)
}

// prune makes room for one more by forgetting the one that changed longest ago.
func (c Counters) prune() error {
	dir := filepath.Join(c.s.dir, "counters")
	all, err := os.ReadDir(dir)
	if err != nil {
		return c.s.diskError(err, dir)
	}
	var oldest string
	var when time.Time
	count := 0
	for _, e := range all {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		count++
		info, err := e.Info()
		if err != nil {
			return c.s.diskError(err, dir)
		}
		if oldest == "" || info.ModTime().Before(when) {
			oldest, when = e.Name(), info.ModTime()
		}
	}
	if count < maxCounters {
		return nil
	}
	if err := os.Remove(filepath.Join(dir, oldest)); err != nil {
		return c.s.diskError(err, dir)
	}
	return nil
}
