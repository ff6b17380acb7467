package verify

import (
	"crypto/sha256"
	"crypto/x509"
	"embed"
	"encoding/pem"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/google/go-sev-guest/verify/trust"

	"apocryph/attest"
)

// Roots are the trust anchors beyond those that are compiled in: AMD's for
// SEV-SNP, Intel's for TDX and the TPM vendors' of [BuiltinEKRoots]. The zero value trusts
// nothing more.
type Roots struct {
	// SoftCAs are SHA-256 fingerprints of development CAs (the DER of their root
	// certificates). What they certify proves nothing about hardware.
	SoftCAs [][32]byte
	// EKRoots certify endorsement keys, EKIntermediates complete chains of which
	// a TPM stores the leaf only.
	EKRoots, EKIntermediates []*x509.Certificate
	// EKRootFingerprints are SHA-256 fingerprints of certificates that count as
	// roots when an EK chain carries them. The fingerprint of an EK certificate
	// itself pins that one TPM.
	EKRootFingerprints [][32]byte
	// AKNames are the names of attestation keys that need no activation, because
	// whoever wrote them down knows whose they are: see [Pinned].
	AKNames [][AKNameSize]byte

	// snp replaces AMD's certificates, by product line, in tests of this package.
	snp map[string]*trust.ProductCerts
	// tdx replaces Intel's certificate in tests of this package; nil is Intel's.
	tdx *x509.Certificate
	// chains is the memory of a [Verifier], or nil.
	chains *chainCache
}

//go:embed ekroots
var ekRootFiles embed.FS

// BuiltinEKRoots returns the TPM vendors' root certificates that are compiled
// in, from ekroots/*.pem.
func BuiltinEKRoots() []*x509.Certificate { return slices.Clone(builtinEKRoots()) }

var builtinEKRoots = sync.OnceValue(func() []*x509.Certificate {
	roots, err := parseRoots(ekRootFiles)
	if err != nil {
		// The files are part of the program and parsed by its tests.
		panic(err)
	}
	return roots
})

func parseRoots(files fs.FS) ([]*x509.Certificate, error) {
	names, err := fs.Glob(files, "ekroots/*.pem")
	if err != nil {
		return nil, fmt.Errorf("listing endorsement key roots: %w", err)
	}
	var roots []*x509.Certificate
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			root, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("parsing %s: %w", name, err)
			}
			roots = append(roots, root)
		}
	}
	return roots, nil
}

// RootsShown returns roots that trust whatever a provider shows of itself: the
// last certificate of its EK chain and of its software evidence. It is meant
// for writing a first policy from a machine that the user has other reasons to
// trust, and the result is worth exactly those. Either argument may be nil.
func RootsShown(id *attest.TPMIdentity, evidence []attest.Evidence) Roots {
	var r Roots
	if id != nil {
		if n := len(id.EKCertificates); n > 0 {
			r.EKRootFingerprints = append(r.EKRootFingerprints, sha256.Sum256(id.EKCertificates[n-1]))
		}
	}
	for _, e := range evidence {
		if n := len(e.Certificates); e.Type == attest.Soft && n > 0 {
			r.SoftCAs = append(r.SoftCAs, sha256.Sum256(e.Certificates[n-1]))
		}
	}
	return r
}
