package publisherd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/p2p"
	"apocryph/p2p/content"
	"apocryph/p2p/discovery"
	"apocryph/p2p/lifecycle"
	"apocryph/p2p/mutual"
	"apocryph/p2p/seal"
	"apocryph/publisher"
	"apocryph/publisher/images"
	"apocryph/publisher/peerclient"
	"apocryph/publisher/state"
)

// Node is one publisher.
type Node struct{ cfg Config }

// New checks a configuration; it starts nothing and touches no disk.
func New(cfg Config) (*Node, error) {
	cfg, err := cfg.check()
	if err != nil {
		return nil, err
	}
	return &Node{cfg: cfg}, nil
}

// Session is what a command works with.
type Session struct {
	*publisher.Service
	State  *state.State
	Pods   *peerclient.Client
	Images *Images
	net    *reach
}

// State opens what is remembered on this machine, without any network.
func (n *Node) State() (*state.State, error) { return state.Open(filepath.Join(n.cfg.Home, "state")) }

// Do runs use with a node that is on the network. With publish, the node also
// seals and serves images; one command of a home at a time does so.
func (n *Node) Do(ctx context.Context, publish bool, use func(context.Context, *Session) error) (err error) {
	st, err := n.State()
	if err != nil {
		return err
	}
	if publish {
		unlock, err := st.WaitLock(ctx, "content", n.cfg.Waiting)
		if err != nil {
			return err
		}
		defer unlock()
	}
	key, err := p2p.LoadIdentity(filepath.Join(n.cfg.Home, "identity.key"))
	if err != nil {
		return err
	}
	p2pNode, err := p2p.New(p2p.Config{
		Identity: key, Listen: n.cfg.Listen, Bootstrap: n.cfg.Bootstrap, DHTPrefix: n.cfg.DHTPrefix, MDNS: !n.cfg.NoMDNS,
		UserAgent: "apocryph-publisher/" + n.cfg.Version, Logger: n.cfg.Logger,
	})
	if err != nil {
		return err
	}
	stack := lifecycle.New(n.cfg.Logger)
	defer func() { err = errors.Join(err, stack.Stop()) }()
	if err := stack.Start(ctx, "network", p2pNode.Ready(), p2pNode.Run); err != nil {
		return err
	}
	cache, err := discovery.OpenCache(filepath.Join(n.cfg.Home, "adverts"))
	if err != nil {
		return err
	}
	net := &reach{
		node:   p2pNode,
		finder: &discovery.Finder{Host: p2pNode.Host(), Routing: p2pNode.Routing(), LAN: p2pNode.LAN, Cache: cache, Logger: n.cfg.Logger},
		cache:  cache,
	}
	client := peerclient.New(p2pNode.Host())
	var providers publisher.Providers = client
	var builds publisher.Builds = client
	if publish && n.cfg.TEE != "" {
		device, closeDevice, err := openDevice(ctx, n.cfg)
		if err != nil {
			return err
		}
		defer func() {
			// Nothing is lost with a device that went away first.
			if err := closeDevice(); err != nil {
				n.cfg.Logger.Warn("closing the device", "err", err)
			}
		}()
		prover, err := mutual.NewProver(device, []byte(p2pNode.ID()), n.cfg.Version, time.Now)
		if err != nil {
			return err
		}
		defer prover.Serve(p2pNode.Host(), n.cfg.Logger)()
		providers, builds = proving{client, prover}, provingBuilds{client, prover}
	}
	s := &Session{State: st, Pods: client, net: net}
	cfg := publisher.Config{
		Peer: []byte(p2pNode.ID()), Finder: net, Connection: net, Providers: providers, Builds: builds, Codec: client, Pods: client, Revisions: client, Apps: st, Machines: st.Machines(), Counters: st.Counters(), Keys: st.ReceiptKeys(),
		Policies: st, Logs: st.Logs(),
		Now: time.Now, Logger: n.cfg.Logger,
	}
	if publish {
		if s.Images, err = n.images(ctx, stack, p2pNode, st); err != nil {
			return err
		}
		cfg.Resolver, cfg.Sealer, cfg.Content = s.Images.resolver, s.Images.sealer, s.Images
	}
	s.Service = publisher.New(cfg)
	if err := use(ctx, s); err != nil || s.Images == nil {
		return err
	}
	// What is still to be used was saved by the command. With a list that may
	// lack an app nothing is removed.
	apps, err := st.List(ctx)
	if err == nil {
		err = s.Images.tidy(ctx, apps)
	}
	if err != nil && ctx.Err() == nil {
		n.cfg.Logger.Warn("old images are not removed", "err", err)
	}
	return nil
}

// images opens the content store and what seals into it.
func (n *Node) images(ctx context.Context, stack *lifecycle.Stack, node *p2p.Node, st *state.State) (*Images, error) {
	dir := filepath.Join(n.cfg.Home, "content")
	store, err := content.New(content.Config{Dir: dir, Host: node.Host(), Routing: node.Routing(), Logger: n.cfg.Logger})
	if err != nil {
		return nil, fmt.Errorf("opening the content store: %w", err)
	}
	if err := stack.Start(ctx, "content store", nil, store.Run); err != nil {
		return nil, err
	}
	layers := st.Layers()
	encrypter, err := seal.New(seal.Config{
		Dir: dir, BlobPath: store.BlobPath, Index: func() seal.Index { return store.Indexer() }, Cache: layers, Guard: layers, Now: time.Now, Logger: n.cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	i := &Images{store: store, sealer: sealer{encrypter}}
	i.resolver = images.New(images.Config{Fetcher: i})
	return i, nil
}

// Peer is this publisher's peer id.
func (s *Session) Peer() peer.ID { return s.net.node.ID() }

// Addrs are the addresses of this node, each ending in its id.
func (s *Session) Addrs() []string {
	var out []string
	for _, a := range s.net.node.Addrs() {
		out = append(out, a.String())
	}
	return out
}
