package discovery

import (
	"context"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// maxCandidates bounds the peers asked in one search: a DHT node can name as
	// many as it likes.
	maxCandidates = 512
	// maxAsking bounds those asked at once.
	maxAsking = 16
	// maxTries is how often a peer is asked that does not answer.
	maxTries = 3
	// askTimeout bounds one question, with the connection that it needs.
	askTimeout = 5 * time.Second
	// lookupTimeout bounds one walk through the DHT.
	lookupTimeout = 5 * time.Second
	// firstPause is between the first two rounds; it doubles up to lastPause.
	firstPause, lastPause = 250 * time.Millisecond, 500 * time.Millisecond
	// quietRounds without a new candidate end a search that has found something.
	quietRounds = 2
	// patientRounds end it even while somebody has not answered.
	patientRounds = 4
	// DefaultTimeout bounds a search.
	DefaultTimeout = 10 * time.Second
)

// Lookup finds peers in the DHT that say they can be asked about a key.
type Lookup interface {
	FindProvidersAsync(ctx context.Context, key cid.Cid, limit int) <-chan peer.AddrInfo
}

// Query says what kind of provider is sought. Empty fields match any.
type Query struct {
	TEE, Region, RuntimeClass string
	// Peers are asked in any case.
	Peers []peer.AddrInfo
	// Timeout bounds the search; 0 means [DefaultTimeout].
	Timeout time.Duration
}

func (q Query) matches(a Advert) bool {
	return (q.TEE == "" || q.TEE == a.TEE) &&
		(q.Region == "" || q.Region == a.Region) &&
		(q.RuntimeClass == "" || slices.Contains(a.RuntimeClasses, q.RuntimeClass))
}

// key is the narrowest one in the query.
func (q Query) key() cid.Cid {
	switch {
	case q.RuntimeClass != "":
		return key("runtime/" + q.RuntimeClass)
	case q.Region != "":
		return key("region/" + q.Region)
	case q.TEE != "":
		return key("tee/" + q.TEE)
	}
	return key("all")
}

// Finder looks for providers. Its fields are set before the first search;
// only Host must be.
type Finder struct {
	Host host.Host
	// Routing is the DHT.
	Routing Lookup
	// LAN returns the peers on the local network, as p2p.Node.LAN does.
	LAN func() []peer.AddrInfo
	// Cache gives candidates, and keeps and saves what was found.
	Cache *Cache
	// Logger may be nil.
	Logger *slog.Logger
}

// Find asks every candidate that it can get for its signed advert and yields
// the valid ones that match, each peer once, as they come. It ends with ctx or
// the timeout, or when something was found and no candidate is new for a
// while. The time that the loop's body takes counts. Breaking off the iteration
// ends the search; nothing of it runs on.
func (f *Finder) Find(ctx context.Context, q Query) iter.Seq[Advert] {
	return func(yield func(Advert) bool) {
		if q.Timeout <= 0 {
			q.Timeout = DefaultTimeout
		}
		ctx, cancel := context.WithTimeout(ctx, q.Timeout)
		s := &search{
			f: f, q: q, log: f.Logger, peers: make(map[peer.ID]*candidate),
			found: make(chan peer.AddrInfo), rounds: make(chan struct{}), answers: make(chan answered),
		}
		if s.log == nil {
			s.log = slog.New(slog.DiscardHandler)
		}
		defer s.save()
		defer s.wg.Wait()
		defer cancel()
		s.wg.Go(func() { s.collect(ctx) })
		s.run(ctx, yield)
	}
}

func (s *search) save() {
	if s.f.Cache == nil {
		return
	}
	if err := s.f.Cache.Save(); err != nil {
		s.log.Warn("adverts are not remembered", "error", err)
	}
}

// search is one Find. Only run touches peers.
type search struct {
	f   *Finder
	q   Query
	log *slog.Logger
	wg  sync.WaitGroup

	found   chan peer.AddrInfo
	rounds  chan struct{} // one for each finished round of collect
	answers chan answered

	peers map[peer.ID]*candidate
}

type candidate struct {
	tries        int
	asking, done bool
}

type answered struct {
	id     peer.ID
	advert Advert
	err    error
}

func (s *search) run(ctx context.Context, yield func(Advert) bool) {
	asking, hits, quiet, fresh := 0, 0, 0, false
	var queue []peer.AddrInfo
	for {
		for asking < maxAsking && len(queue) > 0 {
			info := queue[0]
			queue = queue[1:]
			asking++
			s.wg.Go(func() { s.ask(ctx, info) })
		}
		select {
		case <-ctx.Done():
			return
		case info := <-s.found:
			if s.wanted(info.ID) {
				queue = append(queue, info)
				fresh = fresh || s.peers[info.ID].tries == 1
			}
		case <-s.rounds:
			quiet++
			if fresh {
				quiet = 0
			}
			fresh = false
		case r := <-s.answers:
			asking--
			c := s.peers[r.id]
			c.asking, c.done = false, r.err == nil
			if r.err != nil {
				s.log.Debug("no advert", "peer", r.id.String(), "error", r.err)
			} else if s.q.matches(r.advert) {
				hits++
				if !yield(r.advert) {
					return
				}
			}
		}
		idle := asking == 0 && len(queue) == 0
		if hits > 0 && (quiet >= quietRounds && idle || quiet >= patientRounds) {
			return
		}
	}
}

// wanted counts a candidate in, unless it has answered, is being asked, or has
// been asked often enough.
func (s *search) wanted(id peer.ID) bool {
	c := s.peers[id]
	if c == nil {
		if len(s.peers) >= maxCandidates || id == s.f.Host.ID() || id.Validate() != nil {
			return false
		}
		c = new(candidate)
		s.peers[id] = c
	}
	if c.done || c.asking || c.tries >= maxTries {
		return false
	}
	c.asking = true
	c.tries++
	return true
}

func (s *search) ask(ctx context.Context, info peer.AddrInfo) {
	one, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	envelope, advert, err := ask(one, s.f.Host, info, time.Now)
	if err == nil && s.f.Cache != nil {
		if newest := s.f.Cache.Add(envelope, advert, time.Now()); newest.NotAfter.After(time.Now()) {
			advert = newest
		}
	}
	select {
	case s.answers <- answered{info.ID, advert, err}:
	case <-ctx.Done():
	}
}

// collect brings candidates, in rounds, until ctx ends: the DHT may know
// nobody yet in the first one, and mDNS takes a moment.
func (s *search) collect(ctx context.Context) {
	offer := func(infos []peer.AddrInfo) {
		for _, info := range infos {
			select {
			case s.found <- info:
			case <-ctx.Done():
			}
		}
	}
	// Who does not answer in one round may in the next.
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		offer(s.q.Peers)
		if s.f.Cache != nil {
			offer(s.f.Cache.Hints())
		}
		if s.f.LAN != nil {
			offer(s.f.LAN())
		}
		if s.f.Routing != nil {
			walk, cancel := context.WithTimeout(ctx, lookupTimeout)
			for info := range s.f.Routing.FindProvidersAsync(walk, s.q.key(), maxCandidates) {
				offer([]peer.AddrInfo{info})
			}
			cancel()
		}
		select {
		case s.rounds <- struct{}{}:
		case <-ctx.Done():
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}
