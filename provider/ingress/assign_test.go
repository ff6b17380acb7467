package ingress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

func faultsOf(err error) []status.Fault {
	var e *status.Error
	if errors.As(err, &e) {
		return e.Faults
	}
	return nil
}

func TestNewRefuses(t *testing.T) {
	for _, change := range []func(*Config){
		func(c *Config) { c.Listen = "8081" },
		func(c *Config) { c.Domain = "" },
		func(c *Config) { c.Domain = "a b" },
		func(c *Config) { c.Ports = [2]uint16{} },
		func(c *Config) { c.Ports = [2]uint16{10, 9} },
		func(c *Config) { c.CustomHosts = []string{"*.*.example.org"} },
		func(c *Config) { c.CustomHosts = []string{""} },
	} {
		cfg := testConfig()
		change(&cfg)
		if _, err := New(cfg); status.CodeOf(err) != status.InvalidArgument || len(faultsOf(err)) != 1 {
			t.Errorf("New(%+v): %v", cfg, err)
		}
	}
}

func TestAssign(t *testing.T) {
	i := newIngress(t, func(c *Config) { c.CustomHosts = []string{"*.example.org"} })
	m := &manifest.Manifest{Name: "shop", Containers: []manifest.Container{
		{Name: "web", Ports: []manifest.Port{
			httpPort(80), httpPort(8080),
			{TargetPort: 9000, Protocol: manifest.HTTP, Name: "admin"},
			{TargetPort: 80, Protocol: manifest.HTTP, Host: "shop.example.org"},
		}},
		{Name: "db", Ports: []manifest.Port{
			{Port: 32001, TargetPort: 6379, Protocol: manifest.TCP},
			{Port: 32001, TargetPort: 53, Protocol: manifest.UDP, HostIP: "127.0.0.1"},
		}},
	}}
	want := []provider.Endpoint{
		{Container: "web", Target: 80, Port: 8081, Protocol: manifest.HTTP, Host: shopHost, URL: "http://" + shopHost + ":8081/", Dial: "127.0.0.1:8081"},
		{Container: "web", Target: 8080, Port: 8081, Protocol: manifest.HTTP, Host: "shop-8080-m67ermot.localhost", URL: "http://shop-8080-m67ermot.localhost:8081/", Dial: "127.0.0.1:8081"},
		{Container: "web", Target: 9000, Port: 8081, Protocol: manifest.HTTP, Host: "shop-admin-m67ermot.localhost", URL: "http://shop-admin-m67ermot.localhost:8081/", Dial: "127.0.0.1:8081"},
		{Container: "web", Target: 80, Port: 8081, Protocol: manifest.HTTP, Host: "shop.example.org", URL: "http://shop.example.org:8081/", Dial: "127.0.0.1:8081"},
		{Container: "db", Target: 6379, Port: 32001, Protocol: manifest.TCP, URL: "tcp://127.0.0.1:32001", Dial: "127.0.0.1:32001"},
		{Container: "db", Target: 53, Port: 32001, Protocol: manifest.UDP, URL: "udp://127.0.0.1:32001", Dial: "127.0.0.1:32001", HostIP: "127.0.0.1"},
	}
	if diff := cmp.Diff(want, assign(t, i, m)); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
}

func TestAssignPort80(t *testing.T) {
	i := newIngress(t, func(c *Config) { c.Listen = "10.1.2.3:80" })
	e := assign(t, i, app(httpPort(80)))[0]
	if e.URL != "http://"+shopHost+"/" || e.Dial != "10.1.2.3:80" {
		t.Errorf("URL %s, Dial %s", e.URL, e.Dial)
	}
}

func TestAssignBeforeListening(t *testing.T) {
	i := newIngress(t, func(c *Config) { c.Listen = "127.0.0.1:0" })
	_, err := i.Assign(publisher, podID, app(httpPort(80)), nil)
	wantCode(t, err, status.Unavailable)
}

// What a pod holds it keeps: in this process, and after a restart by what is
// given as held, even when the manifest now has other ports before it.
func TestAssignIsStable(t *testing.T) {
	tcp := manifest.Port{TargetPort: 6379, Protocol: manifest.TCP}
	i := newIngress(t, nil)
	first := assign(t, i, app(httpPort(80), tcp))
	later := app(httpPort(8080), manifest.Port{TargetPort: 5432, Protocol: manifest.TCP}, tcp, httpPort(80))

	publish(t, i, first)
	defer i.Withdraw(podID)
	again := assign(t, i, later)
	fresh := newIngress(t, func(c *Config) { c.Listen = "127.0.0.1:9999" })
	restored, err := fresh.Assign(publisher, podID, later, first)
	if err != nil {
		t.Fatal(err)
	}
	for _, endpoints := range [][]provider.Endpoint{again, restored} {
		if endpoints[2].Port != first[1].Port || endpoints[3].Host != shopHost || endpoints[0].Host != "shop-8080-m67ermot.localhost" {
			t.Errorf("got %+v, had %+v", endpoints, first)
		}
	}
	if restored[0].Dial != "127.0.0.1:9999" {
		t.Errorf("dial address %s is that of before the restart", restored[0].Dial)
	}
}

func TestAssignRefuses(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	busyPort := uint16(busy.Addr().(*net.TCPAddr).Port)
	many := make([]manifest.Port, maxEndpoints+1)
	for n := range many {
		many[n] = httpPort(uint16(n + 1))
	}
	tcp := func(port uint16, hostIP string) manifest.Port {
		return manifest.Port{Port: port, TargetPort: 1, Protocol: manifest.TCP, HostIP: hostIP}
	}
	for _, tc := range []struct {
		name     string
		ports    []manifest.Port
		code     status.Code
		contains []string
	}{
		{"below the range", []manifest.Port{tcp(80, "")}, status.InvalidArgument, []string{"containers[0].ports[0].port: got 80", "32000-32700"}},
		{"above the range", []manifest.Port{tcp(33000, "")}, status.InvalidArgument, []string{"33000"}},
		{"held by a pod", []manifest.Port{tcp(32100, "")}, status.Conflict, []string{"32100/tcp", "another pod"}},
		{"held on all addresses", []manifest.Port{tcp(32100, "127.0.0.1")}, status.Conflict, []string{"another pod"}},
		{"held on one address", []manifest.Port{tcp(32101, "")}, status.Conflict, []string{"another pod"}},
		{"twice", []manifest.Port{tcp(32200, ""), tcp(32200, "")}, status.Conflict, []string{"ports[1].port", "twice"}},
		{"foreign address", []manifest.Port{tcp(32200, "192.0.2.1")}, status.Conflict, []string{"address is not its own"}},
		{"no address", []manifest.Port{tcp(32200, "localhost")}, status.InvalidArgument, []string{"hostIP"}},
		{"unknown protocol", []manifest.Port{{TargetPort: 1, Protocol: "sctp"}}, status.InvalidArgument, []string{"sctp"}},
		{"same port name", []manifest.Port{
			httpPort(1),
			{TargetPort: 2, Protocol: manifest.HTTP, Name: "x"},
			{TargetPort: 3, Protocol: manifest.HTTP, Name: "x"},
		}, status.InvalidArgument, []string{"ports[2]"}},
		{"long port name", []manifest.Port{httpPort(1), {TargetPort: 2, Protocol: manifest.HTTP, Name: strings.Repeat("x", 60)}}, status.InvalidArgument, []string{"63 characters"}},
		{"host taken", []manifest.Port{{TargetPort: 1, Protocol: manifest.HTTP, Host: "held.example.org"}}, status.Conflict, []string{"held.example.org"}},
		{"host not allowed", []manifest.Port{{TargetPort: 1, Protocol: manifest.HTTP, Host: "shop.example.net"}}, status.PermissionDenied, []string{"*.example.org"}},
		{"host under the domain", []manifest.Port{{TargetPort: 1, Protocol: manifest.HTTP, Host: "shop.localhost"}}, status.PermissionDenied, []string{"no name under localhost"}},
		{"host is no name", []manifest.Port{{TargetPort: 1, Protocol: manifest.HTTP, Host: "a b"}}, status.InvalidArgument, []string{"host name"}},
		{"too many", many, status.InvalidArgument, []string{"65 ports"}},
		{"all at once", []manifest.Port{tcp(80, ""), tcp(32100, ""), {TargetPort: 1, Protocol: manifest.HTTP, Host: "a.b"}}, status.InvalidArgument, []string{"3 faults", "ports[0]", "ports[1]", "ports[2]"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			i := newIngress(t, func(c *Config) { c.CustomHosts = []string{"*.example.org"} })
			_, err := i.Assign("other", "pod-other", app(
				tcp(32100, ""), tcp(32101, "127.0.0.1"),
				manifest.Port{TargetPort: 1, Protocol: manifest.HTTP, Host: "held.example.org"},
			), nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = i.Assign(publisher, podID, app(tc.ports...), nil)
			wantCode(t, err, tc.code, tc.contains...)
			if len(i.names) != 1 || len(i.claims) != 2 || len(i.pods) != 1 {
				t.Errorf("a refused assignment holds something: %v %v", i.names, i.claims)
			}
		})
	}
	t.Run("used by another program", func(t *testing.T) {
		i := newIngress(t, func(c *Config) { c.Ports = [2]uint16{busyPort, busyPort} })
		_, err := i.Assign(publisher, podID, app(tcp(busyPort, "127.0.0.1")), nil)
		wantCode(t, err, status.Conflict, "another program")
		_, err = i.Assign(publisher, podID, app(tcp(0, "127.0.0.1")), nil)
		wantCode(t, err, status.ResourceExhausted, "none free")
	})
}

func TestAssignExhausts(t *testing.T) {
	i := newIngress(t, func(c *Config) { c.Ports = [2]uint16{32300, 32302} })
	three := app(
		manifest.Port{TargetPort: 1, Protocol: manifest.TCP}, manifest.Port{TargetPort: 2, Protocol: manifest.TCP},
		manifest.Port{TargetPort: 3, Protocol: manifest.TCP},
	)
	got := map[uint16]bool{}
	for _, e := range assign(t, i, three) {
		got[e.Port] = true
	}
	if len(got) != 3 {
		t.Errorf("ports %v, want three different ones", got)
	}
	one := app(manifest.Port{TargetPort: 1, Protocol: manifest.TCP})
	_, err := i.Assign("other", "pod-other", one, nil)
	wantCode(t, err, status.ResourceExhausted, "32300-32302")
	if _, err := i.Assign("other", "pod-other", app(manifest.Port{TargetPort: 1, Protocol: manifest.UDP}), nil); err != nil {
		t.Errorf("UDP ports are others than TCP ports: %v", err)
	}
	i.Withdraw(podID)
	if _, err := i.Assign("other", "pod-other", one, nil); err != nil {
		t.Errorf("after Withdraw: %v", err)
	}
}

func TestAssignShare(t *testing.T) {
	i := newIngress(t, func(c *Config) { c.Ports = [2]uint16{1, 65535} })
	p := newPod("pod-big")
	p.publisher = publisher
	for n := range maxPortsPerPublisher {
		p.ports[binding{claim: claim{manifest.UDP, uint16(n + 1)}}] = true
	}
	i.pods[p.id] = p
	_, err := i.Assign(publisher, podID, app(manifest.Port{TargetPort: 1, Protocol: manifest.UDP, HostIP: "127.0.0.1"}), nil)
	wantCode(t, err, status.ResourceExhausted, fmt.Sprint(maxPortsPerPublisher))
	if _, err := i.Assign("other", podID, app(manifest.Port{TargetPort: 1, Protocol: manifest.UDP, HostIP: "127.0.0.1"}), nil); err != nil {
		t.Errorf("another publisher: %v", err)
	}
}

func TestPublishRefuses(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	busyPort := uint16(busy.Addr().(*net.TCPAddr).Port)
	i := newIngress(t, nil)
	held := assign(t, i, app(httpPort(80), manifest.Port{TargetPort: 1, Protocol: manifest.TCP}))
	for name, tc := range map[string]struct {
		endpoint provider.Endpoint
		backend  string
		code     status.Code
	}{
		"host of another":  {provider.Endpoint{Protocol: manifest.HTTP, Host: shopHost}, "127.0.0.1", status.Conflict},
		"port of another":  {provider.Endpoint{Protocol: manifest.TCP, Port: held[1].Port}, "127.0.0.1", status.Conflict},
		"bad host":         {provider.Endpoint{Protocol: manifest.HTTP, Host: "A"}, "127.0.0.1", status.InvalidArgument},
		"bad protocol":     {provider.Endpoint{Host: "a"}, "127.0.0.1", status.InvalidArgument},
		"no port":          {provider.Endpoint{Protocol: manifest.TCP}, "127.0.0.1", status.InvalidArgument},
		"bad address":      {provider.Endpoint{Protocol: manifest.TCP, Port: 1, HostIP: "x"}, "127.0.0.1", status.InvalidArgument},
		"bad backend":      {provider.Endpoint{Protocol: manifest.HTTP, Host: "a"}, "web:80", status.InvalidArgument},
		"used by programs": {provider.Endpoint{Protocol: manifest.TCP, Port: busyPort, HostIP: "127.0.0.1"}, "127.0.0.1", status.Unavailable},
	} {
		err := i.Publish("pod-b", []provider.Endpoint{{Protocol: manifest.TCP, Port: 32650, HostIP: "127.0.0.1"}, tc.endpoint}, at(tc.backend))
		if status.CodeOf(err) != tc.code {
			t.Errorf("%s: %v, want %v", name, err, tc.code)
		}
		if err := tryListen(claim{manifest.TCP, 32650}, netip.MustParseAddr("127.0.0.1")); err != nil {
			t.Errorf("%s: a port was left open: %v", name, err)
		}
	}
}
