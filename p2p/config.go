package p2p

import (
	"log/slog"
	"regexp"
	"strconv"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"

	"apocryph/proto/status"
)

// DefaultDHTPrefix keeps this network's DHT apart from the public one.
const DefaultDHTPrefix = "/apocryph"

// PublicDHTPrefix joins the public IPFS DHT.
const PublicDHTPrefix = "/ipfs"

// maxConfigured bounds each list of addresses in a configuration.
const maxConfigured = 64

// Config says what kind of node to make.
type Config struct {
	// Identity is the Ed25519 key that the peer id is made of.
	Identity crypto.PrivKey
	// Listen are multiaddrs of TCP (/ip4/0.0.0.0/tcp/4021) and QUIC
	// (/ip4/0.0.0.0/udp/4021/quic-v1); port 0 takes a free one. Empty means free
	// ports on all interfaces: a publisher listens too, so that the local network
	// sees it, holes can be punched, and providers can fetch from it.
	Listen []string
	// Bootstrap are multiaddrs that end in /p2p/ID. Empty is fine: see the package comment.
	Bootstrap []string
	// DHTPrefix is the DHT's protocol prefix; "" means [DefaultDHTPrefix].
	DHTPrefix string
	// Server makes a node that serves the DHT and has the limits of a provider.
	Server bool
	// Relays are relays to be reached through when this node sits behind NAT,
	// multiaddrs that end in /p2p/ID. Hole punching is on where there are some.
	// Calls wait until a hole is punched or need a relay that sets no limits.
	Relays []string
	// MDNS finds and is found by peers on the local network.
	MDNS bool
	// UserAgent is what peers are told of this program; "" means "apocryph".
	UserAgent string
	// Logger may be nil.
	Logger *slog.Logger
}

// settings is a Config whose texts have been parsed.
type settings struct {
	Config
	listen            []multiaddr.Multiaddr
	bootstrap, relays []peer.AddrInfo
	prefix            protocol.ID
	log               *slog.Logger
}

var prefixForm = regexp.MustCompile(`^(/[a-z0-9][a-z0-9._-]{0,31}){1,4}$`)

func defaultListen() []string {
	return []string{
		"/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1",
		"/ip6/::/tcp/0", "/ip6/::/udp/0/quic-v1",
	}
}

// Check reports all faults at once, but for a missing identity: what people
// write can be refused before anything is opened.
func (c Config) Check() error {
	_, faults := c.read()
	return invalid(faults)
}

// parse checks everything and reports all faults at once.
func (c Config) parse() (settings, error) {
	s, faults := c.read()
	switch {
	case c.Identity == nil:
		faults = append(faults, status.Fault{Field: "identity", Got: "none", Want: "an Ed25519 key"})
	case c.Identity.Type() != crypto.Ed25519:
		faults = append(faults, status.Fault{Field: "identity", Got: c.Identity.Type().String(), Want: "an Ed25519 key"})
	}
	if err := invalid(faults); err != nil {
		return settings{}, err
	}
	return s, nil
}

func invalid(faults []status.Fault) error {
	if len(faults) == 0 {
		return nil
	}
	return status.Invalid("p2p.config", "the network configuration", faults)
}

func (c Config) read() (settings, []status.Fault) {
	s := settings{Config: c, prefix: protocol.ID(c.DHTPrefix), log: c.Logger}
	var faults []status.Fault
	fault := func(field, got, want string) {
		faults = append(faults, status.Fault{Field: field, Got: got, Want: want})
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.UserAgent == "" {
		s.UserAgent = "apocryph"
	}
	if s.prefix == "" {
		s.prefix = DefaultDHTPrefix
	}
	if !prefixForm.MatchString(string(s.prefix)) {
		fault("dht-prefix", strconv.Quote(c.DHTPrefix), `a path such as "/apocryph"`)
	}
	if len(s.UserAgent) > 64 {
		fault("user-agent", strconv.Itoa(len(s.UserAgent))+" bytes", "at most 64")
	}
	listen := c.Listen
	if len(listen) == 0 {
		listen = defaultListen()
	}
	for _, list := range []struct {
		field string
		n     int
	}{{"listen", len(listen)}, {"bootstrap", len(c.Bootstrap)}, {"relays", len(c.Relays)}} {
		if list.n > maxConfigured {
			fault(list.field, strconv.Itoa(list.n)+" addresses", "at most "+strconv.Itoa(maxConfigured))
		}
	}
	for i, text := range listen {
		addr, err := multiaddr.NewMultiaddr(text)
		if err != nil || !listenable(addr) {
			fault(index("listen", i), strconv.Quote(text), "/ip4/ADDRESS/tcp/PORT or /ip4/ADDRESS/udp/PORT/quic-v1 (or ip6)")
			continue
		}
		s.listen = append(s.listen, addr)
	}
	peers := func(field string, texts []string) (infos []peer.AddrInfo) {
		for i, text := range texts {
			info, err := ParsePeer(text)
			if err != nil || len(info.Addrs) == 0 {
				fault(index(field, i), strconv.Quote(text), "a multiaddr that ends in /p2p/ID")
				continue
			}
			infos = append(infos, info)
		}
		return infos
	}
	s.bootstrap = peers("bootstrap", c.Bootstrap)
	s.relays = peers("relays", c.Relays)
	return s, faults
}

// listenable accepts exactly /ip/tcp and /ip/udp/quic-v1.
func listenable(a multiaddr.Multiaddr) bool {
	var codes []int
	for _, p := range a.Protocols() {
		codes = append(codes, p.Code)
	}
	ip := func(c int) bool { return c == multiaddr.P_IP4 || c == multiaddr.P_IP6 }
	switch {
	case len(codes) == 2:
		return ip(codes[0]) && codes[1] == multiaddr.P_TCP
	case len(codes) == 3:
		return ip(codes[0]) && codes[1] == multiaddr.P_UDP && codes[2] == multiaddr.P_QUIC_V1
	}
	return false
}

func index(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }
