package containerd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"

	"apocryph/provider"
	"apocryph/provider/containerd/attendant"
)

// phase is how far the making or the unmaking of an instance is.
type phase string

const (
	// making is written before the first thing of an instance exists, so that
	// whatever a crash leaves behind belongs to a record.
	making phase = "making"
	made   phase = "made"
	// removing is written before the first thing is deleted.
	removing phase = "removing"
)

// record is what the runtime knows of an instance, in a file of its own. It
// holds no secret: environment and arguments are in containerd's database.
type record struct {
	ID        provider.InstanceID
	Pod       provider.PodID
	Publisher provider.PublisherID
	Phase     phase
	// IP is the instance's address, UIDs the first of its range of user ids.
	IP      netip.Addr
	UIDs    uint32
	Secrets []string `json:",omitempty"`
	// Offline instances have no link.
	Offline    bool `json:",omitempty"`
	Containers []containerRecord
}

type containerRecord struct {
	Name string
	// ID is the id in containerd.
	ID string
	// Image is the digest of the image's configuration.
	Image string
	// StopSignal is the image's; empty means SIGTERM.
	StopSignal string `json:",omitempty"`
}

func (r *record) namespace() string { return namespaceOf(r.Publisher) }

func (r *record) container(name string) (containerRecord, bool) {
	for _, c := range r.Containers {
		if c.Name == name {
			return c, true
		}
	}
	return containerRecord{}, false
}

// saveRecord makes a record durable.
func saveRecord(l layout, r *record) error {
	if err := mkdir(l.instance(r.ID), 0o711, 0); err != nil {
		return fmt.Errorf("making the instance's directory: %w", err)
	}
	if err := attendant.SyncDir(l.instances()); err != nil {
		return err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return attendant.WriteFile(l.record(r.ID), data, 0o600)
}

// loadRecords reads all records. A directory without a readable record is one
// whose making or unmaking was cut short at its very end; it is reported by its
// name alone.
func loadRecords(l layout) (map[provider.InstanceID]*record, []provider.InstanceID, error) {
	entries, err := os.ReadDir(l.instances())
	if err != nil {
		return nil, nil, fmt.Errorf("listing instances: %w", err)
	}
	records := map[provider.InstanceID]*record{}
	var bare []provider.InstanceID
	for _, e := range entries {
		id := provider.InstanceID(e.Name())
		data, err := os.ReadFile(l.record(id))
		if errors.Is(err, fs.ErrNotExist) {
			bare = append(bare, id)
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("reading instance %s: %w", id, err)
		}
		var r record
		if err := json.Unmarshal(data, &r); err != nil || r.ID != id {
			return nil, nil, fmt.Errorf("reading instance %s: its record is damaged: %w", id, err)
		}
		records[id] = &r
	}
	return records, bare, nil
}
