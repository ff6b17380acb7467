package artifacts

import (
	"context"
	"io"
	"time"
)

// AnyNamespace in place of a namespace is the operator's: it matches all of
// them. No artifact is created in it.
const AnyNamespace = "*"

// Artifact is what is known of uploaded bytes.
type Artifact struct {
	// ID is a version 4 UUID (RFC 9562) in its canonical lower-case form.
	ID string
	// Namespace owns the artifact; other namespaces do not see it.
	Namespace string
	// Name is for people, 1 to 255 bytes of printable UTF-8, not unique.
	Name string
	// ContentType is a media type (RFC 9110, 8.3.1) in the form that package mime writes.
	ContentType string
	// Size is in bytes, 0 until complete.
	Size int64
	// SHA256 is the digest of the content in lower-case hex, "" until complete.
	SHA256 string
	// Complete says that all bytes are here. They never change afterwards.
	Complete bool
	// Created and Completed are in UTC; Completed is zero until complete.
	Created, Completed time.Time
	// CreatedBy names the principal that created the record.
	CreatedBy string
	// Labels are the creator's, at most 32.
	Labels map[string]string
}

// Records keeps metadata durably: what a call has stored survives a crash.
type Records interface {
	// SaveArtifact stores the record, or replaces the one with its ID, as one step.
	SaveArtifact(ctx context.Context, a Artifact) error
	// Artifacts returns all records.
	Artifacts(ctx context.Context) ([]Artifact, error)
	// DeleteArtifact removes the record; one that is not there is no error.
	DeleteArtifact(ctx context.Context, id string) error
}

// Content is the bytes of one complete artifact. ReadAt may be called
// concurrently, Read and Seek may not. All fail after Close.
type Content interface {
	io.ReadSeekCloser
	io.ReaderAt
	// Size is the length in bytes.
	Size() int64
}
