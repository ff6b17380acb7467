package peerapi

import (
	"fmt"

	"apocryph/attest/tlog"
	"apocryph/proto/attestpb"
	"apocryph/proto/podpb"
	"apocryph/proto/status"
	"apocryph/provider"
)

// maxLeaves bounds the leaves of a request: each is looked for and proven.
const maxLeaves = 16

// treeFromWire is nil for a caller who does not ask. A size beyond all trees is
// no fault: the head says what there is.
func treeFromWire(w *attestpb.TreeRequest) (*provider.TreeRequest, *status.Fault) {
	if w == nil {
		return nil, nil
	}
	r := &provider.TreeRequest{Size: w.GetSize()}
	if w.GetSize() < 0 {
		return nil, &status.Fault{Field: "tree.size", Got: fmt.Sprint(w.GetSize()), Want: "0 or more"}
	}
	if n := len(w.GetLeaves()); n > maxLeaves {
		return nil, &status.Fault{Field: "tree.leaves", Got: fmt.Sprint(n), Want: fmt.Sprintf("at most %d", maxLeaves)}
	}
	for i, leaf := range w.GetLeaves() {
		if len(leaf) != len(tlog.Hash{}) {
			return nil, &status.Fault{Field: fmt.Sprintf("tree.leaves[%d]", i), Got: bytesText(len(leaf)), Want: bytesText(len(tlog.Hash{}))}
		}
		r.Leaves = append(r.Leaves, tlog.Hash(leaf))
	}
	return r, nil
}

func treeToWire(t *provider.TreeAnswer) *attestpb.TreeAnswer {
	if t == nil {
		return nil
	}
	return &attestpb.TreeAnswer{Head: t.Head, Consistency: t.Consistency, Inclusions: t.Inclusions, Entry: t.Entry, Inclusion: t.Inclusion}
}

func releaseToWire(r *provider.ReleaseProof) *podpb.KeyRelease {
	if r == nil {
		return nil
	}
	return &podpb.KeyRelease{At: r.At.UnixMilli(), Salt: r.Salt[:], Head: r.Head, Inclusion: r.Inclusion, Consistency: r.Consistency}
}
