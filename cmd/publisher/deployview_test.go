package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
	"apocryph/publisher"
)

func TestDeployView(t *testing.T) {
	o := newOutput(false)
	v := newDeployView(o.g.app)
	for _, e := range []publisher.Event{
		{Event: "find", Text: "looking for providers"},
		{Event: "attest", Provider: "12D3"},
		{Event: "resolve", Image: "web", Text: "oci:image"},
		{Event: "seal", Image: "web", Done: 1, Total: 2048},
		{Event: "verdict", Text: "affirmed: soft" + evil},
		{Event: "seal", Image: "web", Done: 2048, Total: 2048, Final: false},
		{Event: "seal", Image: "web", Final: true, Text: "sha256:ab"},
		{Event: "publish", Image: "web", Done: 1, Total: 2048},
		{Event: "publish", Image: "web", Final: true, Text: "bafy"},
		{Event: "quote", Text: "free"},
		{Event: "provision", Stage: "accepted"},
		{Event: "provision", Stage: "fetching", Done: 1, Total: 2048, Rate: 1024},
		{Event: "provision", Stage: "unpacking", Done: 1, Total: 2048, Rate: 1024},
		{Event: "provision", Stage: "fetching", Done: 2048, Total: 2048, Rate: 1024, Source: "peer", Final: true},
		{Event: "provision", Stage: "unpacking", Done: 2048, Total: 2048, Rate: 512, Source: "local", Final: true},
		{Event: "provision", Stage: "unpacking", Done: 2048, Total: 2048, Rate: 512, Source: "local", Final: true},
		{Event: "provision", Stage: "starting"},
		{Event: "provision", Stage: "healthy" + evil},
		{Event: "answer", Text: "http://a/ answered after 1ms"},
	} {
		v.event(e)
	}
	v.close()
	want := `find      looking for providers
attest    12D3
image     web: oci:image
verdict   affirmed: soft [2J ]0;x  31m   
encrypted web: sha256:ab
publish   web: bafy
price     free
provider  accepted
provider  fetched 2.0 KiB at 1.0 KiB/s
provider  unpacked 2.0 KiB at 512 B/s
provider  starting
provider  healthy [2J ]0;x  31m   
answer    http://a/ answered after 1ms
`
	if diff := cmp.Diff(want, o.err.String()); diff != "" {
		t.Error(diff)
	}
	o.harmless(t)
	if o.out.Len() > 0 {
		t.Errorf("standard output has %q", o.out.String())
	}
}

func TestDeployViewOfAnUpdate(t *testing.T) {
	o := newOutput(false)
	v := newDeployView(o.g.app)
	plain := status.New(status.DeadlineExceeded, "x", "late").WithHint("longer")
	for range 2 {
		v.event(publisher.Event{Event: "provision", Stage: "fetching", Done: 9, Total: 9, Source: "local", Final: true})
		v.event(publisher.Event{Event: "provision", Stage: "unpacking", Done: 9, Total: 9, Rate: 1 << 40, Source: "local", Final: true})
	}
	if e := v.ended(plain, "shop"); e.Hint != "longer" {
		t.Errorf("nothing was accepted, and the hint is %q", e.Hint)
	}
	v.event(publisher.Event{Event: "provision", Stage: "accepted"})
	if e := v.ended(plain, "shop"); !strings.Contains(e.Hint, "publisher delete shop") {
		t.Errorf("it was accepted, and the hint is %q", e.Hint)
	}
	v.close()
	want := "provider  has the image already\nprovider  unpacked 9 B\nprovider  accepted\n"
	if diff := cmp.Diff(want, o.err.String()); diff != "" {
		t.Error(diff)
	}
}

// TestDeployEventsAsJSON: of a flood of byte counts few are written, and each
// step's end is.
func TestDeployEventsAsJSON(t *testing.T) {
	o := newOutput(true)
	v := newDeployView(o.g.app)
	for i := range 1000 {
		v.event(publisher.Event{Event: "seal", Image: "web", Done: int64(i), Total: 1000})
	}
	v.event(publisher.Event{Event: "seal", Image: "web", Final: true, Text: evil})
	v.close()
	lines := strings.Split(strings.TrimSpace(o.out.String()), "\n")
	if len(lines) < 2 || len(lines) > 100 {
		t.Errorf("%d lines", len(lines))
	}
	var last publisher.Event
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || !last.Final || last.Text != evil {
		t.Errorf("the last line is %s (%v)", lines[len(lines)-1], err)
	}
	o.harmless(t)
}
