package provider

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"apocryph/attest"
	"apocryph/attest/keyrelease"
	"apocryph/attest/policy"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
)

const (
	// maxPods bounds all pods of a provider, maxPodsPerPublisher those of one
	// publisher, against records that fill the store.
	maxPods             = 1024
	maxPodsPerPublisher = 64
)

// Config is what a provider is made of. Everything but Policy, Statements and Logger must be set.
type Config struct {
	// Peer is this provider's binary peer id.
	Peer    []byte
	Version string

	Store   Store
	History History
	// Tree is the transparency log, Heads keeps its last head.
	Tree      TransparencyLog
	Heads     Heads
	Runtime   Runtime
	Instances Instances
	Volumes   Volumes
	Logs      Logs
	Images    Images
	Capacity  Capacity
	Charges   Charges
	Names     Names
	Routes    Routes
	Drains    Drains
	Device    Device
	// Log is the measured log of this boot, Setup what it says of this provider.
	Log   PodLog
	Setup Setup
	// Policy is what the operator demands of this provider's own evidence; nil
	// demands nothing beyond authentic evidence.
	Policy *policy.Policy
	// PublisherPolicy is what the operator demands of publishers' machines, and
	// Publishers how they are asked; nil demands nothing, and nobody is asked.
	PublisherPolicy *policy.Policy
	Publishers      Publishers
	Prices          offer.PriceList
	// Statements keeps how images were built here; nil where none is built.
	Statements Statements
	// BootEpoch is 32 bytes that are new at every boot of this machine.
	BootEpoch []byte
	// IngressTLSKey is the SHA-256 of the SubjectPublicKeyInfo of the key that the
	// ingress speaks TLS with; nil where it does not.
	IngressTLSKey []byte
	Now           func() time.Time
	Logger        *slog.Logger
}

// Service is the pods of one provider. Make it with [New]; it serves while
// [Service.Run] runs.
type Service struct {
	cfg    Config
	log    *slog.Logger
	keys   processKeys
	ledger ledger
	// endpoints are what was issued to users of apps.
	endpoints endpointClaims
	rate      rate

	transparency *transparency

	mu sync.Mutex // guards pods, spawn and work
	// pods holds every pod that has a record.
	pods map[PodID]*pod
	// spawn starts a pod's driver; nil while the service does not run.
	spawn func(*pod)
	// work runs what is to end with the service; nil while it does not run.
	work  func(func(context.Context))
	ready chan struct{}
}

// New makes a service and its keys. It starts nothing and touches no disk.
func New(cfg Config) (*Service, error) {
	hpke, err := keyrelease.NewKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the release key: %w", err)
	}
	_, receipt, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the receipt key: %w", err)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	keys := processKeys{hpke: hpke, receipt: receipt, epoch: cfg.BootEpoch}
	return &Service{
		cfg: cfg, log: cfg.Logger, keys: keys, transparency: newTransparency(cfg, keys),
		ledger:    ledger{byDigest: map[[32]byte]*issued{}},
		endpoints: endpointClaims{issued: map[[32]byte]time.Time{}},
		pods:      map[PodID]*pod{},
		ready:     make(chan struct{}),
	}, nil
}

// Ready is closed when the stored pods are known and requests are served.
func (s *Service) Ready() <-chan struct{} { return s.ready }

// Run appraises this provider, finds its pods again and drives them until ctx
// ends. Pods go on running when it returns.
func (s *Service) Run(ctx context.Context) error {
	if err := s.appraiseSelf(ctx, s.cfg.Policy); err != nil {
		return fmt.Errorf("appraising this provider: %w", err)
	}
	if err := s.announceSelf(ctx); err != nil {
		return fmt.Errorf("beginning the pod log: %w", err)
	}
	if err := s.transparency.start(ctx); err != nil {
		return err
	}
	records, err := s.cfg.Store.Load(ctx)
	if err != nil {
		return fmt.Errorf("loading pods: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	s.mu.Lock()
	for _, r := range lockedLast(records) {
		if r.Locked {
			// Nobody vouches that these are the pod's own.
			r.Obsolete = nil
		}
		s.claimNames(&r)
		p := newPod(r)
		if err := s.recall(ctx, p); err != nil {
			s.mu.Unlock()
			return fmt.Errorf("reading the pod log: %w", err)
		}
		if err := s.readHistory(ctx, p); err != nil {
			s.mu.Unlock()
			return fmt.Errorf("reading the history: %w", err)
		}
		s.pods[r.ID] = p
		s.charge(r)
	}
	s.spawn = func(p *pod) { wg.Go(func() { s.drive(ctx, p) }) }
	s.work = func(f func(context.Context)) { wg.Go(func() { f(ctx) }) }
	for _, p := range s.pods {
		s.spawn(p)
	}
	s.mu.Unlock()
	s.log.Info("pods restored", "pods", len(records))
	s.reportLocked(records)
	defer func() {
		s.mu.Lock()
		s.spawn, s.work = nil, nil
		s.mu.Unlock()
	}()
	// Before requests come: a revision in preparation is not stored yet.
	s.sweep(ctx)
	close(s.ready)
	err = s.cfg.Instances.Watch(ctx, s.noteExit)
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil
	}
	return fmt.Errorf("watching containers: %w", err)
}

// PodIDOf is the id of a publisher's pod: base32 of the first 16 bytes of a
// SHA-256, so that the name of a foreign pod cannot be chosen.
func PodIDOf(publisher PublisherID, name string) PodID {
	sum := sha256.Sum256([]byte(string(publisher) + "\x00" + name))
	return PodID(strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16])))
}

// find returns a publisher's own pod. Foreign pods do not exist for it.
func (s *Service) find(publisher PublisherID, name string) (*pod, error) {
	s.mu.Lock()
	p, ok := s.pods[PodIDOf(publisher, name)]
	s.mu.Unlock()
	// Without a revision it is an order that is looked at.
	if !ok || p.record().Revision == 0 {
		return nil, status.New(status.NotFound, "pod.unknown", "this provider has no pod %q of yours", name)
	}
	return p, nil
}

func (s *Service) noteExit(e Exit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pods {
		if p.owns(e.Instance) {
			p.noteExit(e)
			return
		}
	}
}

// processKeys are made anew at each start and never leave the process.
type processKeys struct {
	hpke    *keyrelease.PrivateKey
	receipt ed25519.PrivateKey
	epoch   []byte
}

// EvidenceType is the type of evidence that this provider has.
func (s *Service) EvidenceType() attest.Type { return s.cfg.Device.Type() }
