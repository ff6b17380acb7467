package collateral

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"apocryph/attest"
	"apocryph/proto/status"
)

// intelRootCRL is where Intel publishes the revocation list of its root, which
// is not part of its service. Caches have it under their own URL.
const intelRootCRL = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"

// endorseTDX adds the four pieces that are demanded of every quote.
func (s *Source) endorseTDX(ctx context.Context, e attest.Evidence) (attest.Evidence, error) {
	leaf, err := pckOf(e.Report)
	if err != nil {
		return e, status.Wrap(err, status.Unavailable, "collateral.quote", "the quote does not say which platform it is of").
			WithHint("the host's quote generation service must put the platform's certificates into quotes")
	}
	for _, x := range s.intelPieces(leaf) {
		if _, ok := e.Endorsed(x.kind); ok {
			continue
		}
		got, err := s.get(ctx, x.piece)
		if err != nil {
			return e, err
		}
		e.Endorsements = append(e.Endorsements, attest.Endorsement{Kind: x.kind, Body: got.Body, Chain: got.Chain})
	}
	return e, nil
}

type intelPiece struct {
	kind attest.Kind
	piece
}

func (s *Source) intelPieces(leaf pck) []intelPiece {
	const option = "--intel-pcs"
	pcs := base(s.cfg.PCS)
	root := join(pcs, "/sgx/certification/v4/rootcacrl")
	if pcs == DefaultPCS {
		root = intelRootCRL
	}
	return []intelPiece{
		{attest.TDXTCBInfo, piece{
			name: "Intel's TCB info of platform " + leaf.fmspc, id: "tdx-tcb-info/" + leaf.fmspc, option: option,
			url: join(pcs, "/tdx/certification/v4/tcb?fmspc=%s", leaf.fmspc), header: "TCB-Info-Issuer-Chain",
			max: attest.MaxEndorsement, shape: signedUntil("tcbInfo"),
		}},
		{attest.TDXQEIdentity, piece{
			name: "Intel's quoting enclave identity", id: "tdx-qe-identity", option: option,
			url: join(pcs, "/tdx/certification/v4/qe/identity"), header: "SGX-Enclave-Identity-Issuer-Chain",
			max: attest.MaxEndorsement, shape: signedUntil("enclaveIdentity"),
		}},
		{attest.TDXRootCRL, piece{
			name: "Intel's root revocation list", id: "tdx-root-crl", option: option, url: root,
			max: attest.MaxEndorsement, shape: listUntil, decode: unhex,
		}},
		{attest.TDXPCKCRL, piece{
			name: "Intel's revocation list of the " + leaf.ca + " CA", id: "tdx-pck-crl/" + leaf.ca, option: option,
			url: join(pcs, "/sgx/certification/v4/pckcrl?ca=%s&encoding=der", leaf.ca),
			max: attest.MaxEndorsement, shape: listUntil, decode: unhex,
		}},
	}
}

// pck is what a platform's certificate says of it: its kind in hex, and which
// of Intel's two authorities made the certificate.
type pck struct{ fmspc, ca string }

// oidSGX starts the extension of a PCK certificate, 4 its FMSPC (Intel SGX PCK
// Certificate and CRL Profile Specification, 1.3.5).
var (
	oidSGX   = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}
	oidFMSPC = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1, 4}
)

const fmspcSize = 6

// pckOf finds the platform's certificate in a quote of this machine: its chain
// is the only PEM in it.
func pckOf(quote []byte) (pck, error) {
	start := bytes.Index(quote, []byte("-----BEGIN CERTIFICATE-----"))
	if start < 0 {
		return pck{}, errors.New("the quote has no certificate")
	}
	chain := pemChain(quote[start:])
	if len(chain) == 0 {
		return pck{}, errors.New("the quote's certificates cannot be read")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return pck{}, err
	}
	out := pck{ca: "processor"}
	if strings.Contains(leaf.Issuer.CommonName, "Platform") {
		out.ca = "platform"
	}
	for _, x := range leaf.Extensions {
		if !x.Id.Equal(oidSGX) {
			continue
		}
		var fields []asn1.RawValue
		if _, err := asn1.Unmarshal(x.Value, &fields); err != nil {
			return pck{}, err
		}
		for _, f := range fields {
			var id asn1.ObjectIdentifier
			rest, err := asn1.Unmarshal(f.Bytes, &id)
			if err != nil {
				return pck{}, err
			}
			if !id.Equal(oidFMSPC) {
				continue
			}
			var v []byte
			if _, err := asn1.Unmarshal(rest, &v); err != nil || len(v) != fmspcSize {
				return pck{}, errors.New("an FMSPC that is no 6 bytes")
			}
			out.fmspc = hex.EncodeToString(v)
			return out, nil
		}
	}
	return pck{}, errors.New("the quote's certificate names no FMSPC")
}

// signedUntil reads the next update of a signed statement.
func signedUntil(name string) func([]byte) (time.Time, error) {
	return func(body []byte) (time.Time, error) {
		var outer map[string]json.RawMessage
		if err := json.Unmarshal(body, &outer); err != nil {
			return time.Time{}, errors.New("not a signed statement")
		}
		var inner struct {
			NextUpdate time.Time `json:"nextUpdate"`
		}
		if err := json.Unmarshal(outer[name], &inner); err != nil || inner.NextUpdate.IsZero() || len(outer["signature"]) == 0 {
			return time.Time{}, fmt.Errorf("not a signed %s with a next update", name)
		}
		return inner.NextUpdate, nil
	}
}

func listUntil(body []byte) (time.Time, error) {
	list, err := x509.ParseRevocationList(body)
	if err != nil {
		return time.Time{}, errors.New("not a revocation list")
	}
	if list.NextUpdate.IsZero() {
		return time.Time{}, errors.New("a revocation list without a next update")
	}
	return list.NextUpdate, nil
}

// unhex is for caches, which send revocation lists as hex digits.
func unhex(body []byte) []byte {
	if der, err := hex.DecodeString(string(bytes.TrimSpace(body))); err == nil {
		return der
	}
	return body
}
