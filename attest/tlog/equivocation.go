package tlog

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"apocryph/proto/status"
)

const (
	equivocationTag = "apocryph/tlog/equivocation/0.0.1\x00"
	// MaxEquivocation bounds the export of a proof, in bytes.
	MaxEquivocation = len(equivocationTag) + 2*(4+MaxHead) + tlog.HashSize + 1 + maxHashes*tlog.HashSize
	// maxKeys bounds the keys that heads are tried with: each costs a verification.
	maxKeys = 16
)

// Equivocation proves that a provider signed two trees of which the larger does
// not begin with the smaller. It holds whatever else the provider says.
//
// The tree of New has exactly one beginning of Old's size. Its root is Prefix, as
// Hashes prove against New, and it is not the root that Old was signed with. For
// trees of one size, Prefix is New's root and there are no hashes.
//
// The export is
//
//	"apocryph/tlog/equivocation/0.0.1" || 0x00 || len || Old || len || New ||
//	Prefix (32) || u8 n || n hashes (32)
type Equivocation struct {
	// Old and New are signed heads, New's tree being the larger or as large.
	Old, New []byte
	Prefix   Hash
	Hashes   []Hash
}

// Accuse makes the proof from two signed heads, in any order, and the entries of
// the larger tree, which are not needed where both are of one size. Where the
// heads do not contradict each other, or the entries are not those of the larger
// one, it is invalid_argument "tlog.unproven". Keys are the receipt keys that
// the provider had.
func Accuse(ctx context.Context, peer string, keys []ed25519.PublicKey, a, b []byte, entries []Entry) (Equivocation, error) {
	old, err := openAny(a, peer, keys)
	if err != nil {
		return Equivocation{}, err
	}
	now, err := openAny(b, peer, keys)
	if err != nil {
		return Equivocation{}, err
	}
	if old.Size > now.Size {
		a, b, old, now = b, a, now, old
	}
	e := Equivocation{Old: bytes.Clone(a), New: bytes.Clone(b), Prefix: now.Root}
	if old.Size != now.Size && old.Size > 0 {
		if int64(len(entries)) < now.Size {
			return Equivocation{}, unproven("the larger log has %d entries, and %d are given", now.Size, len(entries))
		}
		l, err := Rebuild(ctx, entries[:now.Size])
		if err != nil {
			return Equivocation{}, err
		}
		if e.Prefix, err = l.root(ctx, old.Size); err != nil {
			return Equivocation{}, err
		}
		p, err := l.ProveConsistency(ctx, old.Size, now.Size)
		if err != nil {
			return Equivocation{}, err
		}
		e.Hashes = p.Hashes
	}
	if _, _, err := e.Check(peer, keys...); err != nil {
		return Equivocation{}, err
	}
	return e, nil
}

// Check returns the two heads where the proof holds: both are signed by the
// provider of this peer id with one of these keys, and they contradict each
// other. It is invalid_argument "tlog.unproven" where they do not.
func (e Equivocation) Check(peer string, keys ...ed25519.PublicKey) (old, now Head, err error) {
	if old, err = openAny(e.Old, peer, keys); err != nil {
		return Head{}, Head{}, err
	}
	if now, err = openAny(e.New, peer, keys); err != nil {
		return Head{}, Head{}, err
	}
	if e.Prefix == old.Root {
		return Head{}, Head{}, unproven("the log of %d entries begins with that of %d", now.Size, old.Size)
	}
	// It refuses an empty tree, a smaller one and a wrong number of hashes too.
	if err := tlog.CheckTree(e.Hashes, now.Size, now.Root, old.Size, e.Prefix); err != nil {
		return Head{}, Head{}, status.Wrap(err, status.InvalidArgument, reasonUnproven,
			"nothing shows how the log of %d entries began", now.Size)
	}
	return old, now, nil
}

// openAny opens a head with the first key that fits.
func openAny(b []byte, peer string, keys []ed25519.PublicKey) (Head, error) {
	if len(keys) < 1 || len(keys) > maxKeys {
		return Head{}, status.New(status.InvalidArgument, reasonInvalid, "got %d receipt keys, want 1 to %d", len(keys), maxKeys)
	}
	var first error
	for _, k := range keys {
		h, err := OpenHead(b, peer, k)
		if err == nil {
			return h, nil
		}
		if first == nil {
			first = err
		}
	}
	return Head{}, first
}

// Export returns the proof as bytes that anybody can check with [ImportEquivocation].
func (e Equivocation) Export() ([]byte, error) {
	var f faults
	for _, x := range []struct {
		field string
		n     int
	}{{"old", len(e.Old)}, {"new", len(e.New)}} {
		if x.n > MaxHead {
			f.add(x.field, fmt.Sprintf("%d bytes", x.n), fmt.Sprintf("at most %d", MaxHead))
		}
	}
	if len(e.Hashes) > maxHashes {
		f.add("hashes", fmt.Sprint(len(e.Hashes)), fmt.Sprintf("at most %d", maxHashes))
	}
	if len(f) > 0 {
		return nil, f.invalid(reasonInvalid, "proof of equivocation")
	}
	b := []byte(equivocationTag)
	for _, note := range [][]byte{e.Old, e.New} {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(note))), note...)
	}
	b = append(append(b, e.Prefix[:]...), byte(len(e.Hashes)))
	for _, h := range e.Hashes {
		b = append(b, h[:]...)
	}
	return b, nil
}

// ImportEquivocation reads an export. It proves nothing before [Equivocation.Check].
func ImportEquivocation(b []byte) (Equivocation, error) {
	if len(b) > MaxEquivocation {
		return Equivocation{}, tooLarge("proof of equivocation", len(b), MaxEquivocation)
	}
	bad := notForm("proof of equivocation: got %d bytes that are not one of this version", len(b))
	rest, ok := bytes.CutPrefix(b, []byte(equivocationTag))
	if !ok {
		return Equivocation{}, bad
	}
	var e Equivocation
	for _, note := range []*[]byte{&e.Old, &e.New} {
		if len(rest) < 4 {
			return Equivocation{}, bad
		}
		n := binary.BigEndian.Uint32(rest)
		if n > MaxHead || int(n) > len(rest)-4 {
			return Equivocation{}, bad
		}
		*note, rest = bytes.Clone(rest[4:4+n]), rest[4+n:]
	}
	if len(rest) < tlog.HashSize+1 || int(rest[tlog.HashSize]) > maxHashes ||
		len(rest) != tlog.HashSize+1+int(rest[tlog.HashSize])*tlog.HashSize {
		return Equivocation{}, bad
	}
	e.Prefix, rest = Hash(rest), rest[tlog.HashSize+1:]
	for ; len(rest) > 0; rest = rest[tlog.HashSize:] {
		e.Hashes = append(e.Hashes, Hash(rest))
	}
	return e, nil
}

func unproven(format string, args ...any) error {
	return status.New(status.InvalidArgument, reasonUnproven, "the heads do not contradict each other: "+format, args...)
}
