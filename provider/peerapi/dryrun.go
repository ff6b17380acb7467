package peerapi

import (
	"apocryph/manifest"
	"apocryph/proto/podpb"
	"apocryph/provider"
)

// maxChanges bounds the changes of one answer: a manifest may have thousands of
// fields, whose paths and values have less than 1.5 KiB each, and an offer of 64
// KiB goes with them.
const maxChanges = 128

var changeKinds = map[manifest.ChangeKind]podpb.ChangeKind{
	manifest.Added:   podpb.ChangeKind_CHANGE_KIND_ADDED,
	manifest.Removed: podpb.ChangeKind_CHANGE_KIND_REMOVED,
	manifest.Changed: podpb.ChangeKind_CHANGE_KIND_CHANGED,
}

func dryRunToWire(d *provider.DryRunResult) *podpb.DryRunResult {
	if d == nil {
		return nil
	}
	w := &podpb.DryRunResult{Replaces: d.Replaces, Offer: d.Signed.ToWire()}
	for _, c := range d.Changes[:min(len(d.Changes), maxChanges)] {
		w.Changes = append(w.Changes, &podpb.ManifestChange{Field: c.Field, Kind: changeKinds[c.Kind], Old: c.Old, New: c.New})
	}
	w.More = uint32(len(d.Changes) - len(w.Changes))
	return w
}
