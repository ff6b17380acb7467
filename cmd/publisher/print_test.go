package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"apocryph/attest"
	"apocryph/cmd/internal/cli"
	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// evil is what a stranger may put wherever there is text: it clears the
// screen, renames the window, and turns the direction of what follows.
const evil = "\x1b[2J\x1b]0;x\x07\u009b31m\u202e\r\n"

// output is an app whose output a test can read.
type output struct {
	out, err bytes.Buffer
	g        *globals
}

func newOutput(asJSON bool) *output {
	o := new(output)
	app := &cli.App{Name: "publisher", Stdout: &o.out, Stderr: &o.err, Getenv: func(string) string { return "" }, JSON: asJSON}
	o.g = &globals{app: app}
	return o
}

// harmless fails where a terminal would obey what was written.
func (o *output) harmless(t *testing.T) {
	t.Helper()
	for _, b := range []string{o.out.String(), o.err.String()} {
		for _, r := range b {
			if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
				t.Errorf("%U reaches the terminal:\n%q", r, b)
				return
			}
		}
	}
}

// TestStrangersText: whatever a provider says of a pod, an offer, itself or
// writes as a log is read and not obeyed.
func TestStrangersText(t *testing.T) {
	pod := publisher.PodStatus{
		Name: "shop", State: "running" + evil, Reason: evil, ManifestDigest: []byte{1},
		Endpoints:  []publisher.Endpoint{{Container: evil, URL: "http://" + evil, Dial: evil}},
		Containers: []publisher.ContainerStatus{{Name: evil, State: evil, Reason: evil, Restarts: 1, Replica: 2}},
	}
	app := publisher.App{Name: "shop", URL: evil, Verdict: evil, Provider: publisher.Target{ID: "12D3"}}
	o := offer.Offer{
		Available: true, Asset: evil, TotalPerHour: evil, PaymentSchemes: []string{evil},
		Resources: []offer.ResourceOffer{{Resource: evil, Requested: evil, Available: evil, Reason: evil}},
	}
	verdict := attest.Verdict{Warnings: []string{evil}, Checks: []attest.Check{{Code: "ATT-1", Name: evil, Got: evil, Want: evil, Policy: evil}}}
	candidate := publisher.Candidate{
		Target: publisher.Target{ID: "12D3", Addrs: []string{evil}}, TEE: evil, Region: evil, Platform: evil, Asset: evil, Software: evil,
		Prices: []offer.Price{{Resource: "cpu", Unit: evil, PerUnitSecond: evil}}, Memory: 1 << 63,
	}
	revisions := []publisher.PodRevision{
		{Revision: 2, From: 1, Outcome: evil, Reason: evil, Log: []string{evil}, Images: []publisher.AppImage{{Container: evil, ImageID: evil}}, Current: true, Restorable: true},
		{Revision: 1, ManifestDigest: bytes.Repeat([]byte{1}, 32)},
	}
	dry := &publisher.DryRunResult{
		Name: "shop", Replaces: 1, Verdict: verdict, Offer: o, More: 3,
		Changes: []manifest.Change{{Field: evil, Kind: manifest.Changed, Old: evil, New: evil}, {Field: evil, Kind: manifest.Added, New: evil}, {Field: evil, Kind: evil}},
	}
	printed := map[string]func(g *globals) error{
		"history": func(g *globals) error { return g.printHistory(app, revisions) },
		"dry run": func(g *globals) error { return g.printDryRun(dry) },
		"rollback": func(g *globals) error {
			g.printRolledBack(&publisher.RolledBack{App: app, Verdict: verdict, Unproven: []string{evil}})
			return nil
		},
		"status":    func(g *globals) error { return g.printStatus(app, pod) },
		"list":      func(g *globals) error { g.printApps([]publisher.App{app}, nil); return nil },
		"quote":     func(g *globals) error { return g.printOffer(o, verdict) },
		"attest":    func(g *globals) error { g.printVerdict(verdict, true); return nil },
		"providers": func(g *globals) error { return g.printCandidates([]publisher.Candidate{candidate}, 1) },
		"deploy": func(g *globals) error {
			g.printDeployed(&publisher.Deployed{App: app, Verdict: verdict})
			return nil
		},
	}
	for name, f := range printed {
		t.Run(name, func(t *testing.T) {
			o := newOutput(false)
			if err := f(o.g); err != nil {
				t.Fatal(err)
			}
			if o.out.Len() == 0 {
				t.Error("nothing was written")
			}
			o.harmless(t)
		})
	}
	objects := map[string]func(g *globals){
		"history":   func(g *globals) { _ = g.printHistory(app, revisions) },
		"dry run":   func(g *globals) { _ = g.printDryRun(dry) },
		"rollback":  func(g *globals) { g.printRolledBack(&publisher.RolledBack{App: app, Unproven: []string{evil}}) },
		"status":    func(g *globals) { g.setStatus(app, pod) },
		"list":      func(g *globals) { g.printApps([]publisher.App{app}, nil) },
		"quote":     func(g *globals) { g.setOffer(publisher.Target{ID: "12D3"}, o, verdict) },
		"attest":    func(g *globals) { g.setVerdict(publisher.Target{ID: "12D3"}, verdict) },
		"providers": func(g *globals) { _ = g.printCandidates([]publisher.Candidate{candidate}, 1) },
		"line":      func(g *globals) { _ = g.printLine(publisher.LogLine{Container: evil, Text: []byte(evil)}, false) },
	}
	for name, f := range objects {
		t.Run(name+" as JSON", func(t *testing.T) {
			o := newOutput(true)
			root := &cobra.Command{Use: "publisher", RunE: func(*cobra.Command, []string) error { f(o.g); return nil }}
			if code := o.g.app.Run(t.Context(), root, nil); code != 0 {
				t.Fatalf("exit %d", code)
			}
			for line := range strings.Lines(o.out.String()) {
				var v struct{ Event string }
				if err := json.Unmarshal([]byte(line), &v); err != nil || v.Event == "" {
					t.Errorf("%q: %v", line, err)
				}
			}
			if o.out.Len() == 0 {
				t.Error("nothing was written")
			}
			o.harmless(t)
		})
	}
}

func TestLogLines(t *testing.T) {
	o := newOutput(false)
	for _, l := range []publisher.LogLine{
		{Container: "web", Stream: "stdout", Text: []byte("one \x1b[1m")},
		{Container: "web", Stream: "stderr", Text: []byte("two")},
		{Container: "web", Replica: 1, Stream: "stdout", Text: []byte("three")},
	} {
		if err := o.g.printLine(l, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.g.printLine(publisher.LogLine{Container: "db", Text: []byte("four")}, true); err != nil {
		t.Fatal(err)
	}
	// To a file or a pipe the app's own bytes go as they are.
	if got, want := o.out.String(), "one \x1b[1m\nweb[1]: three\ndb: four\n"; got != want || o.err.String() != "two\n" {
		t.Errorf("got %q and %q", got, o.err.String())
	}
}

func TestPolicyHint(t *testing.T) {
	bare := status.New(status.Untrusted, "attest.type", "another kind")
	hinted := func(err error) bool {
		var e *status.Error
		return errors.As(err, &e) && strings.Contains(e.Hint, "policy init --from")
	}
	if err := withPolicyHint(bare, ""); !hinted(err) || status.CodeOf(err) != status.Untrusted || status.ReasonOf(err) != "attest.type" {
		t.Errorf("got %v", err)
	}
	for _, err := range []error{withPolicyHint(bare, "p.yaml"), withPolicyHint(bare.WithHint("x"), ""), withPolicyHint(status.New(status.Unavailable, "", ""), ""), withPolicyHint(nil, "")} {
		if hinted(err) {
			t.Errorf("%v got the hint", err)
		}
	}
}

func TestSampleName(t *testing.T) {
	for dir, want := range map[string]string{"/a/Shop": "shop", "/a/2-shop_x": "shopx", "/": "app", "/a/ü": "app", "/a/" + strings.Repeat("x", 99): strings.Repeat("x", 20)} {
		if got := sampleName(dir); got != want {
			t.Errorf("%s: got %s, want %s", dir, got, want)
		}
	}
}

func TestWriteNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := writeNew(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeNew(path, []byte("two"), 0o600); status.CodeOf(err) != status.Conflict {
		t.Errorf("a second one: %v", err)
	}
	b, err := os.ReadFile(path)
	info, statErr := os.Stat(path)
	if err != nil || statErr != nil || string(b) != "one" || info.Mode() != 0o600 {
		t.Errorf("%q, %v, %v, %v", b, info, err, statErr)
	}
	if err := writeNew(filepath.Join(path, "x"), nil, 0o600); status.CodeOf(err) != status.InvalidArgument {
		t.Errorf("below a file: %v", err)
	}
}

func TestPrices(t *testing.T) {
	c := publisher.Candidate{Asset: "USD", Prices: []offer.Price{
		{Resource: "cpu", PerUnitSecond: "0.0001"},
		{Resource: "memory", PerUnitSecond: "0.00005"},
		{Resource: "volume", PerUnitSecond: "9"},
	}}
	if got := priceText(c); got != "0.54 USD" {
		t.Errorf("got %s", got)
	}
	if got := priceText(publisher.Candidate{}); got != "free" {
		t.Errorf("got %s", got)
	}
}

// TestVerdictWithoutEvidence keeps a verdict that never was from claiming a time.
func TestVerdictWithoutEvidence(t *testing.T) {
	o := newOutput(true)
	root := &cobra.Command{Use: "publisher", RunE: func(*cobra.Command, []string) error {
		o.g.setVerdict(publisher.Target{ID: "12D3"}, attest.Verdict{})
		return notAffirmed(attest.Verdict{}, true)
	}}
	if code := o.g.app.Run(t.Context(), root, nil); code != 12 {
		t.Errorf("exit %d", code)
	}
	var got struct {
		Affirmed bool
		Expires  *time.Time
		Exit     int
	}
	if err := json.Unmarshal(o.out.Bytes(), &got); err != nil || got.Affirmed || got.Expires != nil || got.Exit != 12 {
		t.Errorf("%s: %v", o.out.String(), err)
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() == "completion" || c.Name() == "help" {
			return
		}
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s lacks a description or an example", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(newOutput(false).g.app))
}
