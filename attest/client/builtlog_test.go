package client_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/client"
	"apocryph/attest/podlog"
	"apocryph/attest/provenance"
	"apocryph/manifest"
)

// shownLog is a log that a provider shows.
type shownLog struct {
	records  []podlog.Record
	openings map[uint64][]byte
}

func (l *shownLog) add(t testing.TB, e podlog.Event, open bool) {
	t.Helper()
	r, o, err := podlog.Seal(uint64(len(l.records)), e, podlog.Salt{1, byte(len(l.records))})
	check(t, err)
	l.records = append(l.records, r)
	if open {
		l.openings[r.Seq], err = o.Encode()
		check(t, err)
	}
}

// logs lets the provider show a log with a build, changed by spoil.
func (p *provider) logs(t testing.TB, done podlog.BuildDone, spoil func(*attest.EndpointLog)) {
	t.Helper()
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	l := &shownLog{openings: map[uint64][]byte{}}
	l.add(t, &podlog.AgentStart{At: at, Version: "0.0.1", Binary: podlog.Digest{1}, Provider: "p", BootEpoch: make([]byte, 16), Keys: podlog.Digest{1}}, false)
	l.add(t, &podlog.Config{At: at, Name: "serve", Effective: podlog.Digest{1}, Storage: "none"}, false)
	l.add(t, &podlog.Ready{At: at}, false)
	l.add(t, &done, true)
	head, err := podlog.Replay(l.records, podlog.Head{})
	check(t, err)
	value, err := head.Value(podlog.SHA384)
	check(t, err)
	list, err := podlog.EncodeList(l.records)
	check(t, err)
	shown := &attest.EndpointLog{Records: list, Openings: l.openings}
	if spoil != nil {
		spoil(shown)
	}
	p.set(func(p *provider) {
		document := p.document
		p.claims = func(c *attest.Claims) {
			c.Register, c.PodLogLength, c.PodLogHead = podlog.RegisterNone, head.Length, value
		}
		p.document = func(d *attest.Endpoint) { document(d); d.Log = shown }
	})
}

// doneOf is the event of a build.
func doneOf(t testing.TB, b provenance.Build) podlog.BuildDone {
	t.Helper()
	statement, err := provenance.Encode(b)
	check(t, err)
	image, err := manifest.ParseDigest(b.ImageID)
	check(t, err)
	return podlog.BuildDone{At: b.Finished, PodID: b.ID, Source: "c r", ImageID: image, CID: "bafyweb", Provenance: provenance.Digest(statement)}
}

func TestLogged(t *testing.T) {
	p := newProvider(t)
	b := buildOf(p)
	p.builds(t, b, p.key)
	v := demanding(t, p, fromMain)
	r, err := v.Verify(t.Context(), p.url())
	check(t, err)
	if !r.Builds[0].Logged.IsZero() || !strings.Contains(strings.Join(r.Verdict.Warnings, "\n"), client.WarnEarlier) {
		t.Errorf("without a log: %+v", r.Verdict.Warnings)
	}
	p.logs(t, doneOf(t, b), nil)
	if r, err = v.Verify(t.Context(), p.url()); err != nil {
		t.Fatal(err)
	}
	if !r.Builds[0].Logged.Equal(b.Finished) || r.Builds[0].Record != 3 || strings.Contains(strings.Join(r.Verdict.Warnings, "\n"), client.WarnEarlier) {
		t.Errorf("got %+v, %v", r.Builds[0], r.Verdict.Warnings)
	}
	if r, err := v.VerifyDocument(client.Document{Body: r.Document, Nonce: r.Nonce}); err != nil || r.Builds[0].Logged.IsZero() {
		t.Errorf("as a document: %v", err)
	}
}

// TestLoggedDemanded: where the policy wants the build in the log, a document without
// one is refused, and a receipt, which has none.
func TestLoggedDemanded(t *testing.T) {
	p := newProvider(t)
	envelope := p.builds(t, buildOf(p), p.key)
	logged := fromMain
	logged.Logged = true
	v := demanding(t, p, logged)
	r, err := v.Verify(t.Context(), p.url())
	denied(t, r, err, "ATT-124", "")
	p.logs(t, doneOf(t, buildOf(p)), nil)
	r, err = v.Verify(t.Context(), p.url())
	check(t, err)
	k, ok := client.KeyOf(r.Result, r.Verdict, v.Policy, r.At)
	if !ok {
		t.Fatal("no key")
	}
	for name, tt := range map[string]struct {
		spoil func(*attest.Endpoint)
		code  string
	}{
		"as it is":   {func(*attest.Endpoint) {}, ""},
		"no log":     {func(d *attest.Endpoint) { d.Log = nil }, "ATT-124"},
		"no opening": {func(d *attest.Endpoint) { clear(d.Log.Openings) }, "ATT-124"},
	} {
		d, err := attest.DecodeEndpoint(r.Document)
		check(t, err)
		tt.spoil(d)
		body, err := d.Encode()
		check(t, err)
		got, err := v.VerifyDocument(client.Document{Body: body, Nonce: r.Nonce})
		if tt.code == "" {
			check(t, err)
			continue
		}
		t.Run(name, func(t *testing.T) { denied(t, got, err, tt.code, "") })
	}
	d, err := attest.DecodeEndpoint(r.Document)
	check(t, err)
	got, err := v.VerifyReceipt(d.Receipt, k, envelope)
	denied(t, got, err, "ATT-124", "")
	v.Policy.Provenance.Logged = false
	k.Policy = v.Policy.Digest()
	_, err = v.VerifyReceipt(d.Receipt, k, envelope)
	check(t, err)
}

func TestLoggedDenied(t *testing.T) {
	for name, tt := range map[string]struct {
		event func(*podlog.BuildDone)
		spoil func(*attest.EndpointLog)
		code  string
	}{
		"another statement": {func(d *podlog.BuildDone) { d.Provenance[0]++ }, nil, "ATT-124"},
		"another image":     {func(d *podlog.BuildDone) { d.ImageID[0]++ }, nil, "ATT-124"},
		"another build":     {func(d *podlog.BuildDone) { d.PodID = "build-2" }, nil, "ATT-124"},
		"a record changed":  {nil, func(l *attest.EndpointLog) { l.Records[len(l.Records)-1]++ }, "ATT-100"},
		"a record less": {nil, func(l *attest.EndpointLog) {
			records, _ := podlog.DecodeList(l.Records)
			l.Records, _ = podlog.EncodeList(records[:3])
			clear(l.Openings)
		}, "ATT-100"},
		"an opening changed": {nil, func(l *attest.EndpointLog) {
			l.Openings[3] = bytes.Clone(l.Openings[3])
			l.Openings[3][0]++
		}, "ATT-100"},
		"an opening of another": {nil, func(l *attest.EndpointLog) { l.Openings[2] = l.Openings[3] }, "ATT-100"},
		"an opening of none":    {nil, func(l *attest.EndpointLog) { l.Openings[7] = l.Openings[3] }, "ATT-100"},
		"no list":               {nil, func(l *attest.EndpointLog) { l.Records = []byte("x") }, "ATT-124"},
		"no opening":            {nil, func(l *attest.EndpointLog) { l.Openings[3] = []byte("x") }, "ATT-124"},
		"nothing":               {nil, func(l *attest.EndpointLog) { l.Records = nil }, "ATT-124"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.builds(t, buildOf(p), p.key)
			done := doneOf(t, buildOf(p))
			if tt.event != nil {
				tt.event(&done)
			}
			p.logs(t, done, tt.spoil)
			r, err := demanding(t, p, fromMain).Verify(t.Context(), p.url())
			denied(t, r, err, tt.code, "")
		})
	}
}
