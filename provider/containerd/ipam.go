package containerd

import (
	"net/netip"

	"apocryph/proto/status"
	"apocryph/provider"
)

// claim notes that an instance has an address, as its record says, and reports
// whether it can keep it: the subnet may have had to change.
func (n *network) claim(id provider.InstanceID, ip netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if owner, taken := n.used[ip]; taken && owner != id || !n.usable(ip) {
		return false
	}
	n.used[ip] = id
	return true
}

// allocate finds a free address for an instance. Addresses are taken in turn,
// so that one which has just become free is the last to be used again.
func (n *network) allocate(id provider.InstanceID) (netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for a, owner := range n.used {
		if owner == id {
			return a, nil
		}
	}
	a := n.last
	for range 1 << (32 - subnetBits) {
		if a = a.Next(); !n.subnet.Contains(a) {
			a = n.gateway()
			continue
		}
		if _, taken := n.used[a]; taken || !n.usable(a) {
			continue
		}
		n.last = a
		n.used[a] = id
		return a, nil
	}
	return netip.Addr{}, status.New(status.ResourceExhausted, "capacity.addresses", "all addresses of %s are taken", n.subnet)
}

// release gives an instance's address back.
func (n *network) release(id provider.InstanceID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for a, owner := range n.used {
		if owner == id {
			delete(n.used, a)
		}
	}
}

// usable excludes the network's own address, the gateway and the broadcast address.
func (n *network) usable(a netip.Addr) bool {
	return n.subnet.Contains(a) && a != n.subnet.Masked().Addr() && a != n.gateway() && n.subnet.Contains(a.Next())
}
