package providerd

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/libp2p/go-libp2p/core/crypto"

	"apocryph/p2p"
	"apocryph/p2p/content"
	"apocryph/p2p/discovery"
	"apocryph/p2p/lifecycle"
	"apocryph/provider"
	"apocryph/provider/containerd"
	"apocryph/provider/images"
	"apocryph/provider/ingress"
	"apocryph/provider/inventory"
	"apocryph/provider/peerapi"
	"apocryph/provider/store"
	"apocryph/provider/vault"
)

// Node is one provider.
type Node struct {
	set   settings
	log   *slog.Logger
	ready chan struct{}
	info  Info
}

// New checks a configuration and reads the files that it names, and starts
// nothing.
func New(cfg Config) (*Node, error) {
	set, err := cfg.check()
	if err != nil {
		return nil, err
	}
	return &Node{set: set, log: set.Logger, ready: make(chan struct{})}, nil
}

// Ready is closed when the provider serves and provider.json is written.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Info is what provider.json has; valid after Ready.
func (n *Node) Info() Info { return n.info }

// Run serves until ctx ends, then stops everything but the pods.
func (n *Node) Run(ctx context.Context) (err error) {
	unlock, err := lockDir(n.set.DataDir)
	if err != nil {
		return err
	}
	defer unlock()
	// What a killed provider left says nothing any more.
	if err := os.Remove(filepath.Join(n.set.DataDir, InfoFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var disk *storage
	if n.set.Runtime == nil {
		if disk, err = openStorage(ctx, n.set); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, disk.leave(context.WithoutCancel(ctx))) }()
	}
	key, err := p2p.LoadIdentity(filepath.Join(n.set.DataDir, "identity.key"))
	if err != nil {
		return err
	}
	tee, err := openDevice(ctx, n.set)
	if err != nil {
		return err
	}
	defer func() {
		// Nothing is lost with a device that went away first.
		if err := tee.close(); err != nil {
			n.log.Warn("closing the device", "err", err)
		}
	}()
	opened, err := openStore(ctx, n.set, tee, disk)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.db.Close()) }()

	epoch, err := bootEpoch(ctx, tee.Device)
	if err != nil {
		return err
	}
	pods, err := n.openLog(ctx, tee.Device, epoch, opened.logKey)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pods.Close()) }()

	st := lifecycle.New(n.log)
	defer func() { err = errors.Join(err, st.Stop()) }()
	if tee.run != nil {
		if err := st.Start(ctx, "collateral", nil, tee.run); err != nil {
			return err
		}
	}
	err = n.start(ctx, st, parts{
		key: key, device: tee.Device, db: opened.db, disk: disk, volumes: opened.volumes, pods: pods, epoch: epoch, ingressKey: opened.ingressKey,
	})
	if err != nil {
		return err
	}
	return st.Wait(ctx)
}

// unsealed is what the data key opens.
type unsealed struct {
	db *store.DB
	// volumes is nil without storage for them.
	volumes *persistent
	logKey  []byte
	// ingressKey seals what the ingress keeps.
	ingressKey []byte
}

// openStore opens the store, volumes and the pod log's key with the data key of
// this measured state.
func openStore(ctx context.Context, s settings, device provider.Device, disk *storage) (*unsealed, error) {
	dataKey, err := device.DataKey(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening the data key: %w", err)
	}
	defer clear(dataKey)
	storeKey, err := hkdf.Expand(sha256.New, dataKey, storeKeyInfo, store.KeySize)
	if err != nil {
		return nil, err
	}
	defer clear(storeKey)
	var out unsealed
	if out.logKey, err = logKey(dataKey); err != nil {
		return nil, err
	}
	if out.ingressKey, err = ingressKey(dataKey); err != nil {
		return nil, err
	}
	if disk != nil {
		if out.volumes, err = disk.persistent(dataKey); err != nil {
			return nil, err
		}
	}
	if out.db, err = store.Open(ctx, filepath.Join(s.DataDir, "state.db"), storeKey, s.Logger); err != nil {
		return nil, err
	}
	return &out, nil
}

// storeKeyInfo keeps the store's key apart from others that the data key may
// give one day.
const storeKeyInfo = "apocryph/store/1"

// parts are what is on this machine for this provider.
type parts struct {
	key    crypto.PrivKey
	device provider.Device
	db     *store.DB
	// disk and volumes are nil where the runtime was given.
	disk    *storage
	volumes *persistent
	pods    provider.PodLog
	epoch   []byte
	// ingressKey seals what the ingress keeps.
	ingressKey []byte
	// runtime runs pods; roots is nil where it was given.
	runtime *Runtime
	roots   provider.Roots
}

// start brings up the components in the order of their needs.
func (n *Node) start(ctx context.Context, st *lifecycle.Stack, o parts) error {
	network, err := p2p.New(n.set.network(o.key))
	if err != nil {
		return err
	}
	if err := st.Start(ctx, "network", network.Ready(), network.Run); err != nil {
		return err
	}
	blocks, err := content.New(content.Config{
		Dir: filepath.Join(n.set.DataDir, "content"), Host: network.Host(), Routing: network.Routing(), Logger: n.log,
	})
	if err != nil {
		return err
	}
	if err := st.Start(ctx, "content store", nil, blocks.Run); err != nil {
		return err
	}
	identity := network.ID().String()
	rt := n.set.Runtime
	if rt == nil {
		c, err := containerd.New(containerd.Config{
			DataDir: o.disk.runtimeDir(), StateDir: o.disk.stateDir(), RuntimeDir: runtimeDir(identity[len(identity)-8:]),
			Identity: identity, Volumes: o.volumes, Logger: n.log,
		})
		if err != nil {
			return err
		}
		if err := st.Start(ctx, "container runtime", c.Ready(), c.Run); err != nil {
			return err
		}
		rt = &Runtime{Runtime: c, Instances: c, Logs: c, Volumes: c}
		o.roots = c
	}
	o.runtime = rt
	frontDoor := n.set.ingress()
	tls, err := n.certificates(o.ingressKey)
	if err != nil {
		return err
	}
	frontDoor.Certificates, frontDoor.Challenges = tls.shown, tls.challenges
	in, err := ingress.New(frontDoor)
	if err != nil {
		return err
	}
	if err := st.Start(ctx, "ingress", in.Ready(), in.Run); err != nil {
		return err
	}
	if tls.run != nil {
		if err := st.Start(ctx, "certificates", nil, func(ctx context.Context) error { return tls.run(ctx, in) }); err != nil {
			return err
		}
	}
	machine, err := inventory.Inspect(inventory.InspectConfig{DataDir: n.set.DataDir})
	if err != nil {
		return err
	}
	kind := vault.None
	if o.disk != nil {
		kind = o.disk.Kind()
		if err := o.disk.fit(&machine); err != nil {
			return err
		}
	}
	stock, err := inventory.New(inventory.Config{
		Machine: machine, Prices: n.set.prices, RuntimeClasses: runtimeClasses, Provider: []byte(network.ID()), Ports: n.set.ports, Now: n.set.Now,
	})
	if err != nil {
		return err
	}
	setup, err := n.setup(identity, o.device, kind)
	if err != nil {
		return err
	}
	svc, err := provider.New(provider.Config{
		Peer: []byte(network.ID()), Version: n.set.Version, Store: o.db, History: o.db, BootEpoch: o.epoch, IngressTLSKey: tls.key, Log: o.pods, Setup: setup,
		Tree: o.db.Log(), Heads: store.NewHeadFile(filepath.Join(n.set.DataDir, "transparency.head")),
		Runtime: rt, Instances: rt, Volumes: rt, Logs: rt,
		Images: images.New(blocks), Capacity: stock, Charges: stock, Names: in, Routes: in, Drains: in, Device: o.device,
		Policy: n.set.policy, PublisherPolicy: n.set.publisherPolicy, Publishers: peerapi.Publishers{Host: network.Host()}, Prices: n.set.prices, Now: n.set.Now, Logger: n.log,
		Statements: statements{o.db.Documents("provenance")},
	})
	if err != nil {
		return err
	}
	if err := st.Start(ctx, "pods", svc.Ready(), svc.Run); err != nil {
		return err
	}
	in.Attend(svc)
	d, err := n.direct(ctx, st, o, blocks, svc, in)
	if err != nil {
		return err
	}
	// Who reads provider.json may call at once.
	registered := make(chan struct{})
	err = st.Start(ctx, "peer protocols", registered, func(ctx context.Context) error {
		stop := peerapi.Register(network.Host(), svc, peerBuilds{d.builds, n.set.Source.hosts()}, n.log)
		close(registered)
		<-ctx.Done()
		stop()
		return nil
	})
	if err != nil {
		return err
	}
	advertiser, err := discovery.NewAdvertiser(discovery.AdvertiserConfig{
		Host: network.Host(), Key: o.key, Routing: network.Routing(), Logger: n.log,
		Describe: func() discovery.Advert { return n.describe(o.device, stock) },
	})
	if err != nil {
		return err
	}
	if err := st.Start(ctx, "advert", nil, advertiser.Run); err != nil {
		return err
	}
	apis, err := n.serveAPI(ctx, st, o, svc, d, in)
	if err != nil {
		return err
	}
	n.info = Info{
		PeerID: identity, Ingress: in.Addr().String(), API: first(apis), APISocket: n.set.APISockets[0],
		TEE: string(o.device.Type()), PID: os.Getpid(), Version: n.set.Version,
	}
	if a := in.AddrTLS(); a != nil {
		n.info.IngressTLS = a.String()
	}
	for _, a := range network.Addrs() {
		n.info.Addrs = append(n.info.Addrs, a.String())
	}
	if err := n.info.write(n.set.DataDir); err != nil {
		return err
	}
	// Gone before anything else stops: who reads the file finds a provider.
	err = st.Start(ctx, InfoFile, nil, func(ctx context.Context) error {
		<-ctx.Done()
		return os.Remove(filepath.Join(n.set.DataDir, InfoFile))
	})
	if err != nil {
		return err
	}
	n.log.Info("ready", "peer", identity, "addrs", strings.Join(n.info.Addrs, " "), "ingress", n.info.Ingress, "tee", n.info.TEE)
	close(n.ready)
	return nil
}

// runtimeClasses are what the embedded runtime offers.
var runtimeClasses = []string{"runc"}

func (n *Node) describe(device provider.Device, stock *inventory.Inventory) discovery.Advert {
	free := stock.Free()
	a := discovery.Advert{
		TEE: string(device.Type()), Region: n.set.Region, RuntimeClasses: runtimeClasses,
		Resources: discovery.Resources{CPUMillis: free.CPUMillis, MemoryBytes: free.MemoryBytes, DiskBytes: free.DiskBytes, GPUs: free.GPUs},
		Asset:     n.set.prices.Asset, Software: "apocryph/" + n.set.Version, Platform: "linux/" + runtime.GOARCH,
	}
	for _, p := range n.set.prices.Prices() {
		a.Prices = append(a.Prices, discovery.Price(p))
	}
	return a
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}
