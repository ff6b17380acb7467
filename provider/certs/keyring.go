package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"
)

const (
	// maxCached bounds the certificates that are kept, against clients that ask
	// for many hosts below the domain; each takes about two KiB.
	maxCached = 1024
	// lifetime is that of a certificate made here: the key does not outlive the
	// process, and clients of Apple accept no longer one than 825 days.
	lifetime = 90 * 24 * time.Hour
	// renewBefore is how long before its end a certificate is made again.
	renewBefore = 30 * 24 * time.Hour
	// skew is how far a client's clock may be behind.
	skew = time.Hour
)

// Keyring is one key and its certificates. Make it with [New].
type Keyring struct {
	key *ecdsa.PrivateKey
	spk [sha256.Size]byte
	now func() time.Time

	mu   sync.Mutex // guards what follows
	made map[string]*tls.Certificate
	// order has the hosts of made, the oldest first.
	order []string
}

// New makes a key.
func New(now func() time.Time) (*Keyring, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the ingress's key: %w", err)
	}
	return ringOf(key, now)
}

func ringOf(key *ecdsa.PrivateKey, now func() time.Time) (*Keyring, error) {
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encoding the ingress's key: %w", err)
	}
	return &Keyring{key: key, spk: sha256.Sum256(public), now: now, made: map[string]*tls.Certificate{}}, nil
}

// KeyDigest is the SHA-256 of the key's SubjectPublicKeyInfo: what claims have
// as ingress_tls_key.
func (k *Keyring) KeyDigest() []byte { return slices.Clone(k.spk[:]) }

// Certificate returns the certificate of a host, which it signs itself where it
// has none that is good for long enough.
func (k *Keyring) Certificate(host string) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if have := k.made[host]; have != nil && now.Add(renewBefore).Before(have.Leaf.NotAfter) {
		return have, nil
	}
	made, err := k.sign(host, now)
	if err != nil {
		return nil, err
	}
	if k.made[host] == nil {
		if len(k.order) >= maxCached {
			delete(k.made, k.order[0])
			k.order = k.order[1:]
		}
		k.order = append(k.order, host)
	}
	k.made[host] = made
	return made, nil
}

func (k *Keyring) sign(host string, now time.Time) (*tls.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("drawing a serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "apocryph ingress"}, DNSNames: []string{host},
		NotBefore: now.Add(-skew), NotAfter: now.Add(lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.key.Public(), k.key)
	if err != nil {
		return nil, fmt.Errorf("signing a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading a certificate that was just made: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k.key, Leaf: leaf}, nil
}
