package collateral

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"apocryph/attest"
)

const (
	// maxEntry bounds a kept file, in bytes: a body and a chain in base64.
	maxEntry = 512 << 10
	// maxFiles bounds the directory: a platform has six pieces at one time.
	maxFiles = 256
)

// piece is one thing that a vendor publishes.
type piece struct {
	// name is for people, id for the file: it is the same with every service.
	name, id string
	// url is empty where nothing is to be fetched; option is what would change that.
	url, option string
	// header names the header with the signer's chain; empty means none.
	header string
	// max is in bytes.
	max int
	// lasting pieces are good until they expire, and not renewed before.
	lasting bool
	// shape reads when a body expires, and refuses what is something else.
	shape func(body []byte) (expires time.Time, err error)
	// decode turns what a service sends into the body; nil leaves it.
	decode func([]byte) []byte
}

// key is the name of the piece's file.
func (p piece) key() string {
	sum := sha256.Sum256([]byte(p.id))
	return hex.EncodeToString(sum[:16])
}

// entry is a piece that was fetched, as it is kept.
type entry struct {
	Name    string    `json:"name"`
	Fetched time.Time `json:"fetched"`
	Expires time.Time `json:"expires"`
	Body    []byte    `json:"body"`
	Chain   [][]byte  `json:"chain,omitempty"`

	// lasting is the piece's.
	lasting bool
}

func (e *entry) valid(now time.Time) bool { return now.Before(e.Expires) }

// old reports whether it is time to fetch a piece again: after a day, or half
// its time.
func (e *entry) old(now time.Time) bool {
	if e.lasting {
		return !e.valid(now)
	}
	after := min(renewAfter, e.Expires.Sub(e.Fetched)/2)
	return now.Sub(e.Fetched) >= after || now.Before(e.Fetched)
}

func (s *Source) path(p piece) string { return filepath.Join(s.cfg.Dir, p.key()+".json") }

// fetch asks the service once.
func (s *Source) fetch(ctx context.Context, p piece) (*entry, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(2*p.max)+1))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &answerError{resp.StatusCode}
	}
	if p.decode != nil {
		body = p.decode(body)
	}
	e := &entry{Name: p.name, Fetched: s.cfg.Now().UTC(), Body: body}
	if p.header != "" {
		if e.Chain, err = chainOf(resp.Header.Get(p.header)); err != nil {
			return nil, fmt.Errorf("header %s: %w", p.header, err)
		}
	}
	if err := e.check(p); err != nil {
		return nil, err
	}
	if !e.valid(s.cfg.Now()) {
		return nil, fmt.Errorf("it expired at %s", e.Expires.Format(time.RFC3339))
	}
	return e, nil
}

// answerError is an answer that is none.
type answerError struct{ code int }

func (e *answerError) Error() string { return fmt.Sprintf("answered %d", e.code) }

// check reads the shape, of what came from a service and from a file alike.
func (e *entry) check(p piece) (err error) {
	if n := len(e.Body); n == 0 || n > p.max {
		return fmt.Errorf("%d bytes, want 1 to %d", n, p.max)
	}
	if p.header != "" && len(e.Chain) != signerChain {
		return fmt.Errorf("a chain of %d certificates, want %d", len(e.Chain), signerChain)
	}
	e.lasting = p.lasting
	e.Expires, err = p.shape(e.Body)
	e.Expires = e.Expires.UTC()
	return err
}

// signerChain is that of Intel's statements: signer and root.
const signerChain = 2

// chainOf reads PEM certificates that a header has in the form of a URL's query.
func chainOf(header string) ([][]byte, error) {
	text, err := url.QueryUnescape(header)
	if err != nil {
		return nil, errors.New("not in the form of a query")
	}
	chain := pemChain([]byte(text))
	if len(chain) != signerChain {
		return nil, fmt.Errorf("%d certificates, want %d", len(chain), signerChain)
	}
	return chain, nil
}

// pemChain returns the certificates of a text, as many as evidence may have.
func pemChain(text []byte) (chain [][]byte) {
	for block, rest := pem.Decode(text); block != nil && len(chain) < attest.MaxCertificates; block, rest = pem.Decode(rest) {
		if len(block.Bytes) > attest.MaxCertificate {
			return nil
		}
		chain = append(chain, block.Bytes)
	}
	return chain
}

// load reads what was kept; nil where there is nothing.
func load(path string, p piece) (*entry, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxEntry+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxEntry {
		return nil, fmt.Errorf("more than %d bytes", maxEntry)
	}
	var e entry
	if err := json.Unmarshal(b, &e); err != nil {
		return nil, err
	}
	if err := e.check(p); err != nil {
		return nil, err
	}
	return &e, nil
}

// save keeps a piece: it is in its file whole, or the one before it is.
func (e *entry) save(path string) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if files, err := os.ReadDir(dir); err == nil && len(files) > maxFiles {
		return fmt.Errorf("%s has %d files", dir, len(files))
	}
	f, err := os.CreateTemp(dir, ".collateral-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
