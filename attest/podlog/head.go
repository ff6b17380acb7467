package podlog

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"

	"apocryph/proto/status"
)

// Bank is a register's hash algorithm, in the words of the attestation protocol.
type Bank string

// The banks that a log is extended into. RTMRs are of SHA384.
const (
	SHA256 Bank = "sha256"
	SHA384 Bank = "sha384"
)

// BankOf is the bank in which claims give the head of a log, by the name of its
// register: SHA-256 of "pcr14", which quotes cover, and SHA-384 of "rtmr3" and of
// "none". Any other register is untrusted "podlog.replay": nothing would show it.
func BankOf(register string) (Bank, error) {
	switch register {
	case RegisterPCR:
		return SHA256, nil
	case RegisterRTMR, RegisterNone:
		return SHA384, nil
	}
	return "", untrusted(reasonReplay, "the pod log is in a register that nothing shows", []status.Fault{{
		Field: "register", Got: fmt.Sprintf("%.32q", register), Want: "pcr14, rtmr3 or none",
	}})
}

// The registers of a pod log, as claims write them.
const (
	RegisterPCR  = "pcr14"
	RegisterRTMR = "rtmr3"
	RegisterNone = "none"
)

// Head is what a log makes of a register, in both banks. The zero value is a
// register of zeros that no event has extended. Heads are compared with ==.
type Head struct {
	// Length is the number of events, which is also the next sequence number.
	Length uint64
	SHA256 [sha256.Size]byte
	SHA384 [sha512.Size384]byte
}

// Begin is a log without events in a register that has these values already; nil
// is zeros, as for a bank that does not exist. A value of another length is
// invalid_argument "podlog.bank".
func Begin(sha256Value, sha384Value []byte) (Head, error) {
	var h Head
	var f faults
	for _, b := range []struct {
		bank       Bank
		value, out []byte
	}{{SHA256, sha256Value, h.SHA256[:]}, {SHA384, sha384Value, h.SHA384[:]}} {
		if b.value != nil && len(b.value) != len(b.out) {
			f.add(string(b.bank), fmt.Sprintf("%d bytes", len(b.value)), fmt.Sprintf("%d", len(b.out)))
		}
		copy(b.out, b.value)
	}
	if len(f) > 0 {
		return Head{}, status.Invalid(reasonBank, "register", f)
	}
	return h, nil
}

// Value is the register's value in a bank; invalid_argument "podlog.bank" for a
// bank that heads do not have.
func (h Head) Value(b Bank) ([]byte, error) {
	switch b {
	case SHA256:
		return bytes.Clone(h.SHA256[:]), nil
	case SHA384:
		return bytes.Clone(h.SHA384[:]), nil
	}
	return nil, status.New(status.InvalidArgument, reasonBank, "bank: got %.16q, want sha256 or sha384", string(b))
}

// Extend is the head after one more record. A record that is not the next one is
// untrusted: "podlog.duplicate" for one that is there already, "podlog.gap" for
// one after others that are missing.
func (h Head) Extend(r Record) (Head, error) {
	if err := h.next(r); err != nil {
		return h, err
	}
	return h.extended(r), nil
}

func (h Head) next(r Record) error {
	if h.Length >= MaxRecords {
		return full()
	}
	if !r.ok() {
		return r.check(fmt.Sprintf("record %d", h.Length))
	}
	reason := reasonGap
	switch {
	case r.Seq == h.Length:
		return nil
	case r.Seq < h.Length:
		reason = reasonDuplicate
	}
	return untrusted(reason, "the pod log is not in sequence", []status.Fault{{
		Field: fmt.Sprintf("records[%d].seq", h.Length), Got: fmt.Sprint(r.Seq), Want: fmt.Sprint(h.Length),
	}})
}

func (h Head) extended(r Record) Head {
	small, large := r.SHA256(), r.SHA384()
	var buf [2 * sha512.Size384]byte
	return Head{
		Length: h.Length + 1,
		SHA256: sha256.Sum256(append(append(buf[:0], h.SHA256[:]...), small[:]...)),
		SHA384: sha512.Sum384(append(append(buf[:0], h.SHA384[:]...), large[:]...)),
	}
}

// Replay extends init with each record. init may be the head of an earlier part
// of the same log that was checked already; its length says which record comes
// first.
func Replay(records []Record, init Head) (Head, error) {
	h := init
	for _, r := range records {
		var err error
		if h, err = h.Extend(r); err != nil {
			return init, err
		}
	}
	return h, nil
}

// CheckReplay is [Replay] whose outcome must be the attested value of the
// register in a bank. init is what the register was before the records: see
// [Begin]; it never comes from the provider alone. Where the records do not lead
// to the value it is untrusted "podlog.replay", and "podlog.init" where they
// would, had the register begun with zeros.
func CheckReplay(records []Record, init Head, bank Bank, want []byte) (Head, error) {
	h, err := Replay(records, init)
	if err != nil {
		return Head{}, err
	}
	got, err := h.Value(bank)
	if err != nil {
		return Head{}, err
	}
	if bytes.Equal(got, want) {
		return h, nil
	}
	fault := []status.Fault{{Field: "register." + string(bank), Got: hex.EncodeToString(want[:min(len(want), sha512.Size384)]), Want: hex.EncodeToString(got)}}
	zero := Head{}
	if init.Length == 0 && init != zero {
		if h, err = Replay(records, zero); err == nil {
			if got, err = h.Value(bank); err == nil && bytes.Equal(got, want) {
				return Head{}, untrusted(reasonInit, "the pod log begins with a register of zeros, which is not what boot left in it", fault)
			}
		}
	}
	return Head{}, untrusted(reasonReplay, fmt.Sprintf("the %d records of the pod log do not lead to the attested register", len(records)), fault).
		WithHint("records were changed or left out, or other software extended this register")
}
