package p2p

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"apocryph/proto/status"
)

var quicPart = multiaddr.StringCast("/quic-v1")

// listenAll binds every address, one by one: libp2p is content when one of
// several succeeds.
func listenAll(n network.Network, addrs []multiaddr.Multiaddr) error {
	bound := 0
	var missing error
	for _, a := range addrs {
		err := probe(a)
		if err == nil {
			err = n.Listen(a)
		}
		switch {
		case err == nil:
			bound++
		case noSuchFamily(a, err):
			// A machine without IPv6 still listens on IPv4.
			missing = err
		case errors.Is(err, syscall.EADDRINUSE):
			return status.Wrap(err, status.Unavailable, "p2p.listen.in_use", "listening on %s: the port is taken", a).
				WithHint("stop the program that uses it, or choose another port")
		case errors.Is(err, syscall.EACCES):
			return status.Wrap(err, status.PermissionDenied, "p2p.listen.denied", "listening on %s: permission denied", a).
				WithHint("choose a port above 1023")
		default:
			return status.Wrap(err, status.Unavailable, "p2p.listen", "listening on %s", a)
		}
	}
	if bound == 0 {
		return fmt.Errorf("listening: %w", missing)
	}
	return nil
}

// probe binds a port by itself and lets go of it. For TCP, because libp2p sets
// SO_REUSEPORT to punch holes: its own bind succeeds while another process
// listens there, and the kernel hands connections to either. For UDP, because
// libp2p's error does not say why.
func probe(a multiaddr.Multiaddr) error {
	network, host, err := manet.DialArgs(a.Decapsulate(quicPart))
	if err != nil {
		return err
	}
	var l io.Closer
	if strings.HasPrefix(network, "udp") {
		l, err = net.ListenPacket(network, host)
	} else {
		l, err = net.Listen(network, host)
	}
	if err != nil {
		return err
	}
	return l.Close()
}

func noSuchFamily(a multiaddr.Multiaddr, err error) bool {
	_, v6 := a.ValueForProtocol(multiaddr.P_IP6)
	return v6 == nil && manet.IsIPUnspecified(a) &&
		(errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL))
}
