package verify

import "crypto/x509"

// TrustTDX returns roots that trust a synthetic CA in place of Intel's, for
// tests outside this package.
func TrustTDX(root *x509.Certificate) Roots { return Roots{tdx: root} }
