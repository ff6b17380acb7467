package provider

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/attest/tlog"
	"apocryph/proto/status"
)

const (
	// headReuse is how long a signed head is shown again where it has all that is
	// asked for: signing one costs a write to the disk.
	headReuse = 10 * time.Second
	// savedHeadVersion is that of [savedHead].
	savedHeadVersion = 1
)

// TransparencyLog keeps the entries of the transparency log and finds them again.
type TransparencyLog interface {
	tlog.Storage
	// Find returns the number of the entry with a leaf; false where there is none.
	Find(ctx context.Context, leaf tlog.Hash) (number int64, ok bool, err error)
}

// Heads keeps the last head of the transparency log that was signed, apart from
// the log: who puts an older log back is found out by it.
type Heads interface {
	// LoadHead returns what was saved last, nil where nothing was.
	LoadHead() ([]byte, error)
	// SaveHead is durable when it returns nil, and leaves the last one otherwise.
	SaveHead(b []byte) error
}

// savedHead is what [Heads] keeps, as JSON.
type savedHead struct {
	Version int    `json:"version"`
	Peer    string `json:"peer"`
	// Key is the receipt key that signed Note; each start has another one.
	Key  []byte `json:"key"`
	Note []byte `json:"note"`
}

// transparency is the provider's log and the one place that signs its heads.
type transparency struct {
	log     *tlog.Log
	storage TransparencyLog
	heads   Heads
	peer    string
	keys    processKeys
	now     func() time.Time

	mu sync.Mutex // guards what follows, and is held while a head is signed and saved
	// open is set when the log was found to be continued; nothing is signed before.
	open bool
	note []byte
	head tlog.Head
}

// newTransparency takes the binary peer id of the log's origin.
func newTransparency(cfg Config, keys processKeys) *transparency {
	return &transparency{
		log: tlog.New(cfg.Tree), storage: cfg.Tree, heads: cfg.Heads, peer: peer.ID(cfg.Peer).String(), keys: keys, now: cfg.Now,
	}
}

// start checks that the log goes on from the last head that was signed. Where it
// does not, nothing may be signed: whoever has the earlier head could prove that
// this provider contradicts itself. A head of another peer id is that of an
// identity that the operator gave up.
func (t *transparency) start(ctx context.Context) error {
	b, err := t.heads.LoadHead()
	if err != nil {
		return err
	}
	size, err := t.storage.Size(ctx)
	if err != nil {
		return fmt.Errorf("reading the size of the transparency log: %w", err)
	}
	var saved savedHead
	switch {
	case b == nil && size > 0:
		return notContinued(nil, "it has %d entries, and the last head that was signed is gone", size)
	case b == nil:
	default:
		if err := json.Unmarshal(b, &saved); err != nil || saved.Version != savedHeadVersion || len(saved.Key) != ed25519.PublicKeySize {
			return notContinued(err, "the last head that was signed is not readable")
		}
		if saved.Peer != t.peer {
			break
		}
		last, err := tlog.OpenHead(saved.Note, t.peer, saved.Key)
		if err != nil {
			return notContinued(err, "the last head that was signed is damaged")
		}
		if err := t.log.Contains(ctx, last); err != nil {
			return notContinued(err, "it has %d entries and is not the one of %d that was signed at %s", size, last.Size, last.Time.Format(time.RFC3339))
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = true
	return t.sign(ctx)
}

func notContinued(cause error, format string, args ...any) error {
	return status.Wrap(cause, status.Untrusted, "transparency.rollback", "the transparency log cannot be continued: "+format, args...).
		WithHint("an older copy of the data directory was put back, or a file of it is lost: put the newest state.db and transparency.head back; or move both and identity.key away, which makes a new provider to whom everything has to be deployed again (docs/transparency.md)")
}

// sign signs the log as it is and saves the head before anybody can see it. The
// caller holds t.mu.
func (t *transparency) sign(ctx context.Context) error {
	note, head, err := t.log.Sign(ctx, t.peer, t.keys.epoch, t.millis(), t.keys.receipt)
	if err != nil {
		return err
	}
	b, err := json.Marshal(savedHead{savedHeadVersion, t.peer, t.keys.receipt.Public().(ed25519.PublicKey), note})
	if err != nil {
		return fmt.Errorf("encoding a head: %w", err)
	}
	if err := t.heads.SaveHead(b); err != nil {
		return err
	}
	t.note, t.head = note, head
	return nil
}

// millis is the time in the resolution of entries and heads.
func (t *transparency) millis() time.Time { return t.now().UTC().Truncate(time.Millisecond) }

// with returns a fresh head whose tree has the entry of a number. Calls that
// come at once share one.
func (t *transparency) with(ctx context.Context, number int64) ([]byte, tlog.Head, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.open {
		return nil, tlog.Head{}, status.New(status.Unavailable, "provider.starting", "this provider is starting").WithRetryAfter(retrySoon)
	}
	if age := t.now().Sub(t.head.Time); t.head.Size <= number || age < 0 || age > headReuse {
		if err := t.sign(ctx); err != nil {
			return nil, tlog.Head{}, err
		}
	}
	return t.note, t.head, nil
}

// claims appends the entry of claims that evidence is about to be given for.
func (t *transparency) claims(ctx context.Context, digest [32]byte) (number int64, e tlog.Entry, err error) {
	if err := t.ready(); err != nil {
		return 0, tlog.Entry{}, err
	}
	e = tlog.ClaimsEntry(t.millis(), digest)
	number, err = t.log.Append(ctx, e)
	return number, e, err
}

func (t *transparency) ready() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.open {
		return status.New(status.Unavailable, "provider.starting", "this provider is starting").WithRetryAfter(retrySoon)
	}
	return nil
}

// TreeRequest asks how the transparency log has grown.
type TreeRequest struct {
	// Size is that of the last head that the caller verified, 0 for none.
	Size int64
	// Leaves are those that the caller wants shown.
	Leaves []tlog.Hash
}

// TreeAnswer shows how the transparency log has grown.
type TreeAnswer struct {
	// Head is a signed note.
	Head []byte
	// Consistency is from the size that was asked for; empty where that is 0, or
	// more than the log has.
	Consistency []byte
	// Inclusions are of the leaves, in order, empty for one that is not there.
	Inclusions [][]byte
	// Entry is that of the claims of the same answer, Inclusion its proof.
	Entry, Inclusion []byte
}

// answer shows the entry of a number and what else the caller asked for. It
// returns the size of the tree that it showed.
func (t *transparency) answer(ctx context.Context, req TreeRequest, number int64, e tlog.Entry) (*TreeAnswer, int64, error) {
	note, head, err := t.with(ctx, number)
	if err != nil {
		return nil, 0, err
	}
	out := &TreeAnswer{Head: note}
	if out.Entry, err = e.Encode(); err != nil {
		return nil, 0, err
	}
	if out.Inclusion, err = t.inclusion(ctx, number, head.Size); err != nil {
		return nil, 0, err
	}
	if out.Consistency, err = t.consistency(ctx, req.Size, head.Size); err != nil {
		return nil, 0, err
	}
	for _, leaf := range req.Leaves {
		number, ok, err := t.storage.Find(ctx, leaf)
		if err != nil {
			return nil, 0, err
		}
		var proof []byte
		// An entry that came after the head was signed is not in its tree yet.
		if ok && number < head.Size {
			if proof, err = t.inclusion(ctx, number, head.Size); err != nil {
				return nil, 0, err
			}
		}
		out.Inclusions = append(out.Inclusions, proof)
	}
	return out, head.Size, nil
}

func (t *transparency) inclusion(ctx context.Context, number, size int64) ([]byte, error) {
	p, err := t.log.ProveInclusion(ctx, number, size)
	if err != nil {
		return nil, err
	}
	return p.Encode()
}

// consistency is nil where there is nothing to prove, and where the caller saw
// more than there is: it has to draw its conclusions from the head.
func (t *transparency) consistency(ctx context.Context, old, size int64) ([]byte, error) {
	if old <= 0 || old > size {
		return nil, nil
	}
	p, err := t.log.ProveConsistency(ctx, old, size)
	if err != nil {
		return nil, err
	}
	return p.Encode()
}

// KeyRelease is where the transparency log has the release of a pod's keys.
type KeyRelease struct {
	// Number is that of the entry.
	Number int64
	// At is the entry's time, in whole milliseconds.
	At time.Time
	// Claims is the digest of the claims that the keys were sealed to.
	Claims [32]byte
	// Salt opens the entry for the pod's owner.
	Salt [tlog.SaltSize]byte
}

// ReleaseProof shows a pod's owner that the log has the release of its keys.
type ReleaseProof struct {
	At   time.Time
	Salt [tlog.SaltSize]byte
	// Head is a signed note, Inclusion the entry's proof in its tree, and
	// Consistency that it goes on from the one that came with the claims; empty
	// where this provider started again since.
	Head, Inclusion, Consistency []byte
}

// logRelease appends the release of a revision's keys, which are used after
// this and never before. The record's release names the claims so far.
func (s *Service) logRelease(ctx context.Context, r *Record) error {
	if r.Release == nil || !r.Release.At.IsZero() {
		// Nothing is released: nobody attested this provider, or it was earlier.
		return nil
	}
	if err := s.transparency.ready(); err != nil {
		return err
	}
	if err := s.rate.take(r.Publisher, s.cfg.Now()); err != nil {
		return err
	}
	salt, err := tlog.NewSalt(rand.Reader)
	if err != nil {
		return err
	}
	k := &KeyRelease{At: s.transparency.millis(), Claims: r.Release.Claims, Salt: salt}
	e, err := tlog.ReleaseEntry(k.At, k.Claims, tlog.Release{Salt: salt, Manifest: r.ManifestDigest, PodID: string(r.ID)})
	if err != nil {
		return err
	}
	if k.Number, err = s.transparency.log.Append(ctx, e); err != nil {
		return err
	}
	r.Release = k
	return nil
}

// showRelease proves the release of a record; nil where no log was kept then.
func (s *Service) showRelease(ctx context.Context, r Record) (*ReleaseProof, error) {
	k := r.Release
	if k == nil {
		return nil, nil
	}
	note, head, err := s.transparency.with(ctx, k.Number)
	if err != nil {
		return nil, err
	}
	out := &ReleaseProof{At: k.At, Salt: k.Salt, Head: note}
	if out.Inclusion, err = s.transparency.inclusion(ctx, k.Number, head.Size); err != nil {
		return nil, err
	}
	out.Consistency, err = s.transparency.consistency(ctx, s.ledger.shown(k.Claims), head.Size)
	return out, err
}
