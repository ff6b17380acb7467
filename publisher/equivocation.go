package publisher

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"

	"apocryph/attest/tlog"
	"apocryph/proto/status"
)

// MaxAccusation bounds the file of an accusation, in bytes: a stranger made it.
const MaxAccusation = 64 << 10

const accusationVersion = 1

// Accusation is a proof of equivocation and what it takes to check it.
type Accusation struct {
	Version int `json:"version"`
	// Provider is the text form of the provider's peer id.
	Provider ProviderID `json:"provider"`
	// Keys are the receipt keys that the heads are signed with. That they are the
	// provider's is in the evidence that it gave whoever made the accusation.
	Keys [][]byte `json:"keys"`
	// Proof is a [tlog.Equivocation], exported.
	Proof []byte `json:"proof"`
}

// Accuse makes an accusation of the conflicts that were seen. It is not_found
// where there are none, and invalid_argument "tlog.unproven" where those there
// are prove nothing to others: heads of two sizes take the entries of the larger
// log, which its provider alone has.
func (l SeenLog) Accuse(ctx context.Context, of ProviderID) (Accusation, error) {
	if len(l.Conflicts) == 0 {
		return Accusation{}, status.New(status.NotFound, "transparency.no_conflict", "the log of %s has only grown as far as was seen here", of)
	}
	var heads []SignedHead
	for _, c := range l.Conflicts {
		heads = append(heads, c.Before, c.After)
	}
	for i, a := range heads {
		for _, b := range heads[:i] {
			keys := []ed25519.PublicKey{a.Key}
			if !bytes.Equal(a.Key, b.Key) {
				keys = append(keys, b.Key)
			}
			e, err := tlog.Accuse(ctx, string(of), keys, b.Note, a.Note, nil)
			if status.ReasonOf(err) == "tlog.unproven" {
				continue
			}
			if err != nil {
				return Accusation{}, err
			}
			out := Accusation{Version: accusationVersion, Provider: of}
			for _, k := range keys {
				out.Keys = append(out.Keys, k)
			}
			out.Proof, err = e.Export()
			return out, err
		}
	}
	return Accusation{}, status.New(status.InvalidArgument, "tlog.unproven", "the provider signed heads of different sizes only, which prove nothing without the entries of the log").
		WithHint("both heads are in `publisher transparency show --json`; attest it again: two heads of one size prove it")
}

// Encode returns the accusation as JSON.
func (a Accusation) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(a, "", "  ")
	return append(b, '\n'), err
}

// DecodeAccusation reads an accusation, which proves nothing before
// [Accusation.Check]. What is not one is invalid_argument "transparency.parse".
func DecodeAccusation(b []byte) (Accusation, error) {
	bad := func(cause error, got string) error {
		return status.Wrap(cause, status.InvalidArgument, "transparency.parse", "the accusation: got %s, want a file of `publisher transparency export`", got)
	}
	if len(b) > MaxAccusation {
		return Accusation{}, bad(nil, "too many bytes")
	}
	var a Accusation
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil {
		return Accusation{}, bad(err, "no JSON of that form")
	}
	if d.More() {
		return Accusation{}, bad(nil, "data after its end")
	}
	if a.Version != accusationVersion {
		return Accusation{}, bad(nil, "another version")
	}
	for _, k := range a.Keys {
		if len(k) != ed25519.PublicKeySize {
			return Accusation{}, bad(nil, "a key of another size")
		}
	}
	return a, nil
}

// Check returns the two heads where the accusation holds. With known keys the
// heads have to be signed by these, and by those of the file otherwise; that
// they are the provider's is then the accuser's word.
func (a Accusation) Check(known ...ed25519.PublicKey) (old, now tlog.Head, err error) {
	e, err := tlog.ImportEquivocation(a.Proof)
	if err != nil {
		return old, now, err
	}
	if len(known) == 0 {
		for _, k := range a.Keys {
			known = append(known, k)
		}
	}
	return e.Check(string(a.Provider), known...)
}
