package buildpod

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"regexp"
	"strings"

	"apocryph/provider"
)

// hash is n characters of [a-z2-7] of a SHA-256, 5 bits each.
func hash(n int, text string) string {
	sum := sha256.Sum256([]byte(text))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:n]
}

// podOf is the pod that the jobs and caches of a namespace belong to. 100 bits
// keep namespaces apart even where somebody looks for a clash.
func podOf(namespace string) provider.PodID {
	return provider.PodID(provider.BuildPrefix + hash(20, namespace))
}

func publisherOf(namespace string) provider.PublisherID {
	return provider.PublisherID("build:" + namespace)
}

// newID tells jobs apart.
func newID() string { return strings.ToLower(rand.Text())[:12] }

func instanceOf(pod provider.PodID, id string) provider.InstanceID {
	return provider.InstanceID(string(pod) + "-" + id)
}

// The names of volumes. That of a job is told from a cache by its prefix.
const (
	scratchPrefix = "job-"
	cachePrefix   = "cache-"
)

// diskOf is what a volume is called in [Disks].
func diskOf(pod provider.PodID, volume string) string { return string(pod) + "." + volume }

// isDisk tells which pod and which volume a name in [Disks] is, if it is of a build.
func isDisk(name string) (pod provider.PodID, volume string, ok bool) {
	p, volume, ok := strings.Cut(name, ".")
	return provider.PodID(p), volume, ok && strings.HasPrefix(p, provider.BuildPrefix)
}

// cacheName is what a cache may be called: it becomes a part of paths.
var cacheName = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]{0,30}[a-z0-9])?$`)
