package containerd

import (
	"errors"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// ensureBridge makes the bridge and gives it the gateway's address and no other.
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
