package state

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"apocryph/attest/tlog"
	"apocryph/proto/status"
	"apocryph/publisher"
)

const logVersion = 1

// logRecord is one provider's transparency log, logs/HASH.json.
type logRecord struct {
	Version   int              `json:"version"`
	Provider  string           `json:"provider"`
	Last      headRecord       `json:"last"`
	Seen      time.Time        `json:"seen"`
	Conflicts []conflictRecord `json:"conflicts,omitempty"`
	Releases  []releaseRecord  `json:"releases,omitempty"`
}

type headRecord struct {
	Note string `json:"note,omitempty"`
	Key  string `json:"key,omitempty"`
}

type conflictRecord struct {
	Before headRecord `json:"before"`
	After  headRecord `json:"after"`
	Reason string     `json:"reason"`
	At     time.Time  `json:"at"`
}

type releaseRecord struct {
	App            string    `json:"app"`
	PodID          string    `json:"pod_id"`
	ManifestDigest string    `json:"manifest_digest"`
	Claims         string    `json:"claims"`
	Salt           string    `json:"salt"`
	At             time.Time `json:"at"`
	Number         int64     `json:"number"`
}

// Logs is a [publisher.Logs].
type Logs struct{ s *State }

var _ publisher.Logs = Logs{}

// Logs returns what was seen of the providers' transparency logs.
func (s *State) Logs() Logs { return Logs{s} }

func (l Logs) path(of publisher.ProviderID) string {
	return filepath.Join(l.s.dir, "logs", hashName(string(of))+".json")
}

// Log returns what was seen of a provider's log; nothing of one that was never
// seen. A file that does not hold what was written is an error and not nothing:
// a log that was forgotten can be rewritten unnoticed.
func (l Logs) Log(_ context.Context, of publisher.ProviderID) (publisher.SeenLog, error) {
	if !providerPattern.MatchString(string(of)) {
		return publisher.SeenLog{}, status.New(status.InvalidArgument, "state.log", "provider: got %.80q, want a peer id", string(of))
	}
	var r logRecord
	err := l.s.readJSON(l.path(of), logVersion, &r)
	if errors.Is(err, fs.ErrNotExist) {
		return publisher.SeenLog{}, nil
	}
	if err != nil {
		return publisher.SeenLog{}, err
	}
	out, err := r.seen(of)
	if err != nil {
		return publisher.SeenLog{}, status.Wrap(err, status.InvalidArgument, "state.corrupt", "%s is damaged", l.path(of)).
			WithHint("move the file away; the provider's log is then taken as it is shown next")
	}
	return out, nil
}

// ChangeLog changes what is remembered under the lock for changes; it is durable
// when it returns nil.
func (l Logs) ChangeLog(ctx context.Context, of publisher.ProviderID, change func(*publisher.SeenLog) error) error {
	release, err := l.s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	seen, err := l.Log(ctx, of)
	if err != nil {
		return err
	}
	if err := change(&seen); err != nil {
		return err
	}
	return l.s.writeJSON(l.path(of), recordOf(of, seen))
}

func headTo(h publisher.SignedHead) headRecord {
	return headRecord{string(h.Note), hex.EncodeToString(h.Key)}
}

func (h headRecord) signed(of publisher.ProviderID) (publisher.SignedHead, error) {
	key, err := hex.DecodeString(h.Key)
	if err != nil {
		return publisher.SignedHead{}, err
	}
	if _, err := tlog.OpenHead([]byte(h.Note), string(of), key); err != nil {
		return publisher.SignedHead{}, err
	}
	return publisher.SignedHead{Note: []byte(h.Note), Key: key}, nil
}

func recordOf(of publisher.ProviderID, l publisher.SeenLog) logRecord {
	r := logRecord{Version: logVersion, Provider: string(of), Last: headTo(l.Last), Seen: l.Seen.UTC()}
	for _, c := range l.Conflicts {
		r.Conflicts = append(r.Conflicts, conflictRecord{headTo(c.Before), headTo(c.After), c.Reason, c.At.UTC()})
	}
	for _, x := range l.Releases {
		r.Releases = append(r.Releases, releaseRecord{
			x.App, x.PodID, hex.EncodeToString(x.ManifestDigest[:]), hex.EncodeToString(x.Claims[:]), hex.EncodeToString(x.Salt[:]), x.At.UTC(), x.Number,
		})
	}
	return r
}

// seen checks everything again that can be checked: the file may have been
// edited, and what comes out is believed.
func (r logRecord) seen(of publisher.ProviderID) (out publisher.SeenLog, err error) {
	if r.Provider != string(of) {
		return out, fmt.Errorf("it is of provider %.80q", r.Provider)
	}
	out.Seen = r.Seen
	if r.Last != (headRecord{}) {
		if out.Last, err = r.Last.signed(of); err != nil {
			return out, err
		}
	}
	for _, c := range r.Conflicts {
		x := publisher.Conflict{Reason: c.Reason, At: c.At}
		if x.Before, err = c.Before.signed(of); err != nil {
			return out, err
		}
		if x.After, err = c.After.signed(of); err != nil {
			return out, err
		}
		out.Conflicts = append(out.Conflicts, x)
	}
	for _, c := range r.Releases {
		x := publisher.SeenRelease{App: c.App, PodID: c.PodID, At: c.At, Number: c.Number}
		for _, f := range []struct {
			to   []byte
			text string
		}{{x.ManifestDigest[:], c.ManifestDigest}, {x.Claims[:], c.Claims}, {x.Salt[:], c.Salt}} {
			b, err := hex.DecodeString(f.text)
			if err != nil || len(b) != len(f.to) {
				return out, errors.New("a digest or a salt is not 32 bytes of hex")
			}
			copy(f.to, b)
		}
		out.Releases = append(out.Releases, x)
	}
	return out, nil
}
