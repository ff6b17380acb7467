package containerd

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
	vns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"apocryph/proto/status"
	"apocryph/provider"
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
			return writeFile(n.dirs.network(), data, 0o600)
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

func (n *network) ensureBridge() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = n.names.bridge
	gw := n.gateway()
	attrs.HardwareAddr = macOf(gw)
	attrs.MTU = uplinkMTU()
	l, err := netlink.LinkByName(n.names.bridge)
	if _, gone := errors.AsType[netlink.LinkNotFoundError](err); gone {
		l = &netlink.Bridge{LinkAttrs: attrs}
		if err := netlink.LinkAdd(l); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	// Pods speak IPv4 only; with no IPv6 on the bridge the host has no
	// link-local address that they could reach.
	if err := sysctl("ipv6/conf/"+n.names.bridge+"/disable_ipv6", "1"); !missing(err) {
		return err
	}
	want := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(gw, subnetBits))}
	addrs, err := netlink.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	found := false
	for _, a := range addrs {
		if a.IPNet.String() == want.IPNet.String() {
			found = true
		} else if err := netlink.AddrDel(l, &a); err != nil {
			return err
		}
	}
	if !found {
		if err := netlink.AddrAdd(l, want); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(l)
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

// uplinkMTU is that of the interface with the default route, or Ethernet's.
func uplinkMTU() int {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return 1500
	}
	for _, r := range routes {
		if ones, _ := maskSize(r.Dst); ones != 0 || r.LinkIndex == 0 {
			continue
		}
		if l, err := netlink.LinkByIndex(r.LinkIndex); err == nil && l.Attrs().MTU >= 576 {
			return min(l.Attrs().MTU, 1500)
		}
	}
	return 1500
}

func maskSize(n *net.IPNet) (int, int) {
	if n == nil {
		return 0, 32
	}
	return n.Mask.Size()
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// macOf is a locally administered address that an IP address is read from, so
// that who gets an address again has what neighbours remember of it.
func macOf(a netip.Addr) net.HardwareAddr {
	b := a.As4()
	return net.HardwareAddr{0x0a, 0x58, b[0], b[1], b[2], b[3]}
}

// attach gives an instance's namespace its link, address and routes, unless it
// has them.
func (n *network) attach(id provider.InstanceID, ip netip.Addr) error {
	n.mu.Lock()
	gw, mtu := n.gateway(), uplinkMTU()
	n.mu.Unlock()
	ns, err := vns.GetFromPath(n.dirs.netns(id))
	if err != nil {
		return fmt.Errorf("opening network namespace: %w", err)
	}
	defer ns.Close()
	in, err := netlink.NewHandleAt(ns)
	if err != nil {
		return fmt.Errorf("entering network namespace: %w", err)
	}
	defer in.Close()
	bridge, err := netlink.LinkByName(n.names.bridge)
	if err != nil {
		return fmt.Errorf("finding bridge %s: %w", n.names.bridge, err)
	}
	host := n.names.veth(id)
	if _, err := in.LinkByName("eth0"); err != nil {
		// What a crash left may hold the name.
		if err := n.detach(id); err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = host, mtu
		err := netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: attrs, PeerName: "eth0", PeerMTU: uint32(mtu),
			PeerHardwareAddr: macOf(ip), PeerNamespace: netlink.NsFd(ns),
		})
		if err != nil {
			return fmt.Errorf("making link %s: %w", host, err)
		}
	}
	port, err := netlink.LinkByName(host)
	if err != nil {
		return fmt.Errorf("finding link %s: %w", host, err)
	}
	if err := sysctl("ipv6/conf/"+host+"/disable_ipv6", "1"); !missing(err) {
		return err
	}
	if err := errors.Join(netlink.LinkSetMaster(port, bridge), netlink.LinkSetIsolated(port, true), netlink.LinkSetUp(port)); err != nil {
		return fmt.Errorf("joining link %s to the bridge: %w", host, err)
	}
	err = inNetns(n.dirs.netns(id), func() error {
		for _, kv := range [][2]string{
			{"ipv6/conf/all/disable_ipv6", "1"},
			{"ipv6/conf/default/disable_ipv6", "1"},
			// Users of the container that are not root may bind low ports too.
			{"ipv4/ip_unprivileged_port_start", "0"},
		} {
			if err := sysctl(kv[0], kv[1]); !missing(err) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("configuring network namespace: %w", err)
	}
	return configureInside(in, ip, gw)
}

// attached tells whether an instance's link is up and joined to the bridge.
func (n *network) attached(id provider.InstanceID) bool {
	bridge, err := netlink.LinkByName(n.names.bridge)
	if err != nil {
		return false
	}
	port, err := netlink.LinkByName(n.names.veth(id))
	return err == nil && port.Attrs().MasterIndex == bridge.Attrs().Index && port.Attrs().Flags&net.FlagUp != 0
}

// configureInside sets addresses and routes within the namespace. The address
// is a /32 and everything goes by way of the gateway, whose filter decides.
func configureInside(in *netlink.Handle, ip, gw netip.Addr) error {
	for name, a := range map[string]*net.IPNet{"lo": nil, "eth0": ipNet(netip.PrefixFrom(ip, 32))} {
		l, err := in.LinkByName(name)
		if err != nil {
			return fmt.Errorf("finding %s: %w", name, err)
		}
		if a != nil {
			if err := in.AddrReplace(l, &netlink.Addr{IPNet: a}); err != nil {
				return fmt.Errorf("setting address %s: %w", a, err)
			}
		}
		if err := in.LinkSetUp(l); err != nil {
			return fmt.Errorf("enabling %s: %w", name, err)
		}
		if a == nil {
			continue
		}
		for _, r := range []netlink.Route{
			{LinkIndex: l.Attrs().Index, Dst: ipNet(netip.PrefixFrom(gw, 32)), Scope: netlink.SCOPE_LINK},
			{LinkIndex: l.Attrs().Index, Dst: ipNet(netip.MustParsePrefix("0.0.0.0/0")), Gw: gw.AsSlice()},
		} {
			if err := in.RouteReplace(&r); err != nil {
				return fmt.Errorf("setting route: %w", err)
			}
		}
	}
	return nil
}

// detach deletes an instance's link, if there is one.
func (n *network) detach(id provider.InstanceID) error {
	l, err := netlink.LinkByName(n.names.veth(id))
	if _, gone := errors.AsType[netlink.LinkNotFoundError](err); gone {
		return nil
	}
	if err != nil {
		return err
	}
	if err := netlink.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("deleting link %s: %w", n.names.veth(id), err)
	}
	return nil
}
