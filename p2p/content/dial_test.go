package content

import (
	"crypto/rand"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// TestTwoProcessesOfOneIdentity: the connection that serves content is found
// whichever of them was made first.
func TestTwoProcessesOfOneIdentity(t *testing.T) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	newHost := func(opts ...libp2p.Option) host.Host {
		h, err := libp2p.New(append(opts, libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics())...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		})
		return h
	}
	for name, serves := range map[string]int{"first": 0, "second": 1} {
		t.Run(name, func(t *testing.T) {
			provider := newHost()
			s := &Store{cfg: Config{Host: provider}}
			for n := range 2 {
				h := newHost(libp2p.Identity(key))
				if n == serves {
					h.SetStreamHandler(Protocol, func(st network.Stream) { _ = st.Close() })
				}
				if err := h.Connect(t.Context(), peer.AddrInfo{ID: provider.ID(), Addrs: provider.Addrs()}); err != nil {
					t.Fatal(err)
				}
			}
			id, err := peer.IDFromPrivateKey(key)
			if err != nil {
				t.Fatal(err)
			}
			st, err := s.openStream(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
