package store

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"

	"apocryph/provider"
)

// tag seals the digest of all that stands in the clear, and of the sealed
// cells: without it the disk's owner could give a pod to another publisher, or
// put an old manifest beside new keys.
func (d *DB) tag(id int64, r provider.Record, sealed [len(secretColumns)][]byte) ([]byte, error) {
	digest, err := rowDigest(r, sealed)
	if err != nil {
		return nil, err
	}
	return d.sealer.seal(cell("pods", "tag", id), digest[:]), nil
}

// vouches reports whether tag was made for exactly this row.
func (d *DB) vouches(id int64, r provider.Record, sealed [len(secretColumns)][]byte, tag []byte) bool {
	want, err := d.sealer.open(cell("pods", "tag", id), tag)
	if err != nil {
		return false
	}
	got, err := rowDigest(r, sealed)
	return err == nil && subtle.ConstantTimeCompare(got[:], want) == 1
}

// rowDigest is the SHA-256 of a JSON array of the columns in their order, then
// the child rows. It names no Go field, so that a renamed one changes nothing.
func rowDigest(r provider.Record, sealed [len(secretColumns)][]byte) ([sha256.Size]byte, error) {
	endpoints := make([][]any, 0, len(r.Endpoints))
	for _, e := range r.Endpoints {
		endpoints = append(endpoints, []any{e.Container, e.Target, e.Port, e.Protocol, e.Host, e.URL, e.Dial, e.HostIP})
	}
	obsolete := make([]string, 0, len(r.Obsolete))
	for _, id := range r.Obsolete {
		obsolete = append(obsolete, string(id))
	}
	columns := []any{
		r.ID, r.Publisher, r.Name, r.Revision, r.State, r.Reason, r.RequestID[:], r.ManifestDigest[:],
	}
	for _, s := range sealed {
		sum := sha256.Sum256(s)
		columns = append(columns, sum[:])
	}
	columns = append(columns, r.OfferID, r.PaymentScheme, toNanos(r.Created), toNanos(r.Updated), endpoints, obsolete)
	if r.PolicyVersion != 0 {
		// A column that is younger than the first records.
		columns = append(columns, "policy_version", r.PolicyVersion)
	}
	b, err := json.Marshal(columns)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("digesting record: %w", err)
	}
	return sha256.Sum256(b), nil
}
