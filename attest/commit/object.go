package commit

import (
	"encoding/hex"
	"hash"
	"strconv"

	"github.com/pjbgf/sha1cd"

	"apocryph/proto/status"
)

// The reasons of refusals. ReasonMalformed and ReasonTree are InvalidArgument,
// the others PermissionDenied.
const (
	// ReasonMalformed is an object, or a list of keys, that is not written as it must be.
	ReasonMalformed = "commit.malformed"
	// ReasonTree is a tree of files that git cannot have made.
	ReasonTree = "commit.tree"
	// ReasonUnsigned is a commit without a signature.
	ReasonUnsigned = "commit.unsigned"
	// ReasonSignature is a signature that is wrong, or of a kind that is not taken.
	ReasonSignature = "commit.signature"
	// ReasonSigner is a signature by a key that is not in the list.
	ReasonSigner = "commit.signer"
)

// hexID is the length of an object id: SHA-1 in hex. Repositories of SHA-256
// ids are not read.
const hexID = 40

// ID is the id of a raw commit object: the SHA-1 of "commit SIZE\0" and the
// object. It is "" where the bytes are made to collide with others (SHAttered).
func ID(raw []byte) string {
	h := newObject("commit", int64(len(raw)))
	h.Write(raw)
	id, err := sum(h)
	if err != nil {
		return ""
	}
	return hex.EncodeToString(id)
}

func newObject(kind string, size int64) hash.Hash {
	h := sha1cd.New()
	h.Write([]byte(kind + " " + strconv.FormatInt(size, 10) + "\x00"))
	return h
}

// sum ends a hash. SHA-1 alone is broken: two files of one id cost some ten
// thousand dollars (SHA-1 is a Shambles, 2020). Such pairs carry the marks of
// their making, which are looked for as git itself does.
func sum(h hash.Hash) ([]byte, error) {
	id, collision := h.(sha1cd.CollisionResistantHash).CollisionResistantSum(nil)
	if collision {
		return nil, status.New(status.InvalidArgument, ReasonTree, "an object is made to have the id of another one (a SHA-1 collision)")
	}
	return id, nil
}

// IsID reports whether s is an object id: 40 digits of lower-case hex.
func IsID(s string) bool {
	if len(s) != hexID {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
