package attesttest

import (
	"bytes"
	"slices"
	"testing"

	"apocryph/attest"
)

// FlipEveryBit calls try with copies of the evidence that differ from it in one
// bit of a byte field, a text or a register's number, or that lack one element
// of a list. Of each field it takes every stride-th bit; a stride of 1 is all.
// The same call makes the same copies.
func FlipEveryBit(t testing.TB, e attest.Evidence, stride int, try func(what string, mutated attest.Evidence)) {
	t.Helper()
	if stride < 1 {
		t.Fatalf("stride: got %d, want at least 1", stride)
	}
	flip := func(what string, get func(*attest.Evidence) *[]byte) {
		for bit := 0; bit < 8*len(*get(&e)); bit += stride {
			c := Clone(e)
			(*get(&c))[bit/8] ^= 1 << (bit % 8)
			try(what, c)
		}
	}
	for bit := range 8 * len(e.Type) {
		c := Clone(e)
		text := []byte(c.Type)
		text[bit/8] ^= 1 << (bit % 8)
		c.Type = attest.Type(text)
		try("type", c)
	}
	flip("report", func(e *attest.Evidence) *[]byte { return &e.Report })
	for i := range e.Certificates {
		flip("certificate", func(e *attest.Evidence) *[]byte { return &e.Certificates[i] })
		c := Clone(e)
		c.Certificates = slices.Delete(c.Certificates, i, i+1)
		try("a certificate less", c)
	}
	for i, x := range e.Endorsements {
		flip("endorsement "+string(x.Kind), func(e *attest.Evidence) *[]byte { return &e.Endorsements[i].Body })
		for j := range x.Chain {
			flip("chain of endorsement "+string(x.Kind), func(e *attest.Evidence) *[]byte { return &e.Endorsements[i].Chain[j] })
		}
		for bit := range 8 * len(x.Kind) {
			c := Clone(e)
			text := []byte(x.Kind)
			text[bit/8] ^= 1 << (bit % 8)
			c.Endorsements[i].Kind = attest.Kind(text)
			try("kind of endorsement", c)
		}
	}
	flip("boot log", func(e *attest.Evidence) *[]byte { return &e.BootLog })
	if e.TPM == nil {
		return
	}
	flip("quoted", func(e *attest.Evidence) *[]byte { return &e.TPM.Quoted })
	flip("signature", func(e *attest.Evidence) *[]byte { return &e.TPM.Signature })
	flip("proof", func(e *attest.Evidence) *[]byte { return &e.TPM.ActivationProof })
	for i := range e.TPM.PCRs {
		flip("register", func(e *attest.Evidence) *[]byte { return &e.TPM.PCRs[i].Value })
		for bit := range 32 {
			c := Clone(e)
			c.TPM.PCRs[i].Index ^= 1 << bit
			try("register's number", c)
		}
		c := Clone(e)
		c.TPM.PCRs[i].Bank = "sha384"
		try("register's bank", c)
		c = Clone(e)
		c.TPM.PCRs = slices.Delete(c.TPM.PCRs, i, i+1)
		try("a register less", c)
	}
}

// Clone returns a copy that shares no memory with the evidence.
func Clone(e attest.Evidence) attest.Evidence {
	e.Report = bytes.Clone(e.Report)
	e.Certificates = slices.Clone(e.Certificates)
	for i := range e.Certificates {
		e.Certificates[i] = bytes.Clone(e.Certificates[i])
	}
	e.BootLog = bytes.Clone(e.BootLog)
	e.Endorsements = slices.Clone(e.Endorsements)
	for i := range e.Endorsements {
		x := &e.Endorsements[i]
		x.Body, x.Chain = bytes.Clone(x.Body), slices.Clone(x.Chain)
		for j := range x.Chain {
			x.Chain[j] = bytes.Clone(x.Chain[j])
		}
	}
	if e.TPM != nil {
		q := *e.TPM
		q.Quoted, q.Signature = bytes.Clone(q.Quoted), bytes.Clone(q.Signature)
		q.ActivationProof = bytes.Clone(q.ActivationProof)
		q.PCRs = slices.Clone(q.PCRs)
		for i := range q.PCRs {
			q.PCRs[i].Value = bytes.Clone(q.PCRs[i].Value)
		}
		e.TPM = &q
	}
	return e
}
