// Package builds queues builds and carries them out: from a commit, or from
// uploaded files, to a sealed image with its provenance.
package builds
