package p2p

import (
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"apocryph/proto/status"
)

// maxPeerText bounds a peer's text form in bytes: it may come from a file that
// a stranger wrote.
const maxPeerText = 1024

// ParsePeer reads how people name a peer: a peer id, or a multiaddr that ends
// in /p2p/ID. A peer id alone gives no addresses.
func ParsePeer(s string) (peer.AddrInfo, error) {
	bad := func(want string) error {
		got := s
		if len(got) > 128 {
			got = got[:128] + "…"
		}
		return status.New(status.InvalidArgument, "peer.invalid", "peer: got %q, want %s", got, want)
	}
	if len(s) > maxPeerText {
		return peer.AddrInfo{}, bad("at most 1024 bytes")
	}
	if !strings.HasPrefix(s, "/") {
		id, err := peer.Decode(s)
		if err != nil {
			return peer.AddrInfo{}, bad("a peer id such as 12D3KooW… or a multiaddr that ends in /p2p/ID")
		}
		return peer.AddrInfo{ID: id}, nil
	}
	addr, err := multiaddr.NewMultiaddr(s)
	if err != nil {
		return peer.AddrInfo{}, bad("a multiaddr such as /ip4/192.0.2.1/tcp/4021/p2p/ID")
	}
	info, err := peer.AddrInfoFromP2pAddr(addr)
	if err != nil {
		return peer.AddrInfo{}, bad("a multiaddr that ends in /p2p/ID")
	}
	return *info, nil
}
