package containerd

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/netip"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/containerd/attendant"
)

// The pods' addresses are a subnet of 10.64.0.0/10: large enough that two
// providers of a machine seldom want the same, and rarely used elsewhere.
var podSpace = netip.MustParsePrefix("10.64.0.0/10")

// subnetBits makes 4093 addresses for pods.
const subnetBits = 20

// network is a bridge with one port per instance, a packet filter and the
// addresses of a subnet. Its methods may be called at any time and in any order.
type network struct {
	dirs      layout
	names     names
	resolvers []netip.Addr
	log       *slog.Logger

	mu     sync.Mutex
	subnet netip.Prefix
	last   netip.Addr
	used   map[netip.Addr]provider.InstanceID
	warned bool
}

func (n *network) gateway() netip.Addr { return n.subnet.Masked().Addr().Next() }

// ensure makes the bridge and the packet filter what they should be, whatever
// happened to them.
func (n *network) ensure() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.subnet.IsValid() {
		if err := n.chooseSubnet(); err != nil {
			return err
		}
	}
	if err := n.ensureBridge(); err != nil {
		return fmt.Errorf("setting up bridge %s: %w", n.names.bridge, err)
	}
	if err := n.forwarding(); err != nil {
		return err
	}
	if err := installFilter(n.names, n.subnet, n.resolvers); err != nil {
		return fmt.Errorf("installing packet filter %s: %w", n.names.table, err)
	}
	return nil
}

// dismantle deletes the bridge and the packet filter.
func (n *network) dismantle() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	l, err := netlink.LinkByName(n.names.bridge)
	if err == nil {
		err = netlink.LinkDel(l)
	} else if _, gone := errors.AsType[netlink.LinkNotFoundError](err); gone {
		err = nil
	}
	if err := errors.Join(err, removeFilter(n.names)); err != nil {
		return fmt.Errorf("dismantling the network: %w", err)
	}
	return nil
}

func (n *network) chooseSubnet() error {
	var saved struct{ Subnet netip.Prefix }
	if data, err := os.ReadFile(n.dirs.network()); err == nil {
		if err := json.Unmarshal(data, &saved); err != nil {
			return fmt.Errorf("reading %s: %w", n.dirs.network(), err)
		}
	} else if !missing(err) {
		return err
	}
	busy, err := n.busy()
	if err != nil {
		return err
	}
	if saved.Subnet.IsValid() && saved.Subnet.Bits() == subnetBits && podSpace.Contains(saved.Subnet.Addr()) && !overlaps(busy, saved.Subnet) {
		n.subnet = saved.Subnet
		return nil
	}
	const subnets = 1 << (subnetBits - 10)
	h := fnv.New32a()
	h.Write([]byte(n.names.id))
	base := podSpace.Addr().As4()
	for i := range uint32(subnets) {
		k := (h.Sum32() + i) % subnets
		// The subnet's number sits above its own 12 bits.
		a := netip.AddrFrom4([4]byte{base[0], base[1] + byte(k>>4), byte(k<<4) & 0xf0, 0})
		if p := netip.PrefixFrom(a, subnetBits); !overlaps(busy, p) {
			saved.Subnet = p
			data, err := json.Marshal(saved)
			if err != nil {
				return err
			}
			n.subnet = p
			return attendant.WriteFile(n.dirs.network(), data, 0o600)
		}
	}
	return status.New(status.ResourceExhausted, "network.subnet", "no free subnet is left in %s", podSpace)
}

func overlaps(busy []netip.Prefix, p netip.Prefix) bool {
	for _, b := range busy {
		if b.Overlaps(p) {
			return true
		}
	}
	return false
}

// busy are the networks that this machine reaches by something else than our bridge.
func (n *network) busy() ([]netip.Prefix, error) {
	own := 0
	if l, err := netlink.LinkByName(n.names.bridge); err == nil {
		own = l.Attrs().Index
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("listing routes: %w", err)
	}
	var out []netip.Prefix
	for _, r := range routes {
		if r.Dst == nil || r.LinkIndex == own && own != 0 {
			continue
		}
		a, ok := netip.AddrFromSlice(r.Dst.IP.To4())
		bits, _ := r.Dst.Mask.Size()
		// A route as wide as the default route says nothing about who is there.
		if ok && bits > 1 {
			out = append(out, netip.PrefixFrom(a, bits))
		}
	}
	return out, nil
}

// forwarding lets this machine route. The packet filter of other programs is
// left as it is; where one of them drops what it does not know, pods have no way
// out, which is told once.
func (n *network) forwarding() error {
	const key = "ipv4/ip_forward"
	old, err := os.ReadFile("/proc/sys/net/" + key)
	if err != nil {
		return err
	}
	if len(old) == 0 || old[0] != '1' {
		n.log.Warn("ip forwarding was off and is now on: this machine routes between its networks unless its firewall says otherwise")
		if err := sysctl(key, "1"); err != nil {
			return fmt.Errorf("enabling ip forwarding: %w", err)
		}
	}
	if n.warned {
		return nil
	}
	n.warned = true
	if who, err := droppers(n.names.table); err == nil && len(who) > 0 {
		n.log.Warn("another firewall drops forwarded packets by default: pods may have no way out", slog.Any("chains", who))
	}
	return nil
}

// sysctl sets a key below net of the current thread's network namespace.
func sysctl(key, value string) error {
	return os.WriteFile("/proc/sys/net/"+key, []byte(value), 0o644)
}
