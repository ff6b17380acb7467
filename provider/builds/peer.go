package builds

import (
	"context"
	"strings"
	"time"

	"apocryph/proto/status"
	"apocryph/provider"
)

// peerPrefix begins the namespaces of publishers who come over libp2p. No namespace of
// the API has a colon.
const peerPrefix = "peer:"

const (
	// maxQueuedPerPeer and maxQueuedOfPeers bound the builds that wait of one
	// publisher and of all: an identity costs nothing, and the rest of the queue is
	// for namespaces that the operator knows.
	maxQueuedPerPeer = 4
	maxQueuedOfPeers = 16
	// HeldFor is how long what was built for a publisher waits for its pod.
	HeldFor = 30 * time.Minute
	// maxHeldPerPeer and maxHeldOfPeers bound what is held: the oldest ones make
	// room. Each has an image on the disk.
	maxHeldPerPeer = 4
	maxHeldOfPeers = 64
)

// PeerNamespace is the namespace of a publisher who comes over libp2p.
func PeerNamespace(id provider.PublisherID) string { return peerPrefix + string(id) }

// peerOf is the publisher whose namespace it is.
func peerOf(namespace string) (provider.PublisherID, bool) {
	id, ok := strings.CutPrefix(namespace, peerPrefix)
	return provider.PublisherID(id), ok
}

// limits are how many builds may wait of a namespace, and of all whose builds compete
// with it.
func limits(ns string) (own, all int, counts func(other string) bool) {
	if _, ok := peerOf(ns); ok {
		return maxQueuedPerPeer, maxQueuedOfPeers, func(other string) bool { return strings.HasPrefix(other, peerPrefix) }
	}
	return maxQueuedPerNamespace, maxQueued, func(string) bool { return true }
}

// Drop gives up a build and what it made. One that waits or runs is cancelled. An
// image that a pod has stays the pod's. Unknown and foreign are not_found
// "build.unknown".
func (q *Queue) Drop(ctx context.Context, namespace, id string) error {
	j, err := q.find(namespace, id)
	if err != nil {
		return err
	}
	if !j.get().Status.Ended() {
		if _, err := q.Cancel(ctx, namespace, id); err != nil && status.ReasonOf(err) != "build.ended" {
			return err
		}
	}
	return q.forget(context.WithoutCancel(ctx), j, j.get())
}

// sweepPeers forgets the builds of publishers that were held long enough, and the
// oldest where there are too many. One that a pod has is looked at again later.
func (q *Queue) sweepPeers(ctx context.Context) {
	held := q.sorted(func(j *job) bool {
		_, ok := peerOf(j.ns)
		return ok && j.get().Status.Ended()
	})
	for n, j := range held {
		now := j.get()
		if n < maxHeldOfPeers && q.cfg.Now().Sub(*now.Finished) < HeldFor {
			continue
		}
		if err := q.forget(ctx, j, now); err != nil {
			q.cfg.Logger.Debug("forgetting a build of a publisher", "build", j.id, "err", err)
		}
	}
}

// keptOf is how many builds that have ended are remembered of a scope.
func keptOf(scope string) int {
	if strings.HasPrefix(scope, "ns:"+peerPrefix) {
		return maxHeldPerPeer
	}
	return keptBuilds
}
