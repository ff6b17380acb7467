package containerd

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	vns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"apocryph/manifest"
	"apocryph/provider"
)

// The addresses of the test's internet are of TEST-NET-3 (RFC 5737). It also
// answers at a private address, to show that the packet filter stops pods.
const (
	hostSide    = "203.0.113.1"
	netSide     = "203.0.113.2"
	privateHost = "172.30.77.1"
	metadata    = "169.254.169.254"
)

// internet is another network namespace, behind a link, with a web server on
// port 80 of each of its addresses that answers with the caller's address. The
// metadata address is this host's own.
func internet(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ns")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	made := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		made <- errors.Join(unix.Unshare(unix.CLONE_NEWNET), pin("/proc/thread-self/ns/net", path))
	}()
	check(<-made)
	t.Cleanup(func() { check(unix.Unmount(path, unix.MNT_DETACH)) })
	ns, err := vns.GetFromPath(path)
	check(err)
	defer ns.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "apo-test-net"
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns)}
	check(netlink.LinkAdd(veth))
	t.Cleanup(func() { check(netlink.LinkDel(veth)) })
	addr := func(h *netlink.Handle, link, a string) {
		t.Helper()
		l, err := h.LinkByName(link)
		check(err)
		parsed, err := netlink.ParseAddr(a)
		check(err)
		check(h.AddrAdd(l, parsed))
		check(h.LinkSetUp(l))
	}
	here, err := netlink.NewHandle()
	check(err)
	defer here.Close()
	there, err := netlink.NewHandleAt(ns)
	check(err)
	defer there.Close()
	addr(here, attrs.Name, hostSide+"/24")
	addr(there, "eth0", netSide+"/24")
	addr(there, "lo", privateHost+"/32")
	dst := ipNet(netip.MustParsePrefix(privateHost + "/32"))
	check(here.RouteAdd(&netlink.Route{Dst: dst, Gw: net.ParseIP(netSide), LinkIndex: veth.Index}))
	def := ipNet(netip.MustParsePrefix("0.0.0.0/0"))
	check(there.RouteAdd(&netlink.Route{Dst: def, Gw: net.ParseIP(hostSide)}))
	lo, err := here.LinkByName("lo")
	check(err)
	meta, err := netlink.ParseAddr(metadata + "/32")
	check(err)
	check(here.AddrAdd(lo, meta))
	t.Cleanup(func() { check(netlink.AddrDel(lo, meta)) })

	var l net.Listener
	check(inNetns(path, func() error { var err error; l, err = net.Listen("tcp4", ":80"); return err }))
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		io.WriteString(w, "caller "+host)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
	return path
}

// serveHost listens on every address of this host and returns the port.
func serveHost(t *testing.T, address string) string {
	t.Helper()
	l, err := net.Listen("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "host") })}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func httpGet(t *testing.T, url string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	r, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	return string(body), err
}

func TestNetwork(t *testing.T) {
	outside := internet(t)
	b := bench(t)
	hostPort := serveHost(t, ":0")
	other := b.Spec("serve", ":80", "other pod", ";", "sleep")
	otherIP := b.Up(other).IP
	s := b.Spec("serve", ":80", "pod", ";", "sleep")
	s.Containers = append(s.Containers, b.Container("side", "sleep"))
	ip := b.Up(s).IP

	b.Wait("the host to reach the pod", func() bool { got, err := httpGet(t, "http://"+ip+"/"); return err == nil && got == "pod" })
	b.Wait("the host to reach the other", func() bool { got, err := httpGet(t, "http://"+otherIP+"/"); return err == nil && got == "other pod" })
	if out, code := b.Run(s.ID, "get", "http://"+netSide+"/"); code != 0 || out != "200 caller "+hostSide {
		t.Errorf("the internet: %q, %d, want the host's address", out, code)
	}
	code, out, err := b.Exec(t.Context(), s.ID, "side", []string{"/probe", "get", "http://127.0.0.1/"})
	if err != nil || code != 0 || !strings.Contains(string(out), "pod") {
		t.Errorf("containers share no localhost: %q, %d, %v", out, code, err)
	}
	gateway := shared.net.gateway().String()
	for name, target := range map[string]string{
		"another pod":             otherIP + ":80",
		"the gateway":             gateway + ":" + hostPort,
		"the host's address":      hostSide + ":" + hostPort,
		"the metadata address":    metadata + ":" + hostPort,
		"a private network":       privateHost + ":80",
		"the host's DNS port":     gateway + ":53",
		"the host's loopback":     "127.0.0.1:" + hostPort,
		"an IPv6 address":         "[fd00::2]:" + hostPort,
		"IPv6 localhost's server": "[::1]:80",
	} {
		if out, code := b.Run(s.ID, "dial", "tcp", target); code == 0 {
			t.Errorf("the pod reaches %s at %s: %q", name, target, out)
		} else if strings.Contains(out, "timeout") && !strings.Contains(name, "IPv6") {
			t.Errorf("%s is not refused at once: %q", name, out)
		}
	}
	// Nobody outside can call a pod, although the host would route.
	err = inNetns(outside, func() error {
		c, err := net.DialTimeout("tcp", ip+":80", time.Second)
		if err == nil {
			c.Close()
		}
		return err
	})
	if err == nil {
		t.Error("the internet reaches the pod by its own address")
	}
}

func TestResolverIsReached(t *testing.T) {
	internet(t)
	b := bench(t)
	// The resolver is at an address that is closed but for DNS; a second server
	// listens beside it.
	old := shared.net.resolvers
	shared.net.resolvers = []netip.Addr{netip.MustParseAddr(metadata)}
	t.Cleanup(func() {
		shared.net.resolvers = old
		if err := shared.net.ensure(); err != nil {
			t.Error(err)
		}
	})
	if err := shared.net.ensure(); err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp4", metadata+":53")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 512)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			select {
			case asked <- from.String():
			default:
			}
			// "No such name" (RFC 1035, 4.1.1): the question with QR and RCODE 3.
			buf[2] |= 0x80
			buf[3] = buf[3]&0xf0 | 3
			_, _ = pc.WriteTo(buf[:n], from)
		}
	}()
	t.Cleanup(func() { pc.Close(); <-done })
	port := serveHost(t, metadata+":0")
	s := b.Spec("sleep")
	b.Up(s)
	if out, _ := b.Run(s.ID, "cat", "/etc/resolv.conf"); out != "nameserver "+metadata+"\n" {
		t.Errorf("resolv.conf is %q", out)
	}
	if out, _ := b.Run(s.ID, "ask", metadata+":53", "example.com"); !strings.Contains(out, "no such host") {
		t.Errorf("the resolver's answer: %q", out)
	}
	select {
	case <-asked:
	default:
		t.Error("the resolver was not asked")
	}
	if out, code := b.Run(s.ID, "dial", "tcp", metadata+":"+port); code == 0 {
		t.Errorf("another port of the resolver is open: %q", out)
	}
}

func TestNetworkHeals(t *testing.T) {
	internet(t)
	b := bench(t)
	s := b.Spec("serve", ":80", "pod", ";", "sleep")
	ip := b.Up(s).IP
	reach := func() bool { got, err := httpGet(t, "http://"+ip+"/"); return err == nil && got == "pod" }
	b.Wait("the pod to answer", reach)
	for name, damage := range map[string]func() error{
		"the packet filter was flushed": func() error { return removeFilter(shared.names) },
		"the bridge was deleted": func() error {
			l, err := netlink.LinkByName(shared.names.bridge)
			return errors.Join(err, netlink.LinkDel(l))
		},
		"the link was deleted": func() error { return shared.net.detach(s.ID) },
		"forwarding was off":   func() error { return sysctl("ipv4/ip_forward", "0") },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		shared.heal(t.Context())
		b.Wait("the pod to answer after "+name, reach)
		if out, code := b.Run(s.ID, "get", "http://"+netSide+"/"); code != 0 {
			t.Errorf("%s: no internet: %q", name, out)
		}
		if out, code := b.Run(s.ID, "dial", "tcp", privateHost+":80"); code == 0 {
			t.Errorf("%s: a private network is open: %q", name, out)
		}
	}
}

// TestReboot takes what a reboot takes: processes, namespaces and memory.
func TestReboot(t *testing.T) {
	b := bench(t)
	s := b.Spec("serve", ":80", "pod", ";", "sleep")
	s.Volumes = []manifest.Volume{{Name: "data", Kind: manifest.Persistent}}
	s.Containers[0].Mounts = []manifest.Mount{{Volume: "data", Path: "/data"}}
	ip := b.Up(s).IP
	secret := b.Spec("sleep")
	secret.Volumes = []manifest.Volume{{Name: "x", Kind: manifest.Secret}}
	secret.Secrets = map[string]map[string][]byte{"x": {"y": []byte("z")}}
	secret.Containers[0].Mounts = []manifest.Mount{{Volume: "x", Path: "/x"}}
	b.Up(secret)
	for _, in := range []provider.InstanceSpec{s, secret} {
		rec, err := shared.get(in.ID)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cl, err := shared.use(t.Context(), rec.namespace())
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(shared.stop(ctx, cl, rec, 0), unpinNamespaces(shared.dirs, in.ID), shared.net.detach(in.ID), removeSecrets(shared.dirs, in.ID)); err != nil {
			t.Fatal(err)
		}
	}
	if st := b.Find(s.ID).Containers[0]; st.Running {
		t.Errorf("after the reboot: %+v", st)
	}
	if err := b.Start(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	b.Wait("the pod to answer at its address", func() bool { got, err := httpGet(t, "http://"+ip+"/"); return err == nil && got == "pod" })
	if err := b.Start(t.Context(), secret.ID); err == nil || !strings.Contains(err.Error(), "secrets") {
		t.Errorf("without its secrets: %v", err)
	}
	b.Up(secret)
	if out, _ := b.Run(secret.ID, "cat", "/x/y"); out != "z" {
		t.Errorf("made again: %q", out)
	}
}
