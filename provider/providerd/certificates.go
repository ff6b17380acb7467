package providerd

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"

	"apocryph/proto/status"
	"apocryph/provider/certs"
	"apocryph/provider/ingress"
)

// ACME is an authority that signs certificates of the ingress (RFC 8555).
type ACME struct {
	// Directory is the URL of its directory; empty means that certificates are
	// self-made.
	Directory string
	// AcceptTerms agrees to its terms of service, without which it signs nothing.
	AcceptTerms bool
	// Email is where it may write to, CAFile the roots of the directory's TLS
	// (PEM); both may be empty.
	Email, CAFile string
}

// maxURL bounds a directory's URL in bytes.
const maxURL = 2048

func (a ACME) faults(ingressTLS string) (faults []status.Fault) {
	if a.Directory == "" {
		for _, x := range [][2]string{{"acme-email", a.Email}, {"acme-ca", a.CAFile}} {
			if x[1] != "" {
				faults = append(faults, status.Fault{Field: x[0], Got: fmt.Sprintf("%q", x[1]), Want: "nothing, for there is no --acme-directory"})
			}
		}
		if a.AcceptTerms {
			faults = append(faults, status.Fault{Field: "acme-accept-terms", Got: "true", Want: "nothing, for there is no --acme-directory"})
		}
		return faults
	}
	u, err := url.Parse(a.Directory)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" || len(a.Directory) > maxURL {
		// What is no such URL may have a password in it.
		faults = append(faults, status.Fault{Field: "acme-directory", Got: "something else", Want: "an https URL without a user or fragment"})
	}
	if ingressTLS == "" {
		faults = append(faults, status.Fault{Field: "ingress-tls", Got: "nothing", Want: "the address of HTTPS, which --acme-directory is for"})
	}
	if !a.AcceptTerms {
		faults = append(faults, status.Fault{
			Field: "acme-accept-terms", Got: "false", Want: "true: read the authority's terms of service, then agree to them with --acme-accept-terms",
		})
	}
	if a.Email != "" {
		if m, err := mail.ParseAddress(a.Email); err != nil || m.Address != a.Email {
			faults = append(faults, status.Fault{Field: "acme-email", Got: fmt.Sprintf("%q", a.Email), Want: "an address such as admin@example.org"})
		}
	}
	return faults
}

// roots is nil for the system's.
func (a ACME) roots() (*x509.CertPool, error) {
	if a.CAFile == "" {
		return nil, nil
	}
	b, err := os.ReadFile(a.CAFile)
	if err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, "provider.acme_ca", "reading the roots of the ACME directory")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, status.New(status.InvalidArgument, "provider.acme_ca", "%s has no PEM certificate", a.CAFile)
	}
	return pool, nil
}

// ingressKeyInfo keeps the key of what the ingress keeps apart from the store's.
const ingressKeyInfo = "apocryph/ingress/1"

// ingressKey derives the key that seals the ingress's keys from the data key.
func ingressKey(dataKey []byte) ([]byte, error) {
	return hkdf.Expand(sha256.New, dataKey, ingressKeyInfo, certs.KeySize)
}

// certified is what HTTPS is spoken with; the zero value is for no HTTPS.
type certified struct {
	shown      ingress.Certificates
	challenges ingress.Challenges
	// key is the digest that claims have.
	key []byte
	// run is nil where certificates are self-made.
	run func(context.Context, certs.Hosts) error
}

// certificates opens the key of HTTPS. Where an authority signs, it is the same
// as long as the measured state is; otherwise it is new.
func (n *Node) certificates(sealKey []byte) (certified, error) {
	switch {
	case n.set.IngressTLS == "":
		return certified{}, nil
	case n.set.ACME.Directory == "":
		ring, err := certs.New(n.set.Now)
		if err != nil {
			return certified{}, err
		}
		return certified{shown: ring, key: ring.KeyDigest()}, nil
	}
	a, err := certs.Open(certs.AuthorityConfig{
		Dir: filepath.Join(n.set.DataDir, "ingress"), SealKey: sealKey, Directory: n.set.ACME.Directory, Email: n.set.ACME.Email,
		Roots: n.set.acmeRoots, UserAgent: "apocryph-provider/" + n.set.Version, Now: n.set.Now, Log: n.log,
	})
	if err != nil {
		return certified{}, err
	}
	return certified{shown: a, challenges: a, key: a.KeyDigest(), run: a.Run}, nil
}
