package e2e

import (
	"os"
	"strings"
	"testing"

	"apocryph/e2e/harness"
)

// TestRefusals is each bad input of a publisher: one clear line, the documented
// exit code, and nothing left behind at the provider.
func TestRefusals(t *testing.T) {
	w := harness.New(t)
	prices := w.Write("prices.yaml", "asset: USD\nprices: {cpu: 1/hour, memory: 1/hour}\npayment: {schemes: [evm-channel], address: \"eip155:1:0x00000000000000000000000000000000000000aa\"}\n")
	free := w.Provider("free")
	paid := w.Provider("paid", "--prices", prices)
	pub := w.Publisher("publisher")
	pol := pub.Policy(free, paid)
	image := w.Image(0, 1)
	deploy := func(manifest string, more ...string) []string {
		return append([]string{"deploy", w.Write("app.yaml", manifest), "--provider", free.Addr(), "--policy", pol}, more...)
	}

	t.Run("unknown field", func(t *testing.T) {
		pub.Fails(10, []string{"line 7", "imagee", `"image"`}, deploy(app("a", image, "imagee: x"))...)
	})
	t.Run("all faults at once", func(t *testing.T) {
		pub.Fails(10, []string{"faults", "12x", "bogus"}, deploy(strings.Replace(app("a", image, "bogus: 1"), "64Mi", "12x", 1))...)
	})
	t.Run("missing image", func(t *testing.T) {
		pub.Fails(13, []string{"nowhere", "hint:"}, deploy(app("a", "nowhere"))...)
	})
	t.Run("image of another architecture", func(t *testing.T) {
		pub.Fails(10, []string{"linux/amd64"}, deploy(app("a", image), "--platform", "linux/riscv64")...)
	})
	t.Run("missing secret", func(t *testing.T) {
		pub.Fails(10, []string{"no-such-file"}, deploy(app("a", image)+"volumes: [{name: s, type: secret, source: no-such-file}]\n")...)
	})
	t.Run("development evidence that no policy names", func(t *testing.T) {
		pub.Fails(12, []string{"hint:"}, "deploy", w.Write("app.yaml", app("a", image)), "--provider", free.Addr())
		pub.Fails(12, nil, "attest", free.Addr())
	})
	t.Run("evidence of another machine", func(t *testing.T) {
		other := w.Provider("other")
		r := pub.Fails(12, []string{"ATT-"}, "deploy", w.Write("app.yaml", app("a", image)), "--provider", other.Addr(), "--policy", pol)
		if strings.Contains(r.Stderr, "provider  accepted") {
			t.Error("something was provisioned before the verdict")
		}
	})
	t.Run("capacity short", func(t *testing.T) {
		pub.Fails(15, []string{"memory"}, deploy(strings.Replace(app("a", image), "64Mi", "900Gi", 1))...)
		pub.Fails(15, []string{"gpu"}, deploy(strings.Replace(app("a", image), "64Mi", "64Mi, nvidia.com/gpu: 1", 1))...)
		pub.Fails(15, []string{"memory"}, "quote", free.Addr(), w.Write("app.yaml", strings.Replace(app("a", image), "64Mi", "900Gi", 1)))
	})
	t.Run("price above the policy's", func(t *testing.T) {
		b, err := os.ReadFile(pol)
		if err != nil {
			t.Fatal(err)
		}
		strict := w.Write("strict.yaml", string(b)+"\noffer: {max_price_per_hour: \"0.01\", asset: USD}\n")
		pub.Fails(12, []string{"ATT-130"}, "deploy", w.Write("app.yaml", app("a", image)), "--provider", paid.Addr(), "--policy", strict)
	})
	t.Run("a priced provider refuses payment none", func(t *testing.T) {
		file := w.Write("app.yaml", app("a", image))
		pub.Fails(11, []string{"payment"}, "deploy", file, "--provider", paid.Addr(), "--policy", pol)
	})
	t.Run("no such provider", func(t *testing.T) {
		pub.Fails(17, []string{"hint:"}, "attest", "/ip4/127.0.0.1/tcp/1/p2p/"+free.Info.PeerID)
		pub.Fails(10, nil, "attest", "not-a-peer")
	})
	t.Run("usage", func(t *testing.T) {
		pub.Fails(2, []string{"hint:"}, "deploy")
		pub.Fails(2, []string{"deploy"}, "depoly")
		pub.Fails(2, nil, "deploy", "--no-such-flag")
	})

	for _, p := range []*harness.Provider{free, paid} {
		if pods := harness.Pods(t, p); len(pods) != 0 {
			t.Errorf("something is left: %v", pods)
		}
		if n := harness.Blobs(t, p.Dir); n != 0 {
			t.Errorf("%d blobs are left at a provider that took nothing", n)
		}
	}
}

// TestAppThatDoesNotComeUp ends with exit code 19 and the app's last lines.
func TestAppThatDoesNotComeUp(t *testing.T) {
	w := harness.New(t)
	p := w.Provider("provider")
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	file := w.Write("app.yaml", "name: broken\ncontainers:\n  - name: web\n    image: oci:"+w.Probe()+"\n    args: [echo, the, database, is, gone, ;, exit, \"3\"]\n    port: 8080\n")
	pub.Fails(19, []string{"exited with code 3", "| web: the database is gone"}, "deploy", file, "--provider", p.Addr(), "--policy", pol)
	if st := pub.Must("status", "broken", "--json").Object(t); st["state"] != "failed" {
		t.Errorf("status: %v", st)
	}
	if n := harness.Blobs(t, p.Dir); n != 0 {
		t.Errorf("%d blobs of a failed pod are left", n)
	}
	// The name is free for a better one.
	good := w.Write("good.yaml", app("broken", w.Image(0, 1)))
	pub.Must("deploy", good, "--provider", p.Addr(), "--policy", pol)
}

// TestUpdateThatCannotWork leaves the running revision alone.
func TestUpdateThatCannotWork(t *testing.T) {
	w := harness.New(t)
	p := w.Provider("provider")
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	address := pub.Must("deploy", w.Write("app.yaml", app("shop", w.Image(0, 1))), "--provider", p.Addr(), "--policy", pol).Last()
	pub.Fails(15, []string{"memory"}, "deploy", w.Write("app.yaml", strings.Replace(app("shop", w.Image(0, 1)), "64Mi", "900Gi", 1)), "--policy", pol)
	pub.Fails(15, []string{"kata"}, "deploy", w.Write("app.yaml", app("shop", w.Image(0, 1))+"runtimeClass: kata\n"), "--policy", pol)
	answers(t, p, address, "hello from shop")
	if st := pub.Must("status", "shop", "--json").Object(t); st["revision"] != 1.0 {
		t.Errorf("status: %v", st)
	}
}

// TestTwoPublishersOneName: the same pod name twice, of two publishers, who
// see their own only.
func TestTwoPublishersOneName(t *testing.T) {
	w := harness.New(t)
	p := w.Provider("provider")
	var urls []string
	for _, name := range []string{"alice", "bob"} {
		pub := w.Publisher(name)
		file := w.Write(name+".yaml", app("shop", w.Image(0, 1), "env: {GREETING: "+name+"}"))
		urls = append(urls, pub.Must("deploy", file, "--provider", p.Addr(), "--policy", pub.Policy(p)).Last())
	}
	if urls[0] == urls[1] {
		t.Fatalf("both got %s", urls[0])
	}
	answers(t, p, urls[0], "alice from")
	answers(t, p, urls[1], "bob from")
	carol := w.Publisher("carol")
	carol.Fails(13, []string{"shop"}, "status", "shop", "--provider", p.Addr())
	carol.Fails(13, []string{"shop"}, "delete", "shop", "--provider", p.Addr())
	carol.Fails(13, []string{"shop"}, "logs", "shop", "--provider", p.Addr())
	answers(t, p, urls[0], "alice from")
}
