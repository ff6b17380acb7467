package content

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"apocryph/proto/status"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// partialExt marks a blob that is not complete.
const partialExt = ".partial"

// Where bytes come from, in [Progress].
const (
	SourcePeer    = "peer"
	SourceNetwork = "network"
	SourceLocal   = "local"
)

// Progress is how far a fetch is.
type Progress struct {
	// Done and Total are bytes, Rate is bytes per second.
	Done, Total, Rate uint64
	// Source is one of the Source constants.
	Source string
}

// Origin says who may be asked for content below a root.
type Origin struct {
	// Root is what was granted to this peer.
	Root cid.Cid
	// From is asked first, in this order, over the content stream. Addresses
	// come from the host's peer store.
	From []peer.ID
	// Anyone allows bitswap with every connected peer and whoever the routing
	// finds. It tells them what is wanted: only for public roots.
	Anyone bool
}

// BlobRequest asks for one big file.
type BlobRequest struct {
	Origin
	CID cid.Cid
	// Digest is "sha256:HEX" of the whole blob.
	Digest string
	// Size must be exact, in bytes.
	Size int64
	// Report is called a few times a second, and at the end; may be nil.
	Report func(Progress)
}

// FetchBlob starts to bring a blob to [Store.BlobPath] and returns at once. It
// goes on until ctx ends or the blob is closed; others who fetch the same blob
// share the work and keep it going. What a crash or a lost peer left of it is
// verified again and used. Reads and [Blob.Wait] tell how it ends: untrusted
// for wrong bytes, unavailable when nobody has it, resource_exhausted when the
// disk is full.
func (s *Store) FetchBlob(ctx context.Context, req BlobRequest) (*Blob, error) {
	if err := s.checkBlob(req); err != nil {
		return nil, err
	}
	for {
		if b := s.localFile(ctx, req); b != nil {
			report(req.Report, Progress{Done: uint64(req.Size), Total: uint64(req.Size), Source: SourceLocal})
			return b, nil
		}
		f, h, err := s.join(ctx, req)
		if err != nil {
			return nil, err
		}
		if h != nil {
			return &Blob{h, req.Size, req.Digest}, nil
		}
		select { // one that ends, or that is of another DAG with this digest
		case <-f.ended:
		case <-ctx.Done():
			return nil, fmt.Errorf("fetching blob: %w", ctx.Err())
		}
	}
}

func (s *Store) checkBlob(req BlobRequest) error {
	var faults []status.Fault
	if _, ok := digestHex(req.Digest); !ok {
		faults = append(faults, status.Fault{Field: "digest", Got: fmt.Sprintf("%.80q", req.Digest), Want: "sha256: and 64 hex digits"})
	}
	if req.Size < 0 || req.Size > s.cfg.MaxBlob {
		faults = append(faults, status.Fault{Field: "size", Got: fmt.Sprint(req.Size), Want: fmt.Sprintf("0 to %d", s.cfg.MaxBlob)})
	}
	for field, c := range map[string]cid.Cid{"cid": req.CID, "root": req.Root} {
		if err := checkLink(c); err != nil {
			faults = append(faults, status.Fault{Field: field, Got: c.String(), Want: "a sha2-256 CID of raw or dag-pb"})
		}
	}
	if len(faults) > 0 {
		return status.Invalid("content.request", "blob request", faults)
	}
	return nil
}

// localFile opens a blob that is complete.
func (s *Store) localFile(ctx context.Context, req BlobRequest) *Blob {
	s.files.mu.RLock()
	f, ok := s.files.byDigest[req.Digest]
	s.files.mu.RUnlock()
	if !ok || f.size != req.Size {
		return nil
	}
	s.sweep.RLock()
	defer s.sweep.RUnlock()
	b, err := s.openFile(f)
	if err != nil {
		s.drop(ctx, f, err)
		return nil
	}
	return b
}

// fetch is one blob on its way, shared by its handles.
type fetch struct {
	s      *Store
	req    BlobRequest
	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	changed *sync.Cond
	file    blobFile
	have    spans
	source  string
	reports []func(Progress)
	peers   []peer.ID
	anyone  bool
	refs    int
	given   bool // given up: nobody waits for it any more
	done    bool
	err     error
}

// join returns a handle on the running fetch of this blob, or starts one. Where
// a running one cannot be shared it returns that alone.
func (s *Store) join(ctx context.Context, req BlobRequest) (*fetch, *handle, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, errClosed()
	}
	if f, ok := s.fetches[req.Digest]; ok {
		if f.req.CID != req.CID || f.req.Size != req.Size {
			return f, nil, nil
		}
		return f, f.attach(ctx, req), nil
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &fetch{s: s, req: req, cancel: cancel, ended: make(chan struct{}), source: SourceLocal}
	f.changed = sync.NewCond(&f.mu)
	h := f.attach(ctx, req)
	s.fetches[req.Digest] = f
	s.wg.Go(func() { f.run(run) })
	return f, h, nil
}

// attach adds a handle, or returns nil when the fetch is already given up.
func (f *fetch) attach(ctx context.Context, req BlobRequest) *handle {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil || f.given {
		return nil
	}
	for _, p := range req.From {
		if !slices.Contains(f.peers, p) && p != "" {
			f.peers = append(f.peers, p)
		}
	}
	f.anyone = f.anyone || req.Anyone
	if req.Report != nil {
		f.reports = append(f.reports, req.Report)
	}
	f.refs++
	h := &handle{f: f, release: f.s.leaseLocked(req.CID)}
	h.stop = context.AfterFunc(ctx, func() { h.leave(fmt.Errorf("fetching blob: %w", context.Cause(ctx)), false) })
	return h
}

// run brings the blob and records how that ended.
func (f *fetch) run(ctx context.Context) {
	defer f.cancel()
	begun := time.Now()
	err := f.bring(ctx)
	if err != nil && ctx.Err() != nil {
		err = status.Wrap(err, status.Canceled, "content.canceled", "the fetch was given up")
	}
	f.s.mu.Lock()
	delete(f.s.fetches, f.req.Digest)
	f.s.mu.Unlock()
	// The last report comes before anybody is told that it is here.
	f.mu.Lock()
	p, reports := f.progress(begun), slices.Clone(f.reports)
	f.mu.Unlock()
	if err == nil {
		for _, r := range reports {
			r(p)
		}
	}
	f.mu.Lock()
	f.err, f.done = err, err == nil
	if f.refs == 0 && f.file != nil {
		_ = f.file.Close() // nobody reads it, and what was written is synced or incomplete
	}
	late := slices.Clone(f.reports[len(reports):])
	f.changed.Broadcast()
	f.mu.Unlock()
	close(f.ended)
	if err != nil {
		f.s.log.Debug("blob fetch failed", "cid", f.req.CID, "error", err)
		return
	}
	for _, r := range late {
		r(p)
	}
}

func (f *fetch) progress(begun time.Time) Progress {
	p := Progress{Done: uint64(f.have.sum()), Total: uint64(f.req.Size), Source: f.source}
	if t := time.Since(begun); t > 0 {
		p.Rate = uint64(float64(p.Done) / t.Seconds())
	}
	return p
}

func report(to func(Progress), p Progress) {
	if to != nil {
		to(p)
	}
}
