package certs

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/acme"
)

const (
	// challengeType is the one that the ingress can answer (RFC 8555, 8.3).
	challengeType = "http-01"
	// maxAuthorizations bounds those of an order for one name.
	maxAuthorizations = 4
	// maxToken bounds a challenge's token in characters; 22 are the least that
	// RFC 8555, 8.1, allows.
	maxToken = 256
	// maxDetail bounds what of an authority's error is told, in bytes.
	maxDetail = 300
)

// order obtains and keeps a certificate for one host.
func (a *Authority) order(ctx context.Context, host string) error {
	ctx, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	chain, err := a.obtain(ctx, host)
	if err != nil {
		// The authority may have forgotten the account.
		a.registered = false
		return &authorityError{err}
	}
	cert, err := a.checkChain(host, chain, a.cfg.Now())
	if err != nil {
		return &authorityError{err}
	}
	if err := a.save(host, chain); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.issued[host] = cert
	return nil
}

// authorityError tells what an authority wrote, on one line of bounded length.
type authorityError struct{ cause error }

func (e *authorityError) Error() string {
	text := strings.Join(strings.Fields(e.cause.Error()), " ")
	if len(text) > maxDetail {
		text = strings.ToValidUTF8(text[:maxDetail], "") + "…"
	}
	return text
}

func (e *authorityError) Unwrap() error { return e.cause }

// obtain is one order from its begin to the certificate (RFC 8555, 7.4).
func (a *Authority) obtain(ctx context.Context, host string) ([][]byte, error) {
	if err := a.register(ctx); err != nil {
		return nil, err
	}
	order, err := a.acme.AuthorizeOrder(ctx, acme.DomainIDs(host))
	if err != nil {
		return nil, fmt.Errorf("ordering: %w", err)
	}
	if len(order.AuthzURLs) > maxAuthorizations {
		return nil, fmt.Errorf("the authority wants %d authorizations for one name, at most %d are made", len(order.AuthzURLs), maxAuthorizations)
	}
	for _, url := range order.AuthzURLs {
		if err := a.authorize(ctx, host, url); err != nil {
			return nil, err
		}
	}
	if order, err = a.acme.WaitOrder(ctx, order.URI); err != nil {
		return nil, fmt.Errorf("waiting for the order: %w", err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{host}}, a.ring.key)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	chain, _, err := a.acme.CreateOrderCert(ctx, order.FinalizeURL, request, true)
	if err != nil {
		return nil, fmt.Errorf("fetching the certificate: %w", err)
	}
	return chain, nil
}

// register makes the account, or finds the one of this key.
func (a *Authority) register(ctx context.Context) error {
	if a.registered {
		return nil
	}
	account := &acme.Account{}
	if a.cfg.Email != "" {
		account.Contact = []string{"mailto:" + a.cfg.Email}
	}
	// The operator agreed by configuring the directory.
	if _, err := a.acme.Register(ctx, account, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return fmt.Errorf("registering an account: %w", err)
	}
	a.registered = true
	return nil
}

// authorize shows the authority that the host leads here.
func (a *Authority) authorize(ctx context.Context, host, url string) error {
	z, err := a.acme.GetAuthorization(ctx, url)
	if err != nil {
		return fmt.Errorf("reading an authorization: %w", err)
	}
	if z.Status == acme.StatusValid {
		return nil
	}
	if z.Identifier.Value != host {
		return fmt.Errorf("an authorization for %.80q, want %s", z.Identifier.Value, host)
	}
	var found *acme.Challenge
	for _, c := range z.Challenges {
		if c.Type == challengeType {
			found = c
		}
	}
	if found == nil {
		return fmt.Errorf("the authority offers no challenge of type %s", challengeType)
	}
	if !validToken(found.Token) {
		return errors.New("the authority's token is none")
	}
	answer, err := a.acme.HTTP01ChallengeResponse(found.Token)
	if err != nil {
		return fmt.Errorf("answering a challenge: %w", err)
	}
	key := challenge{host, found.Token}
	a.await(key, answer)
	defer a.await(key, "")
	if _, err := a.acme.Accept(ctx, found); err != nil {
		return fmt.Errorf("accepting a challenge: %w", err)
	}
	if _, err := a.acme.WaitAuthorization(ctx, url); err != nil {
		return fmt.Errorf("waiting for a challenge: %w", err)
	}
	return nil
}

// await sets what is answered to a challenge, "" for nothing.
func (a *Authority) await(c challenge, answer string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if answer == "" {
		delete(a.tokens, c)
		return
	}
	a.tokens[c] = answer
}

// validToken accepts characters of base64url (RFC 8555, 8.1).
func validToken(token string) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return token != "" && len(token) <= maxToken && strings.Trim(token, alphabet) == ""
}
