package p2p_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"go.uber.org/goleak"

	"apocryph/p2p"
	"apocryph/p2p/p2ptest"
	"apocryph/proto/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConfigAllFaultsAtOnce(t *testing.T) {
	rsa, _, err := crypto.GenerateKeyPairWithReader(crypto.RSA, 2048, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p2p.New(p2p.Config{
		Identity:  rsa,
		Listen:    []string{"/ip4/127.0.0.1/tcp/0", "nonsense", "/ip4/127.0.0.1/tcp/0/ws", "/dns4/x/tcp/1", "/ip4/127.0.0.1/udp/1"},
		Bootstrap: []string{"/ip4/127.0.0.1/tcp/1", "12D3KooWBBPnzxbBmhT3bAs8tiDVJfzb1tpsRPVNw1dKZi4rcH5R"},
		Relays:    []string{""},
		DHTPrefix: "no slash",
		UserAgent: strings.Repeat("x", 65),
	})
	var st *status.Error
	if !errors.As(err, &st) || st.Code != status.InvalidArgument {
		t.Fatalf("got %v", err)
	}
	var fields []string
	for _, f := range st.Faults {
		fields = append(fields, f.Field)
	}
	want := []string{"dht-prefix", "user-agent", "listen[1]", "listen[2]", "listen[3]", "listen[4]", "bootstrap[0]", "bootstrap[1]", "relays[0]", "identity"}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Error(diff)
	}
	if _, err := p2p.New(p2p.Config{}); status.CodeOf(err) != status.InvalidArgument {
		t.Errorf("no identity: %v", err)
	}
}

func TestParsePeer(t *testing.T) {
	const id = "12D3KooWBBPnzxbBmhT3bAs8tiDVJfzb1tpsRPVNw1dKZi4rcH5R"
	for _, tt := range []struct {
		in    string
		addrs int
		ok    bool
	}{
		{id, 0, true},
		{"/p2p/" + id, 0, true},
		{"/ip4/192.0.2.1/tcp/4021/p2p/" + id, 1, true},
		{"/dns4/example.org/udp/4021/quic-v1/p2p/" + id, 1, true},
		{"", 0, false},
		{"12D3KooW", 0, false},
		{"/ip4/192.0.2.1/tcp/4021", 0, false},
		{"/ip4/192.0.2.1/tcp/4021/p2p/nobody", 0, false},
		{"/ip4/192.0.2.1/tcp/4021/p2p/" + id + "/p2p-circuit", 0, false},
		{strings.Repeat("x", 5000), 0, false},
	} {
		info, err := p2p.ParsePeer(tt.in)
		switch {
		case tt.ok && (err != nil || info.ID.String() != id || len(info.Addrs) != tt.addrs):
			t.Errorf("%q: %v, %v", tt.in, info, err)
		case !tt.ok && (status.CodeOf(err) != status.InvalidArgument || len(err.Error()) > 500):
			t.Errorf("%q: got %v, want invalid_argument", tt.in, err)
		}
	}
}

func FuzzParsePeer(f *testing.F) {
	f.Add("/ip4/192.0.2.1/tcp/4021/p2p/12D3KooWBBPnzxbBmhT3bAs8tiDVJfzb1tpsRPVNw1dKZi4rcH5R")
	f.Add("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")
	f.Add("/")
	f.Fuzz(func(t *testing.T, s string) {
		if info, err := p2p.ParsePeer(s); err == nil && info.ID.Validate() != nil {
			t.Errorf("%q gave no id", s)
		}
	})
}

func TestIdentity(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "identity")
	keys := make([]crypto.PrivKey, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			var err error
			if keys[i], err = p2p.LoadIdentity(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	again, err := p2p.LoadIdentity(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if k == nil || !k.Equals(again) {
			t.Fatal("two identities from one file")
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	dir, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(dir) != 1 {
		t.Errorf("left behind: %v, %v", dir, err)
	}
}

func TestIdentityRefused(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good")
	if _, err := p2p.LoadIdentity(good); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	rsa, _, err := crypto.GenerateKeyPairWithReader(crypto.RSA, 2048, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaBytes, err := crypto.MarshalPrivateKey(rsa)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		content []byte
		mode    os.FileMode
		reason  string
	}{
		"empty":     {nil, 0o600, "identity.invalid"},
		"truncated": {key[:40], 0o600, "identity.invalid"},
		"garbage":   {[]byte("secret garbage"), 0o600, "identity.invalid"},
		"rsa":       {rsaBytes, 0o600, "identity.invalid"},
		"large":     {make([]byte, 10_000), 0o600, "identity.invalid"},
		"readable":  {key, 0o644, "identity.mode"},
	} {
		path := filepath.Join(t.TempDir(), "identity")
		if err := os.WriteFile(path, tt.content, tt.mode); err != nil {
			t.Fatal(err)
		}
		_, err := p2p.LoadIdentity(path)
		if status.ReasonOf(err) != tt.reason || strings.Contains(err.Error(), "garbage") {
			t.Errorf("%s: got %v, want %s", name, err, tt.reason)
		}
		if now, _ := os.ReadFile(path); string(now) != string(tt.content) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

// TestPortTaken: by another program, and by one that shares the port as libp2p does.
func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	other := p2ptest.Nodes(t, 1)[0]
	tcp, udp := "/ip4/127.0.0.1/tcp/"+port(l.Addr()), "/ip4/127.0.0.1/udp/"+port(u.LocalAddr())+"/quic-v1"
	for _, addr := range []string{tcp, udp, other.Host().Addrs()[0].String()} {
		n, err := p2p.New(p2p.Config{Identity: p2ptest.Key(t), Listen: []string{"/ip4/127.0.0.1/tcp/0", addr}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err = n.Run(ctx)
		cancel()
		if status.ReasonOf(err) != "p2p.listen.in_use" || !strings.Contains(err.Error(), addr) {
			t.Errorf("%s: got %v", addr, err)
		}
		select {
		case <-n.Ready():
			t.Error("ready without all its addresses")
		default:
		}
	}
}

func port(a net.Addr) string {
	_, p, _ := net.SplitHostPort(a.String())
	return p
}

func TestListensOnEverything(t *testing.T) {
	n := p2ptest.Start(t, p2p.Config{Identity: p2ptest.Key(t), Listen: []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}})
	var got []string
	for _, a := range n.Addrs() {
		_, last := multiaddr.SplitLast(a)
		if last.Value() != n.ID().String() {
			t.Errorf("%s does not end in the peer id", a)
		}
		var names []string
		for _, p := range a.Protocols() {
			names = append(names, p.Name)
		}
		got = append(got, strings.Join(names, "/"))
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"ip4/tcp/p2p", "ip4/udp/quic-v1/p2p"}, got); diff != "" {
		t.Error(diff)
	}
	other := p2ptest.Start(t, p2p.Config{Identity: p2ptest.Key(t)})
	if err := other.Connect(t.Context(), p2ptest.Info(n)); err != nil {
		t.Fatal(err)
	}
	for _, c := range other.Host().Network().ConnsToPeer(n.ID()) {
		if _, err := c.RemoteMultiaddr().ValueForProtocol(multiaddr.P_TCP); err != nil {
			t.Errorf("connected over %s, want TCP first", c.RemoteMultiaddr())
		}
	}
	// A peer that only QUIC reaches is reached.
	quic := p2ptest.Start(t, p2p.Config{Identity: p2ptest.Key(t), Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}})
	if err := other.Connect(t.Context(), p2ptest.Info(quic)); err != nil {
		t.Fatal(err)
	}
}

func TestConnectFails(t *testing.T) {
	n := p2ptest.Nodes(t, 1)[0]
	ghost := p2ptest.Key(t)
	id, err := peer.IDFromPrivateKey(ghost)
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range []peer.AddrInfo{
		{ID: id},
		{ID: id, Addrs: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/tcp/1")}},
		// Somebody else lives there.
		{ID: id, Addrs: p2ptest.Nodes(t, 1)[0].Host().Addrs()},
	} {
		err := n.Connect(t.Context(), info)
		var st *status.Error
		if !errors.As(err, &st) || st.Reason != "peer.unreachable" || st.Hint == "" || st.RetryAfter != 0 {
			t.Errorf("%v: got %v", info, err)
		}
	}
	if err := n.Connect(t.Context(), p2ptest.Info(n)); status.ReasonOf(err) != "peer.self" {
		t.Errorf("itself: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Connect(ctx, peer.AddrInfo{ID: id}); status.CodeOf(err) != status.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}

// TestConnectToOneWhoHangsUp: the caller is told to come back.
func TestConnectToOneWhoHangsUp(t *testing.T) {
	n := p2ptest.Nodes(t, 1)[0]
	id, err := peer.IDFromPrivateKey(p2ptest.Key(t))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	addr, err := manet.FromNetAddr(l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	err = n.Connect(t.Context(), peer.AddrInfo{ID: id, Addrs: []multiaddr.Multiaddr{addr}})
	var st *status.Error
	if !errors.As(err, &st) || st.Code != status.Unavailable || st.Reason != "peer.hung_up" || st.RetryAfter <= 0 || st.Hint == "" {
		t.Errorf("got %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	<-done
}

// TestFindByIDThroughBootstrap: a peer id is enough where both know a third node.
func TestFindByIDThroughBootstrap(t *testing.T) {
	nodes := p2ptest.Nodes(t, 3, p2ptest.Bootstrap())
	provider, publisher := nodes[1], nodes[2]
	connect(t, publisher, provider.ID())
}

// connect tries until the DHT knows the peer.
func connect(t *testing.T, n *p2p.Node, id peer.ID) {
	t.Helper()
	for {
		err := n.Connect(t.Context(), peer.AddrInfo{ID: id})
		if err == nil {
			return
		}
		if t.Context().Err() != nil || status.CodeOf(err) != status.Unavailable {
			t.Fatal(err)
		}
	}
}

// TestPrefixesAreApart: a DHT of another prefix knows nothing of this one.
func TestPrefixesAreApart(t *testing.T) {
	nodes := p2ptest.Nodes(t, 3, p2ptest.Bootstrap(), p2ptest.Configure(func(i int, cfg *p2p.Config) {
		if i == 2 {
			cfg.DHTPrefix = "/other"
		}
	}))
	connect(t, nodes[1], nodes[0].ID())
	if err := nodes[2].Connect(t.Context(), peer.AddrInfo{ID: nodes[1].ID()}); status.CodeOf(err) != status.Unavailable {
		t.Errorf("got %v", err)
	}
}

// TestBootstrapComesLater: the bootstrap peer starts after the node that needs it.
func TestBootstrapComesLater(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := "/ip4/127.0.0.1/tcp/" + port(l.Addr())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	key := p2ptest.Key(t)
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	n := p2ptest.Start(t, p2p.Config{
		Identity: p2ptest.Key(t), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Bootstrap: []string{addr + "/p2p/" + id.String()},
	})
	reached := make(chan struct{}, 8)
	watch := &network.NotifyBundle{ConnectedF: func(network.Network, network.Conn) { reached <- struct{}{} }}
	n.Host().Network().Notify(watch)
	defer n.Host().Network().StopNotify(watch)
	p2ptest.Start(t, p2p.Config{Identity: key, Listen: []string{addr}, Server: true})
	select {
	case <-reached:
	case <-time.After(20 * time.Second):
		t.Error("the bootstrap peer was not tried again")
	}
}

func TestCloseWithoutRun(t *testing.T) {
	n, err := p2p.New(p2p.Config{Identity: p2ptest.Key(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(n.Close(), n.Close()); err != nil {
		t.Error(err)
	}
}

// TestRelayConfigured: a relay that is not there keeps nobody from serving.
func TestRelayConfigured(t *testing.T) {
	ghost, err := peer.IDFromPrivateKey(p2ptest.Key(t))
	if err != nil {
		t.Fatal(err)
	}
	nodes := p2ptest.Nodes(t, 2, p2ptest.Configure(func(i int, cfg *p2p.Config) {
		if i == 0 {
			cfg.Relays = []string{"/ip4/127.0.0.1/tcp/1/p2p/" + ghost.String()}
		}
	}))
	if nodes[1].Host().Network().Connectedness(nodes[0].ID()) != network.Connected {
		t.Error("not connected")
	}
}
