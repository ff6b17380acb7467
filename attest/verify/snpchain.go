package verify

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-sev-guest/abi"
	spb "github.com/google/go-sev-guest/proto/sevsnp"
	"github.com/google/go-sev-guest/verify/trust"

	"apocryph/attest"
	"apocryph/attest/verify/p384"
)

// snpChain is a verified chain: a chip's key (VCEK) or one that AMD gave a
// cloud provider to load (VLEK), the signing certificate (ASK or ASVK), the
// root (ARK).
type snpChain struct {
	leaf, intermediate, root *x509.Certificate
	// key is the leaf's.
	key         p384.Key
	ek          *endorsementKey
	fingerprint [32]byte
	// crlExpires is zero where no revocation list came.
	crlExpires time.Time
	// The chain verifies from and until these, both included.
	from, until time.Time
}

// refusal is why a chain does not verify: the arguments of steps.fail.
type refusal struct {
	code      code
	got, want string
	cause     error
}

// chainLength is that of the one shape that AMD's chains have.
const chainLength = 3

// amdRoots are AMD's certificates by product line, from the library's files.
// Its own table lacks those for VLEKs.
var amdRoots = sync.OnceValue(func() map[string]*trust.ProductCerts {
	table := make(map[string]*trust.ProductCerts)
	for line, files := range map[string][2][]byte{
		lineMilan: {trust.AskArkMilanVcekBytes, trust.AskArkMilanVlekBytes},
		lineGenoa: {trust.AskArkGenoaVcekBytes, trust.AskArkGenoaVlekBytes},
		lineTurin: {trust.AskArkTurinVcekBytes, trust.AskArkTurinVlekBytes},
	} {
		var vcek, vlek trust.ProductCerts
		// One of the files ends in an empty line, which the library's parser refuses.
		if err := errors.Join(vcek.FromKDSCertBytes(bytes.TrimSpace(files[0])), vlek.FromKDSCertBytes(bytes.TrimSpace(files[1]))); err != nil {
			// The files are part of the program and parsed by its tests.
			panic(err)
		}
		table[line] = &trust.ProductCerts{Ask: vcek.Ask, Asvk: vlek.Asvk, Ark: vcek.Ark}
	}
	return table
})

// checkSNPChain verifies the certificates, or finds them in the caller's memory
// of chains, and that they are for the product that the report is of.
func checkSNPChain(s *steps, e attest.Evidence, report *spb.Report, roots Roots, now time.Time) (*snpChain, error) {
	info, err := abi.ParseSignerInfo(report.GetSignerInfo())
	if err != nil || info.SigningKey > abi.VlekReportSigner {
		return nil, s.fail(codeChain, "a report that no key of a chip signed", "a VCEK or VLEK", err)
	}
	trusted := roots.snp
	switch {
	case e.Type == attest.Soft:
		if trusted, err = softRoots(s, e.Certificates, roots); err != nil {
			return nil, err
		}
	case trusted == nil:
		trusted = amdRoots()
	}
	crl, hasCRL := e.Endorsed(attest.SNPCRL)
	chain, key := (*snpChain)(nil), chainKey{}
	if roots.chains != nil {
		key = newChainKey(info.SigningKey, e.Certificates, crl.Body, hasCRL)
		chain = roots.chains.get(key, trusted, now)
	}
	if chain == nil {
		var r *refusal
		if chain, r = verifySNPChain(e.Certificates, info.SigningKey, trusted, now); r == nil && hasCRL {
			r = chain.checkCRL(crl.Body, now)
		}
		if r != nil {
			return nil, s.fail(r.code, r.got, r.want, r.cause)
		}
		if roots.chains != nil {
			roots.chains.put(key, chain)
		}
	}
	if got := reportLine(report, chain.ek); got != chain.ek.line {
		return nil, s.fail(codeChain, "a certificate for "+chain.ek.line, "one for the report's processor, "+got, nil)
	}
	s.pass(codeChain, "root sha256:"+short(chain.fingerprint[:]))
	if hasCRL {
		s.pass(codeRevoked, "AMD's list, whose next update is "+chain.crlExpires.UTC().Format(time.RFC3339))
	}
	return chain, nil
}

// softRoots takes the last two certificates of the evidence as signing and root
// certificate, after the root's fingerprint was found among the named ones.
func softRoots(s *steps, chain [][]byte, roots Roots) (map[string]*trust.ProductCerts, error) {
	if n := len(chain); n != chainLength {
		return nil, s.fail(codeChain, fmt.Sprintf("%d certificates", n), "3: device, signing and root certificate", nil)
	}
	root := sha256.Sum256(chain[2])
	if !slices.Contains(roots.SoftCAs, root) {
		return nil, s.fail(codeUntrustedRoot, "development CA sha256:"+short(root[:]), "one that the policy names", nil).
			WithHint("software evidence proves nothing about hardware; to accept this device for development, name its CA under dev.soft_ca in the policy")
	}
	s.pass(codeUntrustedRoot, "development CA sha256:"+short(root[:]))
	ask, askErr := parseCertificate(chain[1])
	ark, arkErr := parseCertificate(chain[2])
	if err := errors.Join(askErr, arkErr); err != nil {
		return nil, s.fail(codeChain, "a certificate that cannot be read", "the development CA's certificates", err)
	}
	return map[string]*trust.ProductCerts{lineMilan: {Ask: ask, Ark: ark}}, nil
}

// verifySNPChain verifies certificates of a report, leaf first. The signing
// certificate and the root need not be among them; a root that is must be one
// that is trusted anyway.
func verifySNPChain(ders [][]byte, kind abi.ReportSigner, trusted map[string]*trust.ProductCerts, now time.Time) (*snpChain, *refusal) {
	fail := func(got, want string, cause error) (*snpChain, *refusal) {
		return nil, &refusal{codeChain, got, want, cause}
	}
	if n := len(ders); n == 0 || n > chainLength {
		return fail(fmt.Sprintf("%d certificates", n), "1 to 3: chip, signing and root certificate", nil)
	}
	leaf, err := parseCertificate(ders[0])
	if err != nil {
		return fail("a certificate that cannot be read", "the chip's certificate", err)
	}
	if err := checkLeaf(leaf, kind); err != nil {
		return fail("a certificate that is not a chip's", fmt.Sprintf("a %v's certificate in AMD's form", kind), err)
	}
	// checkLeaf saw that there is one.
	public, _ := leaf.PublicKey.(*ecdsa.PublicKey)
	key, err := p384.NewKey(public)
	if err != nil {
		return fail("a certificate that is not a chip's", "a key on P-384", err)
	}
	line := lineOfIssuer(leaf, kind)
	known := trusted[line]
	if known == nil {
		return fail("a certificate of an unknown issuer", "one of AMD's for Milan, Genoa or Turin", nil)
	}
	ek, err := parseEndorsementKey(leaf, kind, line)
	if err != nil {
		return fail("a certificate without AMD's extensions", fmt.Sprintf("a %v's certificate in AMD's form", kind), err)
	}
	c := &snpChain{leaf: leaf, key: key, intermediate: known.Ask, root: known.Ark, ek: ek}
	if kind == abi.VlekReportSigner {
		c.intermediate = known.Asvk
	}
	if len(ders) > 1 {
		if c.intermediate, err = parseCertificate(ders[1]); err != nil {
			return fail("a certificate that cannot be read", "the signing certificate", err)
		}
	}
	if c.intermediate == nil || c.intermediate.Subject.CommonName != leaf.Issuer.CommonName {
		return fail("another signing certificate", "that of "+line+" for this kind of key", nil)
	}
	if len(ders) == chainLength && !bytes.Equal(ders[2], known.Ark.Raw) {
		return fail("another root certificate", "that of "+line, nil)
	}
	if err := c.verify(now); err != nil {
		return fail("a certificate that no trusted root vouches for now", "a chain to a trusted root", err)
	}
	c.fingerprint = sha256.Sum256(c.root.Raw)
	return c, nil
}

func (c *snpChain) verify(now time.Time) error {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(c.root)
	intermediates.AddCert(c.intermediate)
	chains, err := c.leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return err
	}
	if len(chains) != 1 || len(chains[0]) != chainLength {
		return errNotOfThisForm
	}
	for _, x := range chains[0] {
		c.narrow(x.NotBefore, x.NotAfter)
	}
	return nil
}

// narrow cuts the time in which the chain verifies.
func (c *snpChain) narrow(from, until time.Time) {
	if from.After(c.from) {
		c.from = from
	}
	if c.until.IsZero() || until.Before(c.until) {
		c.until = until
	}
}

// checkLeaf holds a certificate against the form of AMD's (57230, 3.1 and 3.2).
// The name keeps one kind of key from standing in for the other.
func checkLeaf(leaf *x509.Certificate, kind abi.ReportSigner) error {
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	switch {
	case !ok || key.Curve != elliptic.P384():
		return errors.New("its key is not on P-384")
	case leaf.SignatureAlgorithm != x509.SHA384WithRSAPSS:
		return fmt.Errorf("it is signed with %v", leaf.SignatureAlgorithm)
	case leaf.Subject.CommonName != "SEV-"+kind.String():
		return errors.New("it has another name")
	case leaf.IsCA:
		return errors.New("it is for signing certificates")
	}
	return nil
}

// lineOfIssuer is the product line in the issuer's name: SEV-Milan, or
// SEV-VLEK-Milan. It is "" for other names.
func lineOfIssuer(leaf *x509.Certificate, kind abi.ReportSigner) string {
	prefix := "SEV-"
	if kind == abi.VlekReportSigner {
		prefix = "SEV-VLEK-"
	}
	line, ok := strings.CutPrefix(leaf.Issuer.CommonName, prefix)
	if !ok {
		return ""
	}
	return line
}
