package tlog

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"apocryph/proto/status"
)

const (
	// maxHashes bounds a proof: a tree of [MaxSize] has 40 levels, and a proof of
	// consistency has one hash more at most.
	maxHashes = 41
	proofHead = 1 + 8 + 8 + 1
	// MaxProof bounds the encoding of either proof, in bytes: a peer sends it.
	MaxProof = proofHead + maxHashes*tlog.HashSize

	proofInclusion   = 'i'
	proofConsistency = 'c'
)

// Inclusion proves that the tree of Size entries has a leaf at Index (RFC 6962,
// 2.1.1).
type Inclusion struct {
	Index, Size int64
	Hashes      []Hash
}

// Consistency proves that the tree of New entries begins with the tree of Old
// entries (RFC 6962, 2.1.2).
type Consistency struct {
	Old, New int64
	Hashes   []Hash
}

// CheckInclusion checks that an entry is in the tree of a head, which must be
// verified already. Untrusted "tlog.not_included" otherwise.
func CheckInclusion(h Head, e Entry, p Inclusion) error {
	if err := e.check(); err != nil {
		return err
	}
	if h.Size > MaxSize || p.Size != h.Size || p.Index < 0 || p.Index >= p.Size {
		return refuse(reasonNotIncluded, "the proof is about entry %d of %d, and the log has %d entries", p.Index, p.Size, h.Size)
	}
	if err := tlog.CheckRecord(p.Hashes, h.Size, h.Root, p.Index, e.Leaf()); err != nil {
		return status.Wrap(err, status.Untrusted, reasonNotIncluded, "the entry is not number %d of the log's %d", p.Index, h.Size)
	}
	return nil
}

// CheckConsistency checks that the tree of now begins with the tree of old. Both
// must be verified already, and of one log. It is untrusted: "tlog.rollback" for
// a smaller tree, "tlog.equivocation" for another tree of the same size,
// "tlog.inconsistent" for a larger one that the proof does not show to begin
// with the old one. The empty tree is the beginning of every tree; then, and
// between equal trees, the proof has no hashes.
func CheckConsistency(old, now Head, p Consistency) error {
	switch {
	case old.Peer != now.Peer:
		return refuse(reasonInconsistent, "the heads are of two logs, of %.64q and %.64q", old.Peer, now.Peer)
	case now.Size < old.Size:
		return refuse(reasonRollback, "the log has %d entries and had %d before", now.Size, old.Size).
			WithHint("an old head was replayed, or the provider lost or cut its log")
	case now.Size == old.Size && now.Root != old.Root:
		return refuse(reasonEquivocation, "the provider has signed two different logs of %d entries", now.Size).
			WithHint("keep both heads: together they prove it")
	case p.Old != old.Size || p.New != now.Size || now.Size > MaxSize:
		return refuse(reasonInconsistent, "the proof is about %d and %d entries, want %d and %d", p.Old, p.New, old.Size, now.Size)
	case old.Size == 0 && old.Root != emptyRoot():
		return refuse(reasonInconsistent, "a log without entries has a root that is not that of no entries")
	case old.Size == 0 && len(p.Hashes) == 0:
		return nil
	}
	if err := tlog.CheckTree(p.Hashes, now.Size, now.Root, old.Size, old.Root); err != nil {
		return status.Wrap(err, status.Untrusted, reasonInconsistent, "the log of %d entries is not shown to begin with the %d that it had before", now.Size, old.Size).
			WithHint("keep both heads: whoever has the log's entries can show whether it was rewritten")
	}
	return nil
}

// Encode returns the proof's one encoding.
func (p Inclusion) Encode() ([]byte, error) {
	return encodeProof(proofInclusion, p.Index, p.Size, p.Hashes)
}

// Encode returns the proof's one encoding.
func (p Consistency) Encode() ([]byte, error) {
	return encodeProof(proofConsistency, p.Old, p.New, p.Hashes)
}

// DecodeInclusion reads exactly one proof.
func DecodeInclusion(b []byte) (Inclusion, error) {
	index, size, hashes, err := decodeProof(proofInclusion, b)
	return Inclusion{index, size, hashes}, err
}

// DecodeConsistency reads exactly one proof.
func DecodeConsistency(b []byte) (Consistency, error) {
	old, now, hashes, err := decodeProof(proofConsistency, b)
	return Consistency{old, now, hashes}, err
}

func encodeProof(kind byte, x, y int64, hashes []Hash) ([]byte, error) {
	if err := checkProof(kind, x, y, len(hashes)); err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint64([]byte{kind}, uint64(x))
	b = append(binary.BigEndian.AppendUint64(b, uint64(y)), byte(len(hashes)))
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	return b, nil
}

func decodeProof(kind byte, b []byte) (x, y int64, hashes []Hash, err error) {
	if len(b) > MaxProof {
		return 0, 0, nil, tooLarge("proof", len(b), MaxProof)
	}
	if len(b) < proofHead || b[0] != kind || len(b) != proofHead+int(b[proofHead-1])*tlog.HashSize {
		return 0, 0, nil, notForm("proof: got %d bytes, want %q, two numbers and as many hashes as they say", len(b), kind)
	}
	x, y = int64(binary.BigEndian.Uint64(b[1:])), int64(binary.BigEndian.Uint64(b[9:]))
	b = b[proofHead:]
	if err := checkProof(kind, x, y, len(b)/tlog.HashSize); err != nil {
		return 0, 0, nil, err
	}
	for ; len(b) > 0; b = b[tlog.HashSize:] {
		hashes = append(hashes, Hash(b))
	}
	return x, y, hashes, nil
}

func checkProof(kind byte, x, y int64, hashes int) error {
	var f faults
	if y < 0 || y > MaxSize {
		f.add("size", fmt.Sprint(y), fmt.Sprintf("0 to %d", int64(MaxSize)))
	}
	if x < 0 || x > y || kind == proofInclusion && x == y {
		f.add("of", fmt.Sprint(x), fmt.Sprintf("within %d", y))
	}
	if hashes > maxHashes {
		f.add("hashes", fmt.Sprint(hashes), fmt.Sprintf("at most %d", maxHashes))
	}
	return f.invalid(reasonParse, "proof")
}
