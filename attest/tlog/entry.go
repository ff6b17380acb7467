package tlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"apocryph/manifest"
	"apocryph/proto/status"
)

// Kind is what an entry is about. The numbers are those of its encoding:
// append-only.
type Kind uint8

// The kinds of entries.
const (
	// KindClaims is claims that evidence was given for.
	KindClaims Kind = 1
	// KindRelease is the release of a pod's keys to this provider.
	KindRelease Kind = 2
)

const (
	entryTag   = "apocryph/tlog/0.0.1\x00"
	releaseTag = "apocryph/tlog/0.0.1/release\x00"
	entryHead  = len(entryTag) + 1 + 8
	// MaxEntry bounds an entry's encoding, in bytes: it is that of a release.
	MaxEntry = entryHead + 2*sha256.Size
	// SaltSize is the length of a salt in bytes.
	SaltSize = 32
	// maxPodID bounds a pod's id in bytes.
	maxPodID = 256
	// maxMillis is the year 2100. Later times are nonsense and overflow further on.
	maxMillis = 4102444800000
)

// Entry is one leaf of the log.
type Entry struct {
	Kind Kind
	// At is when, in whole milliseconds.
	At time.Time
	// Claims is the SHA-256 of the claims' bytes; of a release, those that it was
	// made to.
	Claims [sha256.Size]byte
	// Release is the commitment to what was released, of [KindRelease] only.
	Release [sha256.Size]byte
}

// Release is what the owner of a pod knows of an entry of [KindRelease].
type Release struct {
	// Salt is fresh random; without it, pods and manifests could be guessed.
	Salt [SaltSize]byte
	// Manifest is the digest of the canonical manifest.
	Manifest manifest.Digest
	PodID    string
}

// String keeps what is committed to out of formatted output.
func (Release) String() string { return "tlog.Release(hidden)" }

// GoString keeps it out of %#v.
func (r Release) GoString() string { return r.String() }

// NewSalt reads a salt from random, which is crypto/rand's reader everywhere but
// in tests.
func NewSalt(random io.Reader) (salt [SaltSize]byte, err error) {
	if _, err := io.ReadFull(random, salt[:]); err != nil {
		return [SaltSize]byte{}, fmt.Errorf("reading randomness: %w", err)
	}
	return salt, nil
}

// ClaimsEntry is the entry of claims that evidence was given for.
func ClaimsEntry(at time.Time, claimsDigest [sha256.Size]byte) Entry {
	return Entry{Kind: KindClaims, At: at, Claims: claimsDigest}
}

// ReleaseEntry is the entry of a release to the claims of a digest. A release
// without a salt, a manifest or a pod is invalid_argument "tlog.invalid".
func ReleaseEntry(at time.Time, claimsDigest [sha256.Size]byte, r Release) (Entry, error) {
	var f faults
	if r.Salt == ([SaltSize]byte{}) {
		f.add("salt", "zeros", "random bytes")
	}
	if r.Manifest == (manifest.Digest{}) {
		f.add("manifest", "zeros", "a digest")
	}
	if len(r.PodID) < 1 || len(r.PodID) > maxPodID {
		f.add("pod_id", fmt.Sprintf("%d bytes", len(r.PodID)), fmt.Sprintf("1 to %d", maxPodID))
	}
	if len(f) > 0 {
		return Entry{}, f.invalid(reasonInvalid, "release")
	}
	return Entry{Kind: KindRelease, At: at, Claims: claimsDigest, Release: r.commitment()}, nil
}

func (r Release) commitment() [sha256.Size]byte {
	b := append([]byte(releaseTag), r.Salt[:]...)
	b = append(b, r.Manifest[:]...)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(r.PodID))), r.PodID...)
	return sha256.Sum256(b)
}

// CheckRelease checks that an entry is about this release to these claims. It is
// untrusted "tlog.release" where it is about anything else.
func CheckRelease(e Entry, claimsDigest [sha256.Size]byte, r Release) error {
	if e.Kind != KindRelease || e.Claims != claimsDigest || e.Release != r.commitment() {
		return refuse(reasonRelease, "the log's entry is not about this release")
	}
	return nil
}

func (e Entry) check() error {
	var f faults
	switch {
	case e.Kind != KindClaims && e.Kind != KindRelease:
		f.add("kind", fmt.Sprint(uint8(e.Kind)), "1 or 2")
	case e.Kind == KindClaims && e.Release != [sha256.Size]byte{}:
		f.add("release", "a commitment", "none, for an entry about claims")
	case e.Kind == KindRelease && e.Release == [sha256.Size]byte{}:
		f.add("release", "zeros", "a commitment")
	}
	if e.Claims == ([sha256.Size]byte{}) {
		f.add("claims", "zeros", "a digest")
	}
	f.time("at", e.At)
	return f.invalid(reasonInvalid, "entry of the transparency log")
}

func (f *faults) time(field string, t time.Time) {
	if ms := t.UnixMilli(); ms <= 0 || ms > maxMillis || t.Nanosecond()%1e6 != 0 {
		f.add(field, fmt.Sprint(ms), "whole Unix milliseconds before the year 2100")
	}
}

// Encode returns the entry's one encoding; invalid_argument "tlog.invalid" for
// one that [DecodeEntry] would refuse.
func (e Entry) Encode() ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	return e.encode(), nil
}

func (e Entry) encode() []byte {
	b := append(make([]byte, 0, MaxEntry), entryTag...)
	b = append(b, byte(e.Kind))
	b = binary.BigEndian.AppendUint64(b, uint64(e.At.UnixMilli()))
	b = append(b, e.Claims[:]...)
	if e.Kind == KindRelease {
		b = append(b, e.Release[:]...)
	}
	return b
}

// DecodeEntry reads exactly one entry.
func DecodeEntry(b []byte) (Entry, error) {
	if len(b) > MaxEntry {
		return Entry{}, tooLarge("entry", len(b), MaxEntry)
	}
	rest, ok := bytes.CutPrefix(b, []byte(entryTag))
	if !ok || len(rest) < 9+sha256.Size {
		return Entry{}, notForm("entry: got %d bytes that are not an entry of this version", len(b))
	}
	ms := binary.BigEndian.Uint64(rest[1:])
	if ms > maxMillis {
		return Entry{}, notForm("entry: got a time of %d, want Unix milliseconds before the year 2100", ms)
	}
	e := Entry{Kind: Kind(rest[0]), At: time.UnixMilli(int64(ms)).UTC(), Claims: [sha256.Size]byte(rest[9:])}
	body := rest[9+sha256.Size:]
	want := map[Kind]int{KindRelease: sha256.Size}[e.Kind]
	if len(body) != want {
		return Entry{}, notForm("entry: got %d bytes after the claims, want %d", len(body), want)
	}
	copy(e.Release[:], body)
	if err := e.check(); err != nil {
		return Entry{}, status.Wrap(err, status.InvalidArgument, reasonParse, "the entry is not valid")
	}
	return e, nil
}

// Leaf is the entry's hash in the tree.
func (e Entry) Leaf() Hash { return tlog.RecordHash(e.encode()) }
