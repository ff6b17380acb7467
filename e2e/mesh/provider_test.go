package mesh

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"apocryph/provider"
	"apocryph/provider/providerd"
	"apocryph/provider/runtimetest"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

// host is a provider with its machine: a data directory, and containers that
// outlive the provider's node.
type host struct {
	t       *testing.T
	cfg     providerd.Config
	runtime *runtimetest.Fake
	info    providerd.Info
	// pods are all records, as the operator sees them.
	pods func() []pod
	// stop ends the node and waits for it; nil while there is none.
	stop func()
}

// newHost starts a provider on the trusted machine, after changes to its
// configuration. When the test ends nothing may be left of any pod.
func newHost(t *testing.T, change ...func(*providerd.Config)) *host {
	t.Helper()
	h := &host{t: t, runtime: runtimetest.NewFake(t)}
	h.runtime.Handler, h.pods = greeter, h.onSocket
	h.cfg = providerd.Config{
		DataDir: shortDir(t), TEE: "soft", Binary: machines.program, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, NoMDNS: true,
		Ingress: "127.0.0.1:0", Domain: "localhost", Ports: "30000-32767", Version: "test",
		Runtime: &providerd.Runtime{Runtime: h.runtime, Instances: h.runtime, Logs: h.runtime, Volumes: h.runtime},
	}
	copyMachine(t, machines.trusted, filepath.Join(h.cfg.DataDir, "soft"))
	for _, c := range change {
		c(&h.cfg)
	}
	h.start()
	return h
}

// greeter answers HTTP as the sample app does.
func greeter(s provider.InstanceSpec, c provider.ContainerSpec) http.Handler {
	greeting := "hello"
	for _, e := range c.Env {
		if e.Name == "GREETING" {
			greeting = e.Value
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "%s from %s", greeting, s.Name) })
}

// start starts the node, on the addresses that it had before.
func (h *host) start() {
	h.t.Helper()
	if h.info.PeerID != "" {
		h.cfg.Listen = []string{strings.Split(h.info.Addrs[0], "/p2p/")[0]}
		h.cfg.Ingress = h.info.Ingress
	}
	node, err := providerd.New(h.cfg)
	must(h.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	h.stop = func() {
		h.stop = nil
		cancel()
		if err := <-ended; err != nil {
			h.t.Errorf("the provider ended: %v", err)
		}
	}
	h.t.Cleanup(func() {
		if h.stop != nil {
			h.stop()
		}
	})
	select {
	case <-node.Ready():
	case err := <-ended:
		ended <- nil
		h.t.Fatalf("the provider did not start: %v", err)
	}
	h.info = node.Info()
}

// target is how the provider is reached.
func (h *host) target() *publisher.Target { return targetOf(h.t, h.info.Addrs[0]) }

func targetOf(t *testing.T, addr string) *publisher.Target {
	t.Helper()
	to, err := publisherd.ParseTarget(addr)
	must(t, err)
	return &to
}

// pod is what the operator sees of a pod.
type pod struct{ Name, Publisher, State, Reason string }

// onSocket asks the operator's socket for every record.
func (h *host) onSocket() []pod {
	h.t.Helper()
	var out struct{ Pods []pod }
	must(h.t, json.Unmarshal([]byte(fetch(h.t, "http://provider/pods", "unix", h.info.APISocket)), &out))
	return out.Pods
}

// fetch gets a URL from an address of any network.
func fetch(t *testing.T, url, network, addr string) string {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}}}
	resp, err := client.Get(url)
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(b)
}

// blobs counts the layers that a content store keeps. One that arrived in part
// is not counted: it waits a day for whoever may want it again.
func blobs(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	must(t, filepath.WalkDir(filepath.Join(dir, "content", "blobs"), func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && filepath.Ext(e.Name()) != ".partial" {
			n++
		}
		return err
	}))
	return n
}

// clean fails the test where anything of a pod is left: a record, an instance,
// a layer, or a charge in the books.
func (h *host) clean() {
	h.t.Helper()
	if pods := h.pods(); len(pods) != 0 {
		h.t.Errorf("pods are left: %+v", pods)
	}
	h.empty()
	if free, all := h.free(), h.all(); free != all {
		h.t.Errorf("%s are free, want %s", free, all)
	}
}

// empty fails the test where an instance or a layer is left.
func (h *host) empty() {
	h.t.Helper()
	left, err := h.runtime.List(h.t.Context())
	must(h.t, err)
	if len(left) != 0 {
		h.t.Errorf("instances are left: %+v", left)
	}
	if n := blobs(h.t, h.cfg.DataDir); n != 0 {
		h.t.Errorf("%d layers are left", n)
	}
}
