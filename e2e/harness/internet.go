package harness

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	vns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Internet is another network namespace behind a link to this machine, at an address that
// pods may call: they reach neither this machine nor private networks. The link is of
// TEST-NET-2 (RFC 5737). It lives as long as a file of this process is open, so a test
// that is killed leaves nothing of it.
type Internet struct {
	t  *testing.T
	ns *os.File
	// Addr is its address, as everything behind the link sees it.
	Addr string
}

// NewInternet makes one that ends with the test.
func NewInternet(t *testing.T) *Internet {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	n := &Internet{t: t}
	made := make(chan error, 1)
	go func() {
		// The thread ends with the goroutine, for nobody else to run in the namespace.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			n.ns, err = os.Open("/proc/thread-self/ns/net")
		}
		made <- err
	}()
	check(<-made)
	t.Cleanup(func() { _ = n.ns.Close() })
	// Tests of other processes have links of their own, each of four addresses.
	id := os.Getpid()
	taken, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	check(err)
	first := id % 64 * 4
	for range 64 {
		if !slices.ContainsFunc(taken, func(a netlink.Addr) bool { return a.IP.Equal(net.IPv4(198, 51, 100, byte(first+1))) }) {
			break
		}
		first = (first + 4) % 256
	}
	hostSide := fmt.Sprintf("198.51.100.%d", first+1)
	n.Addr = fmt.Sprintf("198.51.100.%d", first+2)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "apo-e2e-" + strconv.Itoa(id%1_000_000)
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(n.ns.Fd())}
	check(netlink.LinkAdd(veth))
	t.Cleanup(func() {
		if err := netlink.LinkDel(veth); err != nil {
			t.Errorf("removing the test's internet: %v", err)
		}
	})
	here, err := netlink.NewHandle()
	check(err)
	defer here.Close()
	there, err := netlink.NewHandleAt(vns.NsHandle(n.ns.Fd()))
	check(err)
	defer there.Close()
	up := func(h *netlink.Handle, link, addr string) {
		t.Helper()
		l, err := h.LinkByName(link)
		check(err)
		if addr != "" {
			parsed, err := netlink.ParseAddr(addr + "/30")
			check(err)
			check(h.AddrAdd(l, parsed))
		}
		check(h.LinkSetUp(l))
	}
	up(here, attrs.Name, hostSide)
	up(there, "lo", "")
	up(there, "eth0", n.Addr)
	_, all, err := net.ParseCIDR("0.0.0.0/0")
	check(err)
	check(there.RouteAdd(&netlink.Route{Dst: all, Gw: net.ParseIP(hostSide)}))
	return n
}

// Listen listens in it on a free port, until the test ends.
func (n *Internet) Listen() net.Listener {
	n.t.Helper()
	type made struct {
		l   net.Listener
		err error
	}
	done := make(chan made, 1)
	go func() {
		// As above: a thread that has entered it runs nothing else.
		runtime.LockOSThread()
		if err := unix.Setns(int(n.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- made{nil, err}
			return
		}
		l, err := net.Listen("tcp4", n.Addr+":0")
		done <- made{l, err}
	}()
	m := <-done
	if m.err != nil {
		n.t.Fatal(m.err)
	}
	n.t.Cleanup(func() { _ = m.l.Close() })
	return m.l
}

// Serve serves HTTP in it until the test ends, and returns the server's base URL.
func (n *Internet) Serve(h http.Handler) string {
	n.t.Helper()
	l := n.Listen()
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	n.t.Cleanup(func() { _ = s.Close(); <-done })
	return "http://" + l.Addr().String()
}

// Closed is the base URL of a server that is not there: connections are refused.
func (n *Internet) Closed() string {
	l := n.Listen()
	defer l.Close()
	return "http://" + l.Addr().String()
}

// Silent is the base URL of a server that takes connections and never answers.
func (n *Internet) Silent() string { return "http://" + n.Listen().Addr().String() }
