package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"

	attestation "apocryph/attest"
	"apocryph/attest/client"
	"apocryph/attest/verify"
	"apocryph/p2p"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/peerclient"
)

// visitorDial is how long a dial may take: as long as one to a machine far away,
// for a crowd and its provider share the processors here.
const visitorDial = 15 * time.Second

// visitor is the least that is a publisher: an identity, a host that only dials
// TCP, and the service that makes the verdict. It remembers in memory, so that
// a thousand of them do not wait for the disk.
type visitor struct {
	host    host.Host
	service *publisher.Service
	info    peer.AddrInfo

	// refusals is how often it was told to come back, hungUp how many of them were
	// before the provider could speak, lost what else ended its
	// calls, took how long it was until the verdict; 0 where there was none.
	refusals int
	hungUp   int
	lost     []error
	took     time.Duration
}

// newVisitor makes a publisher whose provider is at addr, which ends in /p2p/ID.
func newVisitor(addr string) (*visitor, error) {
	v := &visitor{}
	var err error
	if v.info, err = p2p.ParsePeer(addr); err != nil {
		return nil, err
	}
	v.host, err = libp2p.New(libp2p.NoListenAddrs, libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.Transport(tcp.NewTCPTransport),
		libp2p.ResourceManager(&network.NullResourceManager{}), libp2p.SwarmOpts(swarm.WithDialTimeoutLocal(visitorDial)))
	if err != nil {
		return nil, err
	}
	books := &books{}
	v.service = publisher.New(publisher.Config{
		Peer: []byte(v.host.ID()), Connection: v, Providers: witness{peerclient.New(v.host), v},
		Machines: books, Counters: books, Keys: books, Logs: books, Now: time.Now,
	})
	return v, nil
}

// Connect implements [publisher.Connection].
func (v *visitor) Connect(ctx context.Context, _ publisher.Target) ([]byte, error) {
	return []byte(v.info.ID), p2p.Dial(ctx, v.host, v.info)
}

// witness notes the calls that the service repeats by itself, which are lost all
// the same.
type witness struct {
	*peerclient.Client
	v *visitor
}

func (w witness) Attest(ctx context.Context, to publisher.ProviderID, req publisher.AttestRequest, activate func(attestation.TPMIdentity) (attestation.Activation, error)) (*publisher.Attestation, error) {
	got, err := w.Client.Attest(ctx, to, req, activate)
	if repeated(err) {
		w.v.lost = append(w.v.lost, err)
	}
	return got, err
}

// repeated tells the errors after which the service asks once more.
func repeated(err error) bool { return status.ReasonOf(err) == "peer.lost" }

// toldToWait is how long a refusal with a time asks to wait; false for whatever
// else ended a call.
func toldToWait(err error) (time.Duration, bool) {
	var e *status.Error
	if !errors.As(err, &e) || e.RetryAfter <= 0 {
		return 0, false
	}
	return e.RetryAfter, true
}

// books are what a publisher remembers of its one provider.
type books struct {
	mu   sync.Mutex // guards all
	seen verify.Seen
	log  publisher.SeenLog
	keys map[string]bool
}

// Activated implements [publisher.Machines].
func (b *books) Activated(ek [32]byte, akName []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.keys[string(ek[:])+string(akName)]
}

// Remember implements [publisher.Machines].
func (b *books) Remember(ek [32]byte, akName []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keys = map[string]bool{string(ek[:]) + string(akName): true}
	return nil
}

// RememberKey implements [publisher.ReceiptKeys]. No receipt is judged here.
func (b *books) RememberKey(client.AttestedKey) error { return nil }

// ChangeSeen implements [publisher.Counters].
func (b *books) ChangeSeen(_ context.Context, _ publisher.ProviderID, _ []byte, change func(*verify.Seen) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := b.seen
	err := change(&next)
	if err == nil {
		b.seen = next
	}
	return err
}

// Log implements [publisher.Logs].
func (b *books) Log(context.Context, publisher.ProviderID) (publisher.SeenLog, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log, nil
}

// ChangeLog implements [publisher.Logs].
func (b *books) ChangeLog(_ context.Context, _ publisher.ProviderID, change func(*publisher.SeenLog) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := b.log
	err := change(&next)
	if err == nil {
		b.log = next
	}
	return err
}
