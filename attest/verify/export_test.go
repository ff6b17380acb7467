package verify

import (
	"crypto/x509"

	"github.com/google/go-sev-guest/verify/trust"
)

// TrustSNP returns roots that trust a synthetic CA in place of AMD's, for tests
// outside this package.
func TrustSNP(line string, ark, ask, asvk *x509.Certificate) Roots {
	return Roots{snp: map[string]*trust.ProductCerts{line: {Ark: ark, Ask: ask, Asvk: asvk}}}
}
