package containerd

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// forbidden are the networks that pods have no business in: private ones (RFC
// 1918), carrier NAT (RFC 6598), link-local with the metadata services of
// clouds (RFC 3927), this host (RFC 1122), protocol assignments (RFC 6890),
// multicast and what is reserved (RFC 1112).
var forbidden = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("240.0.0.0/4"),
}

// installFilter replaces this provider's table, in one transaction. Other
// tables are not touched; a packet has to pass all of them.
func installFilter(n names, subnet netip.Prefix, resolvers []netip.Addr) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	t := &nftables.Table{Family: nftables.TableFamilyINet, Name: n.table}
	// Deleting fails where there is nothing: so it is made first.
	c.AddTable(t)
	c.DelTable(t)
	t = c.AddTable(t)
	f := filter{c: c, t: t, bridge: n.bridge}

	f.chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	// Towards pods: only answers. Neither pods nor the network may call them;
	// the ingress is on this host and does not come this way.
	f.reject(f.to(), f.from())
	f.rule(f.to(), established(), accept())
	f.rule(f.to(), drop())
	// From pods: IPv4 with their own address, to the resolvers and the internet.
	f.rule(f.from(), notIPv4(), drop())
	f.rule(f.from(), source(subnet, expr.CmpOpNeq), drop())
	f.resolvers(resolvers)
	for _, p := range forbidden {
		f.reject(f.from(), destination(p))
	}

	f.chain("input", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter)
	// To this host, whichever of its addresses: only answers, and names.
	f.rule(f.from(), established(), accept())
	f.resolvers(resolvers)
	f.reject(f.from())

	f.chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	f.rule(ipv4(), source(subnet, expr.CmpOpEq), f.notTo(), []expr.Any{&expr.Masq{}})
	return c.Flush()
}

// removeFilter deletes this provider's table, if it is there.
func removeFilter(n names) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	t := &nftables.Table{Family: nftables.TableFamilyINet, Name: n.table}
	c.AddTable(t)
	c.DelTable(t)
	return c.Flush()
}

// tableNames are the packet filter tables of this machine.
func tableNames() ([]string, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	tables, err := c.ListTables()
	var out []string
	for _, t := range tables {
		out = append(out, t.Name)
	}
	return out, err
}

// droppers are the chains of others that drop forwarded packets by default.
func droppers(own string) ([]string, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	chains, err := c.ListChains()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, ch := range chains {
		if ch.Table.Name == own || strings.HasPrefix(ch.Table.Name, "apocryph-") {
			continue
		}
		if ch.Hooknum != nil && *ch.Hooknum == *nftables.ChainHookForward && ch.Type == nftables.ChainTypeFilter &&
			ch.Policy != nil && *ch.Policy == nftables.ChainPolicyDrop {
			out = append(out, ch.Table.Name+"/"+ch.Name)
		}
	}
	return out, nil
}

// filter adds rules to a table's last chain.
type filter struct {
	c      *nftables.Conn
	t      *nftables.Table
	ch     *nftables.Chain
	bridge string
}

func (f *filter) chain(name string, typ nftables.ChainType, hook *nftables.ChainHook, prio *nftables.ChainPriority) {
	f.ch = f.c.AddChain(&nftables.Chain{Name: name, Table: f.t, Type: typ, Hooknum: hook, Priority: prio})
}

func (f *filter) rule(parts ...[]expr.Any) {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	f.c.AddRule(&nftables.Rule{Table: f.t, Chain: f.ch, Exprs: all})
}

// reject refuses what matches, so that a program in a pod learns at once what it
// would otherwise wait minutes for: TCP with a reset, since the kernel sends
// only a few unreachable messages a second, all else as prohibited.
func (f *filter) reject(parts ...[]expr.Any) {
	f.rule(append(slices.Clone(parts), transport(unix.IPPROTO_TCP), []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}})...)
	f.rule(append(slices.Clone(parts), []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}})...)
}

// resolvers lets DNS through, even to addresses that are otherwise closed.
func (f *filter) resolvers(addrs []netip.Addr) {
	for _, a := range addrs {
		for _, proto := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
			f.rule(f.from(), destination(netip.PrefixFrom(a, 32)), port(proto, 53), accept())
		}
	}
}

func (f *filter) from() []expr.Any  { return f.iface(expr.MetaKeyIIFNAME, expr.CmpOpEq) }
func (f *filter) to() []expr.Any    { return f.iface(expr.MetaKeyOIFNAME, expr.CmpOpEq) }
func (f *filter) notTo() []expr.Any { return f.iface(expr.MetaKeyOIFNAME, expr.CmpOpNeq) }

func (f *filter) iface(key expr.MetaKey, op expr.CmpOp) []expr.Any {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, f.bridge)
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: name}}
}

func accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }
func drop() []expr.Any   { return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}} }

func established() []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED),
			Xor:  make([]byte, 4),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

func family(op expr.CmpOp) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: []byte{unix.NFPROTO_IPV4}}}
}

func ipv4() []expr.Any    { return family(expr.CmpOpEq) }
func notIPv4() []expr.Any { return family(expr.CmpOpNeq) }

func source(p netip.Prefix, op expr.CmpOp) []expr.Any { return address(12, p, op) }

func destination(p netip.Prefix) []expr.Any {
	return append(ipv4(), address(16, p, expr.CmpOpEq)...)
}

// address compares the masked address at an offset of the IPv4 header (RFC 791, 3.1).
func address(offset uint32, p netip.Prefix, op expr.CmpOp) []expr.Any {
	a := p.Masked().Addr().As4()
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: ipNet(p).Mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: op, Register: 1, Data: a[:]},
	}
}

// transport compares the transport protocol.
func transport(proto byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{proto}},
	}
}

// port compares the transport protocol and its destination port.
func port(proto byte, number uint16) []expr.Any {
	return append(transport(proto),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(number)},
	)
}
