package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/verify/trust"

	"apocryph/attest"
)

// maxChains bounds what a [Verifier] remembers; an entry is about 10 KiB. Only
// chains that verified take a place, so strangers cannot fill it with their own.
const maxChains = 256

// Verifier verifies evidence as [Evidence] does and remembers the chains of
// SEV-SNP evidence that verified: their signatures are half of the work and the
// same every time. Everything else is done anew for each call.
//
// A chain is found again by its exact certificates and revocation list, under
// the same root, and only while none of them has expired. A Verifier is safe
// for concurrent use; its owner decides how long it lives.
type Verifier struct{ chains chainCache }

// NewVerifier returns a verifier that remembers nothing yet.
func NewVerifier() *Verifier {
	return &Verifier{chainCache{entries: make(map[chainKey]*snpChain)}}
}

// Evidence is [Evidence] with a memory.
func (v *Verifier) Evidence(evidence []attest.Evidence, claims []byte, ch attest.Challenge, act *Expected, roots Roots, now time.Time) (*attest.Result, error) {
	roots.chains = &v.chains
	return Evidence(evidence, claims, ch, act, roots, now)
}

// chainKey is the SHA-256 of what a chain was verified from.
type chainKey [sha256.Size]byte

func newChainKey(kind abi.ReportSigner, certificates [][]byte, crl []byte, hasCRL bool) chainKey {
	h := sha256.New()
	part := func(b []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		// A hash's Write never returns an error.
		_, _ = h.Write(n[:])
		_, _ = h.Write(b)
	}
	part([]byte{byte(kind)})
	// No list and an empty one differ in what is checked.
	if hasCRL {
		part([]byte{1})
		part(crl)
	} else {
		part([]byte{0})
	}
	for _, der := range certificates {
		part(der)
	}
	return chainKey(h.Sum(nil))
}

// chainCache drops the oldest entry where it is full.
type chainCache struct {
	mu      sync.Mutex
	entries map[chainKey]*snpChain
	order   []chainKey
}

// get returns a chain that would verify again now, under the given roots, or nil.
func (c *chainCache) get(key chainKey, trusted map[string]*trust.ProductCerts, now time.Time) *snpChain {
	c.mu.Lock()
	defer c.mu.Unlock()
	chain := c.entries[key]
	if chain == nil || now.Before(chain.from) || now.After(chain.until) {
		return nil
	}
	if known := trusted[chain.ek.line]; known == nil || !bytes.Equal(known.Ark.Raw, chain.root.Raw) {
		return nil
	}
	return chain
}

func (c *chainCache) put(key chainKey, chain *snpChain) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[key]; !ok {
		if len(c.order) == maxChains {
			delete(c.entries, c.order[0])
			c.order = c.order[1:]
		}
		c.order = append(c.order, key)
	}
	c.entries[key] = chain
}
