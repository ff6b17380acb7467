package verify_test

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/verify"
	"apocryph/proto/status"
)

func TestPinning(t *testing.T) {
	v := newVendor(t)
	id := paperTPM(t, v, nil)
	withRoot := id
	withRoot.EKCertificates = [][]byte{id.EKCertificates[0], v.root.Raw}
	leaf, root := sha256.Sum256(id.EKCertificates[0]), sha256.Sum256(v.root.Raw)
	tests := map[string]struct {
		id    attest.TPMIdentity
		roots verify.Roots
		end   [32]byte
		ok    bool
	}{
		"carried root pinned":       {withRoot, verify.Roots{EKRootFingerprints: [][32]byte{root}}, root, true},
		"shown root pinned":         {withRoot, verify.RootsShown(&withRoot, nil), root, true},
		"one TPM pinned":            {id, verify.Roots{EKRootFingerprints: [][32]byte{leaf}}, leaf, true},
		"shown TPM pinned":          {id, verify.RootsShown(&id, nil), leaf, true},
		"pinned root not carried":   {id, verify.Roots{EKRootFingerprints: [][32]byte{root}}, root, false},
		"another root pinned":       {withRoot, verify.Roots{EKRootFingerprints: [][32]byte{sha256.Sum256(nil)}}, root, false},
		"nothing pinned":            {withRoot, verify.Roots{}, root, false},
		"root only as intermediate": {id, verify.Roots{EKIntermediates: []*x509.Certificate{v.root}}, root, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, want, err := verify.NewActivation(tt.id, tt.roots, rand.Reader, time.Now())
			if (err == nil) != tt.ok {
				t.Fatalf("got %v, want accepted: %v", err, tt.ok)
			}
			if got := want.Checks()[0].Got; tt.ok && got != "root sha256:"+fmt.Sprintf("%x", tt.end) {
				t.Errorf("got %s, want %x", got, tt.end)
			}
			if !tt.ok {
				refusedChecks(t, want.Checks(), err, "ATT-031")
				if !strings.Contains(hint(err), "ek_roots") {
					t.Errorf("got hint %q, want the policy's key", hint(err))
				}
			}
		})
	}
}

func hint(err error) string {
	var e *status.Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}

func TestRootsShown(t *testing.T) {
	r := verify.RootsShown(&attest.TPMIdentity{}, []attest.Evidence{
		{Type: attest.Soft}, {Type: attest.SEVSNP, Certificates: [][]byte{{1}}}, {Type: attest.Soft, Certificates: [][]byte{{1}, {2}}},
	})
	if len(r.EKRootFingerprints) != 0 || len(r.SoftCAs) != 1 || r.SoftCAs[0] != sha256.Sum256([]byte{2}) {
		t.Errorf("got %+v", r)
	}
	if r := verify.RootsShown(nil, nil); len(r.SoftCAs)+len(r.EKRootFingerprints) != 0 {
		t.Errorf("got %+v from nothing", r)
	}
}
