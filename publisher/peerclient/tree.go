package peerclient

import (
	"time"

	"apocryph/proto/attestpb"
	"apocryph/proto/podpb"
	"apocryph/publisher"
)

func treeToWire(r *publisher.TreeRequest) *attestpb.TreeRequest {
	if r == nil {
		return nil
	}
	w := &attestpb.TreeRequest{Size: r.Size}
	for _, leaf := range r.Leaves {
		w.Leaves = append(w.Leaves, leaf[:])
	}
	return w
}

// treeFromWire leaves every part as it came: the checks have the caps.
func treeFromWire(w *attestpb.TreeAnswer) *publisher.TreeAnswer {
	if w == nil {
		return nil
	}
	return &publisher.TreeAnswer{Head: w.GetHead(), Consistency: w.GetConsistency(), Inclusions: w.GetInclusions(), Entry: w.GetEntry(), Inclusion: w.GetInclusion()}
}

func releaseFromWire(w *podpb.KeyRelease) (*publisher.ReleaseProof, error) {
	if w == nil {
		return nil, nil
	}
	r := &publisher.ReleaseProof{At: time.UnixMilli(w.GetAt()).UTC(), Head: w.GetHead(), Inclusion: w.GetInclusion(), Consistency: w.GetConsistency()}
	if copy(r.Salt[:], w.GetSalt()) != len(r.Salt) || len(w.GetSalt()) != len(r.Salt) {
		return nil, badAnswer("a salt of another size")
	}
	return r, nil
}
