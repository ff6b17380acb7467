package podlog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"apocryph/proto/status"
)

func TestOpenRefuses(t *testing.T) {
	rs, os := seal(t, events()...)
	r, o := rs[4], os[4]
	other := o
	other.Salt = salt(99)
	shifted := Opening{Payload: o.Payload[1:]}
	copy(shifted.Salt[:], o.Salt[1:])
	shifted.Salt[31] = o.Payload[0]
	for name, tt := range map[string]struct {
		r Record
		o Opening
	}{
		"wrong salt":          {r, other},
		"no salt":             {r, Opening{Payload: o.Payload}},
		"nothing":             {r, Opening{}},
		"another's opening":   {r, os[5]},
		"opening of another":  {rs[5], o},
		"longer payload":      {r, Opening{o.Salt, append(bytes.Clone(o.Payload), 0)}},
		"shorter payload":     {r, Opening{o.Salt, o.Payload[:len(o.Payload)-1]}},
		"salt out of payload": {r, shifted},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(tt.r, tt.o)
			refused(t, err, status.Untrusted, "podlog.opening")
		})
	}
	t.Run("another type", func(t *testing.T) {
		r := r
		r.Type = TypePodStart
		_, err := Open(r, o)
		refused(t, err, status.InvalidArgument, "podlog.payload")
	})
	t.Run("over the cap", func(t *testing.T) {
		_, err := Open(r, Opening{o.Salt, make([]byte, MaxPayload+1)})
		refused(t, err, status.InvalidArgument, "podlog.too_large")
	})
}

func TestEveryBitOfAnOpeningCounts(t *testing.T) {
	rs, os := seal(t, events()...)
	for i := range rs {
		b := must[[]byte](t)(os[i].Encode())
		for bit := range len(b) * 8 {
			b[bit/8] ^= 1 << (bit % 8)
			if o, err := DecodeOpening(b); err == nil {
				if _, err = Open(rs[i], o); status.ReasonOf(err) != "podlog.opening" {
					t.Errorf("event %d, bit %d flipped: got %v", i, bit, err)
				}
			}
			b[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// Another tenant sees the commitments of two equal events, and cannot tell.
func TestEqualPayloadsHaveDifferentCommitments(t *testing.T) {
	random := strings.NewReader(strings.Repeat("a", SaltSize) + strings.Repeat("b", SaltSize))
	e := &Ready{at}
	a, oa, err := Seal(0, e, must[Salt](t)(NewSalt(random)))
	if err != nil {
		t.Fatal(err)
	}
	b, ob, err := Seal(0, e, must[Salt](t)(NewSalt(random)))
	if err != nil {
		t.Fatal(err)
	}
	if a.Commitment == b.Commitment {
		t.Error("equal events have one commitment")
	}
	if !bytes.Equal(oa.Payload, ob.Payload) {
		t.Error("the payloads differ: the test shows nothing")
	}
	if wire := must[[]byte](t)(a.Encode()); bytes.Contains(wire, oa.Salt[:]) || bytes.Contains(wire, oa.Payload) {
		t.Error("the record has the salt or the payload")
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	_, os := seal(t, events()[4])
	j, _, err := NewJournal(Boot{Epoch: []byte{1}, SHA256: make([]byte, 32)}, []byte("journal key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{os[0], os[0].Salt, j} {
		for _, form := range []string{"%v", "%+v", "%#v", "%s"} {
			text := fmt.Sprintf(form, v)
			for _, secret := range []string{fmt.Sprint(os[0].Salt[:])[1:20], "mzxw6ytboi", "journal key", fmt.Sprint([]byte("journal key"))} {
				if strings.Contains(text, secret) {
					t.Errorf("%s of %T is %s", form, v, text)
				}
			}
		}
	}
}

func TestNewSaltRefuses(t *testing.T) {
	for _, r := range []interface{ Read([]byte) (int, error) }{strings.NewReader("short"), iotest.ErrReader(errors.New("no"))} {
		if s, err := NewSalt(r); err == nil || s != (Salt{}) {
			t.Error("a salt came out of too little randomness")
		}
	}
}

// Every single bit of a record changes the register in both banks, or is
// refused as no record at all.
func TestEveryBitOfARecordCounts(t *testing.T) {
	rs := sample(t)
	want := must[Head](t)(Replay(rs, Head{}))
	for i, r := range rs {
		b := must[[]byte](t)(r.Encode())
		for bit := range len(b) * 8 {
			b[bit/8] ^= 1 << (bit % 8)
			flipped, err := DecodeRecord(b)
			b[bit/8] ^= 1 << (bit % 8)
			if err != nil {
				continue
			}
			changed := slices.Clone(rs)
			changed[i] = flipped
			for _, bank := range []Bank{SHA256, SHA384} {
				value := must[[]byte](t)(want.Value(bank))
				if _, err := CheckReplay(changed, Head{}, bank, value); status.CodeOf(err) != status.Untrusted {
					t.Errorf("record %d, bit %d, %s: got %v", i, bit, bank, err)
				}
			}
		}
	}
}
