package status_test

import (
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"apocryph/proto/status"
	"apocryph/proto/statuspb"
)

var update = flag.Bool("update", false, "rewrite testdata")

func sample() *status.Error {
	e := status.Invalid("manifest.invalid", "manifest", []status.Fault{
		{Field: "containers[0].image", Got: "nothing", Want: "an image", Line: 4},
		{Field: "name", Got: `"A"`, Want: "lower case"},
	})
	e.Log = []string{"starting", "panic: no database"}
	return e.WithHint("see line 4").WithRetryAfter(1500 * time.Millisecond)
}

func TestWireRoundTrip(t *testing.T) {
	for _, tt := range allCodes[1:] {
		e := status.New(tt.code, "a.b", "c d")
		if tt.code == status.Internal {
			e = status.New(tt.code, "internal", "internal error")
		}
		if d := cmp.Diff(e, status.FromWire(status.ToWire(e)), ignoreCause); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
	if d := cmp.Diff(sample(), status.FromWire(status.ToWire(sample())), ignoreCause); d != "" {
		t.Error(d)
	}
}

func TestWireGolden(t *testing.T) {
	got, err := proto.MarshalOptions{Deterministic: true}.Marshal(status.ToWire(sample()))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "status.bin")
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the bytes on the wire changed: %s", d)
	}
}

func TestToWireTellsNothingAndCanBeSent(t *testing.T) {
	if status.ToWire(nil) != nil || status.FromWire(nil) != nil {
		t.Error("nil does not stay nil")
	}
	internal := status.ToWire(status.Wrap(errors.New("secret"), status.Internal, "secret", "secret").WithHint("secret"))
	if s := prototext.Format(internal); strings.Contains(s, "secret") {
		t.Errorf("an internal error is told: %s", s)
	}
	bad := &status.Error{
		Code: status.NotFound, Reason: "a\xff", Detail: strings.Repeat("x", 5000), Hint: "h\x00", RetryAfter: -time.Second,
		Faults: make([]status.Fault, 1000), Log: make([]string, 1000),
	}
	bad.Log[999] = "last\xff"
	for i := range bad.Faults {
		bad.Faults[i] = status.Fault{Field: "\xfe", Got: "\x80", Want: strings.Repeat("\xff", 600), Line: math.MaxInt}
	}
	w := status.ToWire(bad)
	b, err := proto.Marshal(w)
	if err != nil {
		t.Fatalf("an error that cannot be sent: %v", err)
	}
	if n := len(w.GetLog()); n == 0 || n > 100 || w.GetLog()[n-1] != "last " {
		t.Errorf("%d lines of log, want the last ones", n)
	}
	if len(b) > 128<<10 || len(w.GetFaults()) != 64 || w.GetRetryAfterMs() != 0 || w.GetFaults()[0].GetLine() != math.MaxInt32 {
		t.Errorf("%d bytes, %d faults, retry %d, line %d", len(b), len(w.GetFaults()), w.GetRetryAfterMs(), w.GetFaults()[0].GetLine())
	}
	if (status.ToWire(&status.Error{Faults: []status.Fault{{Line: -1}}})).GetFaults()[0].GetLine() != 0 {
		t.Error("a negative line is sent")
	}
}

func TestFromWireNeverSucceeds(t *testing.T) {
	for _, code := range []statuspb.Code{0, -1, 14, math.MaxInt32, math.MinInt32} {
		e := status.FromWire(&statuspb.Status{Code: code, RetryAfterMs: math.MaxUint64})
		if status.ExitCode(e) == 0 || e.RetryAfter < 0 {
			t.Errorf("code %d: exit %d, retry after %v", code, status.ExitCode(e), e.RetryAfter)
		}
		if got := status.FromPeer(e).Code; got != status.Unavailable {
			t.Errorf("code %d became %s, want unavailable", code, got)
		}
	}
}

func FuzzStatus(f *testing.F) {
	b, err := proto.Marshal(status.ToWire(sample()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{8, 0})
	f.Add([]byte{8, 255, 255, 255, 255, 15, 32, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var w statuspb.Status
		if proto.Unmarshal(b, &w) != nil {
			return
		}
		e := status.FromPeer(status.FromWire(&w))
		if e.Detail == "" || status.ExitCode(e) == 0 || !e.Code.Known() || e.RetryAfter < 0 {
			t.Errorf("got %+v", e)
		}
		// What was re-classed travels on unchanged.
		if d := cmp.Diff(e, status.FromPeer(status.FromWire(status.ToWire(e))), ignoreCause, cmpopts.EquateEmpty()); d != "" {
			t.Error(d)
		}
	})
}
