package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// maxChain bounds the certificates of a chain and maxChainSize their DER in
	// bytes: every handshake sends all of it, and an authority is a stranger.
	maxChain     = 8
	maxChainSize = 32 << 10
	// maxFile is in bytes of PEM, which is longer than DER by a third.
	maxFile = 2 * maxChainSize

	certificateSuffix = ".pem"
	tempPrefix        = ".new-"
)

// checkChain makes a certificate of what an authority signed, or what lay on the
// disk: for this host, good at now, and for no other key than ours.
func (a *Authority) checkChain(host string, chain [][]byte, now time.Time) (*tls.Certificate, error) {
	if len(chain) == 0 || len(chain) > maxChain {
		return nil, fmt.Errorf("a chain of %d certificates, want 1 to %d", len(chain), maxChain)
	}
	size := 0
	for n, der := range chain {
		if size += len(der); size > maxChainSize {
			return nil, fmt.Errorf("a chain of more than %d bytes", maxChainSize)
		}
		if n == 0 {
			continue
		}
		if _, err := x509.ParseCertificate(der); err != nil {
			return nil, fmt.Errorf("certificate %d of the chain: %w", n, err)
		}
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, fmt.Errorf("the host's certificate: %w", err)
	}
	if sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo); sum != a.ring.spk {
		return nil, errors.New("a certificate for another key")
	}
	if err := leaf.VerifyHostname(host); err != nil {
		return nil, fmt.Errorf("a certificate for another host: %w", err)
	}
	if now.Add(skew).Before(leaf.NotBefore) || !now.Before(leaf.NotAfter) {
		return nil, fmt.Errorf("a certificate that is good from %s to %s only", leaf.NotBefore.Format(time.RFC3339), leaf.NotAfter.Format(time.RFC3339))
	}
	return &tls.Certificate{Certificate: chain, PrivateKey: a.ring.key, Leaf: leaf}, nil
}

// fileOf is the file of a host's certificate. Names of hosts may be longer than
// those of files. With another directory, certificates are ordered again: the
// first may have been one for tests.
func (a *Authority) fileOf(host string) string {
	sum := sha256.Sum256([]byte(a.cfg.Directory + "\x00" + host))
	return filepath.Join(a.cfg.Dir, hex.EncodeToString(sum[:16])+certificateSuffix)
}

func (a *Authority) save(host string, chain [][]byte) error {
	var b bytes.Buffer
	for _, der := range chain {
		if err := pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			return err
		}
	}
	return replaceFile(a.fileOf(host), b.Bytes())
}

// load reads the certificates of earlier runs and deletes what is of no use any
// more: those for another key, from another directory, or at their end.
func (a *Authority) load() error {
	entries, err := os.ReadDir(a.cfg.Dir)
	if err != nil {
		return fmt.Errorf("reading the ingress's certificates: %w", err)
	}
	now := a.cfg.Now()
	for _, e := range entries {
		path := filepath.Join(a.cfg.Dir, e.Name())
		if strings.HasPrefix(e.Name(), tempPrefix) {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("removing what a crash left: %w", err)
			}
			continue
		}
		if filepath.Ext(e.Name()) != certificateSuffix {
			continue
		}
		host, cert, err := a.read(path, now)
		if err == nil && len(a.issued) < maxIssued {
			a.issued[host] = cert
			continue
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("removing a certificate of no use: %w", err)
		}
	}
	return nil
}

func (a *Authority) read(path string, now time.Time) (host string, cert *tls.Certificate, err error) {
	b, err := readBounded(path, maxFile)
	if err != nil {
		return "", nil, err
	}
	chain, err := parseChain(b)
	if err != nil {
		return "", nil, err
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return "", nil, err
	}
	for _, host := range leaf.DNSNames {
		if a.fileOf(host) == path {
			cert, err := a.checkChain(host, chain, now)
			return host, cert, err
		}
	}
	return "", nil, errors.New("a file with another's name")
}

// parseChain reads PEM certificates, the host's first.
func parseChain(b []byte) (chain [][]byte, err error) {
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("a PEM block of type %.40q", block.Type)
		}
		if chain = append(chain, block.Bytes); len(chain) > maxChain {
			return nil, fmt.Errorf("more than %d certificates", maxChain)
		}
	}
	if len(chain) == 0 {
		return nil, errors.New("no certificate")
	}
	return chain, nil
}
