package collateral

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"apocryph/attest"
	"apocryph/proto/status"
)

// The vendors' own services, and the word for none.
const (
	DefaultKDS = "https://kdsintf.amd.com"
	DefaultPCS = "https://api.trustedservices.intel.com"
	Off        = "off"
)

const (
	// fetchTimeout bounds one request, against a service that keeps its callers.
	fetchTimeout = 15 * time.Second
	// askAgain is how long a service that failed is left alone: AMD's refuses who
	// asks more often than every ten seconds.
	askAgain = time.Minute
	// renewAfter is the most that a piece in use grows old before it is fetched
	// again, far less than the 30 days that Intel's are valid.
	renewAfter = 24 * time.Hour
	// maxDue bounds the pieces that wait for renewal; the others wait for their
	// next use.
	maxDue = 16
	// maxHeader bounds an answer's header, where Intel puts its chains, in bytes.
	maxHeader = 64 << 10
)

// Config says where to fetch from and where to keep it.
type Config struct {
	// KDS and PCS are base URLs without a path; [Off] or empty never fetches.
	KDS, PCS string
	// Dir keeps what was fetched. It must exist, with mode 0700.
	Dir string
	// Now is the clock; it must be set.
	Now func() time.Time
	// Logger may be nil.
	Logger *slog.Logger
}

// Source completes evidence. It is safe for concurrent use.
type Source struct {
	cfg    Config
	log    *slog.Logger
	client *http.Client
	due    chan piece

	mu    sync.Mutex // guards slots
	slots map[string]*slot
}

// slot is one piece in this process.
type slot struct {
	// turn holds one token; who has it may fetch and set the fields below.
	turn chan struct{}

	mu     sync.Mutex // guards the rest
	have   *entry
	failed time.Time
	err    error
	queued bool
}

// CheckURL refuses what is no base URL of a service: invalid_argument, reason
// "collateral.url".
func CheckURL(base string) error {
	if base == "" || base == Off {
		return nil
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return status.New(status.InvalidArgument, "collateral.url", "got %q, want a URL such as %s, or %s", base, DefaultPCS, Off)
	}
	return nil
}

// New makes a source. It fetches nothing yet.
func New(cfg Config) (*Source, error) {
	if cfg.Dir == "" || cfg.Now == nil {
		return nil, errors.New("a source of collateral needs a directory and a clock")
	}
	if err := errors.Join(CheckURL(cfg.KDS), CheckURL(cfg.PCS)); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = maxHeader
	transport.MaxConnsPerHost = 4
	return &Source{
		cfg: cfg, log: cfg.Logger, due: make(chan piece, maxDue), slots: map[string]*slot{},
		client: &http.Client{
			Transport: transport, Timeout: fetchTimeout,
			// The services answer themselves; a redirect would leave the URL that the
			// operator chose.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Endorse returns evidence with everything that its verifier needs. What is
// needed and can neither be found nor fetched is unavailable, reason
// "collateral.absent". Evidence of other types stays as it is.
func (s *Source) Endorse(ctx context.Context, e attest.Evidence) (attest.Evidence, error) {
	switch e.Type {
	case attest.SEVSNP:
		return s.endorseSNP(ctx, e)
	case attest.TDX:
		return s.endorseTDX(ctx, e)
	}
	return e, nil
}

// Run renews pieces in use until ctx ends.
func (s *Source) Run(ctx context.Context) error {
	defer s.client.CloseIdleConnections()
	for {
		select {
		case <-ctx.Done():
			return nil
		case p := <-s.due:
			sl := s.slot(p)
			_, err := s.renew(ctx, sl, p)
			sl.mu.Lock()
			sl.queued = false
			sl.mu.Unlock()
			if err != nil && ctx.Err() == nil {
				s.log.Warn("renewing collateral; what is here is used while it is valid", "piece", p.name, "err", err)
			}
		}
	}
}

// get returns a valid piece: that which is here, or one that it fetches.
func (s *Source) get(ctx context.Context, p piece) (*entry, error) {
	sl := s.slot(p)
	sl.mu.Lock()
	have := sl.have
	if have != nil && have.valid(s.cfg.Now()) {
		if have.old(s.cfg.Now()) && !sl.queued && s.quiet(sl) && p.url != "" {
			select {
			case s.due <- p:
				sl.queued = true
			default:
			}
		}
		sl.mu.Unlock()
		return have, nil
	}
	sl.mu.Unlock()
	return s.renew(ctx, sl, p)
}

// quiet reports whether a service may be asked again. The caller holds sl.mu.
func (s *Source) quiet(sl *slot) bool {
	return sl.err == nil || s.cfg.Now().Sub(sl.failed) >= askAgain || s.cfg.Now().Before(sl.failed)
}

// renew fetches a piece that is old, one caller at a time.
func (s *Source) renew(ctx context.Context, sl *slot, p piece) (*entry, error) {
	select {
	case sl.turn <- struct{}{}:
		defer func() { <-sl.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	sl.mu.Lock()
	have, last, quiet := sl.have, sl.err, s.quiet(sl)
	sl.mu.Unlock()
	if have != nil && have.valid(s.cfg.Now()) && !have.old(s.cfg.Now()) {
		return have, nil
	}
	if p.url == "" {
		return nil, status.New(status.Unavailable, "collateral.absent", "%s is not here, and is not to be fetched", p.name).
			WithHint("set %s to the service's URL", p.option)
	}
	if !quiet {
		return nil, last
	}
	fresh, err := s.fetch(ctx, p)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		err = status.Wrap(err, status.Unavailable, "collateral.absent", "%s cannot be fetched from %s", p.name, hostOf(p.url)).
			WithHint("let this machine reach it, or name another with %s", p.option)
	}
	sl.mu.Lock()
	defer sl.mu.Unlock()
	sl.err, sl.failed = err, s.cfg.Now()
	if err != nil {
		return nil, err
	}
	sl.have = fresh
	if err := fresh.save(s.path(p)); err != nil {
		// It is of use all the same.
		s.log.Warn("keeping collateral", "piece", p.name, "err", err)
	}
	s.log.Info("collateral fetched", "piece", p.name, "valid_until", fresh.Expires)
	return fresh, nil
}

// slot finds a piece's place, with what an earlier process kept.
func (s *Source) slot(p piece) *slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := p.key()
	sl, ok := s.slots[key]
	if ok {
		return sl
	}
	sl = &slot{turn: make(chan struct{}, 1)}
	have, err := load(s.path(p), p)
	if err != nil {
		s.log.Warn("reading kept collateral; it is fetched again", "piece", p.name, "err", err)
	}
	sl.have = have
	s.slots[key] = sl
	return sl
}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "its service"
	}
	return u.Host
}

// base is a service's URL without what people put behind it; empty is off.
func base(configured string) string {
	if configured == Off {
		return ""
	}
	return strings.TrimRight(configured, "/")
}

// join makes a piece's URL; without a base there is none.
func join(base, format string, args ...any) string {
	if base == "" {
		return ""
	}
	return base + fmt.Sprintf(format, args...)
}
