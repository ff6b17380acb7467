package publisher

import (
	"log/slog"
	"time"
)

// Config is what a publisher is made of. Everything but Logger must be set.
type Config struct {
	// Peer is this publisher's binary peer id.
	Peer []byte

	Resolver   Resolver
	Sealer     Sealer
	Content    Content
	Finder     Finder
	Connection Connection
	Providers  Providers
	Builds     Builds
	Codec      OrderCodec
	Pods       Pods
	Revisions  Revisions
	Apps       Apps
	Machines   Machines
	Counters   Counters
	Keys       ReceiptKeys
	Policies   Policies
	Logs       Logs
	Now        func() time.Time
	Logger     *slog.Logger
}

// Service deploys apps. Make it with [New].
type Service struct {
	cfg Config
	log *slog.Logger
}

// New makes a service; it starts nothing.
func New(cfg Config) *Service {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{cfg: cfg, log: cfg.Logger}
}
