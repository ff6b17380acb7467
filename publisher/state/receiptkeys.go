package state

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"apocryph/attest"
	"apocryph/attest/client"
	"apocryph/attest/receipt"
	"apocryph/proto/status"
	"apocryph/publisher"
)

const (
	// maxReceiptKeys bounds the files, against a provider that shows another key
	// each time; the oldest go first.
	maxReceiptKeys    = 4096
	receiptKeyVersion = 1
)

// receiptKey is one key, receipt-keys/HEX.json with HEX its id.
type receiptKey struct {
	Version   int       `json:"version"`
	Key       string    `json:"key"`
	Provider  string    `json:"provider"`
	BootEpoch string    `json:"boot_epoch"`
	Level     string    `json:"level"`
	Platform  string    `json:"platform"`
	Policy    string    `json:"policy"`
	Warnings  []string  `json:"warnings,omitempty"`
	Seen      time.Time `json:"seen"`
}

// ReceiptKeys is a [publisher.ReceiptKeys].
type ReceiptKeys struct{ s *State }

var _ publisher.ReceiptKeys = ReceiptKeys{}

// ReceiptKeys remembers attested receipt keys.
func (s *State) ReceiptKeys() ReceiptKeys { return ReceiptKeys{s} }

func (r ReceiptKeys) dir() string { return filepath.Join(r.s.dir, "receipt-keys") }

// keyIDPattern is the form of [receipt.KeyID].
var keyIDPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// RememberKey notes a key and under what it was affirmed. The last time counts.
func (r ReceiptKeys) RememberKey(k client.AttestedKey) error {
	if len(k.Key) != ed25519.PublicKeySize {
		return status.New(status.InvalidArgument, "state.receipt_key", "key: got %d bytes, want %d", len(k.Key), ed25519.PublicKeySize)
	}
	if err := r.prune(); err != nil {
		return err
	}
	return r.s.writeJSON(filepath.Join(r.dir(), receipt.KeyID(k.Key)+".json"), receiptKey{
		Version: receiptKeyVersion, Key: hex.EncodeToString(k.Key), Provider: k.Provider, BootEpoch: hex.EncodeToString(k.BootEpoch),
		Level: string(k.Level), Platform: k.Platform, Policy: hex.EncodeToString(k.Policy[:]), Warnings: k.Warnings, Seen: k.Seen.UTC(),
	})
}

// Key returns the remembered key of an id, such as an envelope names: any text
// of a stranger. One that is not known is not_found.
func (r ReceiptKeys) Key(id string) (client.AttestedKey, error) {
	unknown := status.New(status.NotFound, "state.receipt_key", "no receipt key of this id was attested from here")
	if !keyIDPattern.MatchString(id) {
		return client.AttestedKey{}, unknown
	}
	path := filepath.Join(r.dir(), id+".json")
	var have receiptKey
	if err := r.s.readJSON(path, receiptKeyVersion, &have); errors.Is(err, fs.ErrNotExist) {
		return client.AttestedKey{}, unknown
	} else if err != nil {
		return client.AttestedKey{}, err
	}
	key, bad1 := hex.DecodeString(have.Key)
	epoch, bad2 := hex.DecodeString(have.BootEpoch)
	policy, bad3 := hex.DecodeString(have.Policy)
	if errors.Join(bad1, bad2, bad3) != nil || len(key) != ed25519.PublicKeySize || len(policy) != 32 || receipt.KeyID(key) != id {
		return client.AttestedKey{}, status.New(status.InvalidArgument, "state.corrupt", "%s is damaged", path).WithHint("move the file away")
	}
	return client.AttestedKey{
		Key: key, Provider: have.Provider, BootEpoch: epoch, Level: attest.Level(have.Level), Platform: have.Platform,
		Policy: [32]byte(policy), Warnings: have.Warnings, Seen: have.Seen,
	}, nil
}

// prune removes the oldest when there are too many.
func (r ReceiptKeys) prune() error {
	all, err := os.ReadDir(r.dir())
	if err != nil {
		return r.s.diskError(err, r.dir())
	}
	for len(all) >= maxReceiptKeys {
		oldest, when := -1, time.Time{}
		for i, e := range all {
			info, err := e.Info()
			if err == nil && strings.HasSuffix(e.Name(), ".json") && (oldest < 0 || info.ModTime().Before(when)) {
				oldest, when = i, info.ModTime()
			}
		}
		if oldest < 0 {
			return nil
		}
		if err := os.Remove(filepath.Join(r.dir(), all[oldest].Name())); err != nil && !os.IsNotExist(err) {
			return r.s.diskError(err, r.dir())
		}
		all = append(all[:oldest], all[oldest+1:]...)
	}
	return nil
}
