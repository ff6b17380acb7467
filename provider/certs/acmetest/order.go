package acmetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"time"
)

// newOrder takes one name, RFC 8555, 7.4.
func (s *Server) newOrder(w http.ResponseWriter, payload []byte, key jwk) {
	var in struct {
		Identifiers []struct{ Type, Value string }
	}
	if err := json.Unmarshal(payload, &in); err != nil || len(in.Identifiers) != 1 || in.Identifiers[0].Type != "dns" {
		s.fault(w, "malformed", fmt.Sprintf("order %s", payload))
		return
	}
	id := rand.Text()
	o := &order{host: in.Identifiers[0].Value, token: rand.Text(), account: key, status: "pending", authz: "pending"}
	s.orders[id] = o
	s.hosts = append(s.hosts, o.host)
	s.writeOrder(w, http.StatusCreated, id, o)
}

func (s *Server) showOrder(w http.ResponseWriter, id string, o *order, _ []byte) {
	s.writeOrder(w, http.StatusOK, id, o)
}

func (s *Server) writeOrder(w http.ResponseWriter, code int, id string, o *order) {
	w.Header().Set("Location", s.http.URL+pathOrders+id)
	out := map[string]any{
		"status": o.status, "identifiers": []map[string]string{{"type": "dns", "value": o.host}},
		"authorizations": []string{s.http.URL + pathAuthz + id}, "finalize": s.http.URL + pathFinalize + id,
	}
	if o.status == "valid" {
		out["certificate"] = s.http.URL + pathCert + id
	}
	reply(w, code, out)
}

func (s *Server) showAuthz(w http.ResponseWriter, id string, o *order, _ []byte) {
	reply(w, http.StatusOK, map[string]any{
		"status": o.authz, "identifier": map[string]string{"type": "dns", "value": o.host},
		"challenges": []map[string]string{
			{"type": "dns-01", "url": s.http.URL + pathChallenge + "none", "token": o.token, "status": "pending"},
			{"type": "http-01", "url": s.http.URL + pathChallenge + id, "token": o.token, "status": o.authz},
		},
	})
}

// tryChallenge fetches the answer at once (RFC 8555, 8.3).
func (s *Server) tryChallenge(w http.ResponseWriter, id string, o *order, _ []byte) {
	got, err := s.answerOf(o)
	if want := o.token + "." + o.account.thumbprint(); err == nil && got == want {
		o.authz, o.status = "valid", "ready"
	} else {
		o.authz, o.status = "invalid", "invalid"
	}
	reply(w, http.StatusOK, map[string]string{"type": "http-01", "url": s.http.URL + pathChallenge + id, "token": o.token, "status": o.authz})
}

func (s *Server) answerOf(o *order) (string, error) {
	res, err := s.fetch.Get("http://" + o.host + "/.well-known/acme-challenge/" + o.token)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", res.StatusCode)
	}
	return string(b), err
}

func (s *Server) finalize(w http.ResponseWriter, id string, o *order, payload []byte) {
	if o.status != "ready" {
		s.fault(w, "orderNotReady", "the order is "+o.status)
		return
	}
	var in struct{ CSR string }
	if err := json.Unmarshal(payload, &in); err != nil {
		s.fault(w, "malformed", err.Error())
		return
	}
	der, err := base64.RawURLEncoding.DecodeString(in.CSR)
	if err != nil {
		s.fault(w, "badCSR", err.Error())
		return
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil || request.CheckSignature() != nil || !slices.Equal(request.DNSNames, []string{o.host}) {
		s.fault(w, "badCSR", fmt.Sprintf("a request for %s: %v", o.host, err))
		return
	}
	now := s.cfg.Now()
	o.chain, err = s.ca.sign(request, o.host, now, now.Add(s.cfg.Lifetime))
	if err != nil {
		s.fault(w, "serverInternal", err.Error())
		return
	}
	if s.cfg.Chain != nil {
		o.chain = s.cfg.Chain(request, o.chain)
	}
	o.status = "valid"
	s.writeOrder(w, http.StatusOK, id, o)
}

func (s *Server) showCert(w http.ResponseWriter, _ string, o *order, _ []byte) {
	w.Header().Set("Content-Type", "application/pem-certificate-chain")
	for _, der := range o.chain {
		_ = pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
}

// ca signs.
type ca struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newCA() (*ca, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &ca{key, cert}, err
}

func (c *ca) sign(request *x509.CertificateRequest, host string, from, until time.Time) ([][]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, DNSNames: []string{host}, NotBefore: from, NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, request.PublicKey, c.key)
	return [][]byte{der, c.cert.Raw}, err
}
