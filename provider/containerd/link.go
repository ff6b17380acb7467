package containerd

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	vns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"apocryph/provider"
)

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
	// Only this family: a kernel without IPsec lacks others that are the default.
	in, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
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

// loopback enables the loopback of a namespace that has no link.
func loopback(netns string) error {
	ns, err := vns.GetFromPath(netns)
	if err != nil {
		return fmt.Errorf("opening network namespace: %w", err)
	}
	defer ns.Close()
	in, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("entering network namespace: %w", err)
	}
	defer in.Close()
	lo, err := in.LinkByName("lo")
	if err != nil {
		return err
	}
	return in.LinkSetUp(lo)
}
