package discovery

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"apocryph/p2p"
	"apocryph/proto/status"
)

const (
	// provideEvery renews provider records at half their validity, so that one
	// failed renewal does not hide a provider.
	provideEvery = p2p.ProvideValidity / 2
	// provideTimeout bounds the renewal of one key.
	provideTimeout = 30 * time.Second
	// provideRetry is after the first failure: a node that has just started knows
	// nobody for a moment. It doubles up to a minute.
	provideRetry = 250 * time.Millisecond
	// resealAfter is for how long a sealed advert is handed out: signing anew for
	// everyone who asks would be work that strangers order.
	resealAfter = 30 * time.Second
)

// Provider announces in the DHT that this peer can be asked about a key.
type Provider interface {
	Provide(ctx context.Context, key cid.Cid, announce bool) error
}

// AdvertiserConfig says what to advertise and how.
type AdvertiserConfig struct {
	Host host.Host
	// Key is the host's identity.
	Key crypto.PrivKey
	// Routing is the DHT; nil serves the advert to those who ask directly, and
	// announces nothing.
	Routing Provider
	// Describe returns what changes: TEE, region, resources and so on. Peer, Addrs,
	// Seq and NotAfter are filled in. It is called at most every 30 seconds.
	Describe func() Advert
	// Validity is how long each advert is valid; 0 means [DefaultValidity], at most
	// [MaxValidity], at least a minute.
	Validity time.Duration
	// Logger may be nil.
	Logger *slog.Logger
}

// Advertiser keeps a provider findable.
type Advertiser struct {
	cfg AdvertiserConfig
	log *slog.Logger

	mu       sync.Mutex
	envelope []byte
	sealedAt time.Time
	seq      uint64
}

// NewAdvertiser validates cfg, reporting all faults at once.
func NewAdvertiser(cfg AdvertiserConfig) (*Advertiser, error) {
	var faults []status.Fault
	if cfg.Host == nil {
		faults = append(faults, status.Fault{Field: "host", Got: "none", Want: "a host"})
	}
	if cfg.Key == nil || cfg.Host != nil && !cfg.Host.ID().MatchesPrivateKey(cfg.Key) {
		faults = append(faults, status.Fault{Field: "key", Got: "none or another peer's", Want: "the host's identity"})
	}
	if cfg.Describe == nil {
		faults = append(faults, status.Fault{Field: "describe", Got: "none", Want: "a function"})
	}
	if cfg.Validity == 0 {
		cfg.Validity = DefaultValidity
	}
	if cfg.Validity < time.Minute || cfg.Validity > MaxValidity {
		faults = append(faults, status.Fault{Field: "validity", Got: cfg.Validity.String(), Want: "1m to 24h"})
	}
	if len(faults) > 0 {
		return nil, status.Invalid("advertiser.config", "the advertiser's configuration", faults)
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Advertiser{cfg: cfg, log: log}, nil
}

// Run serves the advert and renews the announcements until ctx ends; then it
// returns nil. It fails at once where what is described makes no valid advert.
func (a *Advertiser) Run(ctx context.Context) error {
	if _, err := a.Current(time.Now()); err != nil {
		return fmt.Errorf("sealing advert: %w", err)
	}
	stop := Serve(a.cfg.Host, func() []byte {
		envelope, err := a.Current(time.Now())
		if err != nil {
			a.log.Warn("advert cannot be sealed", "error", err)
		}
		return envelope
	}, a.log)
	defer stop()
	if a.cfg.Routing == nil {
		<-ctx.Done()
		return nil
	}
	a.announce(ctx)
	return nil
}

// Current is the sealed advert at now, signed anew every 30 seconds.
func (a *Advertiser) Current(now time.Time) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.envelope != nil && now.Sub(a.sealedAt) < resealAfter && !now.Before(a.sealedAt) {
		return a.envelope, nil
	}
	ad := a.cfg.Describe()
	ad.Peer = a.cfg.Host.ID()
	ad.Addrs = advertised(a.cfg.Host.Addrs())
	// The clock, so that it grows over restarts, too.
	ad.Seq = max(a.seq+1, uint64(now.UnixNano()))
	ad.NotAfter = now.Add(a.cfg.Validity).Truncate(time.Millisecond)
	envelope, err := Seal(ad, a.cfg.Key, now)
	if err != nil {
		return nil, err
	}
	a.envelope, a.sealedAt, a.seq = envelope, now, ad.Seq
	return envelope, nil
}

// advertised puts addresses that others can use first and drops what exceeds
// the caps. Loopback stays, last: two nodes may share a machine.
func advertised(addrs []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	var far, near []multiaddr.Multiaddr
	for _, addr := range addrs {
		switch {
		case !addressable(addr):
		case manet.IsIPLoopback(addr):
			near = append(near, addr)
		default:
			far = append(far, addr)
		}
	}
	all := slices.Concat(far, near)
	return all[:min(len(all), maxAddrs)]
}

// announce renews the provider records. It ends with ctx.
func (a *Advertiser) announce(ctx context.Context) {
	retry, told := provideRetry, false
	for {
		failed, last := 0, error(nil)
		keys := a.cfg.Describe().keys()
		for _, k := range keys {
			one, cancel := context.WithTimeout(ctx, provideTimeout)
			err := a.cfg.Routing.Provide(one, k, true)
			cancel()
			if err != nil {
				failed, last = failed+1, err
			}
		}
		wait := jitter(provideEvery)
		switch {
		case ctx.Err() != nil:
			return
		case failed > 0:
			// Without any DHT peer yet this is the usual state of a lone node.
			a.log.Debug("announcing failed", "keys", strconv.Itoa(failed)+"/"+strconv.Itoa(len(keys)), "error", last)
			wait, retry = jitter(retry), min(2*retry, time.Minute)
		default:
			retry = provideRetry
			if !told {
				a.log.Info("announced in the dht", "keys", len(keys))
				told = true
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// jitter spreads d by a fifth each way, so that providers that started
// together do not renew together.
func jitter(d time.Duration) time.Duration {
	return d*4/5 + rand.N(d*2/5)
}
