package podlog

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"apocryph/proto/status"
)

// log makes records of types alone: the boundary looks at nothing else.
func log(types string) []Record {
	short := map[byte]Type{
		'a': TypeAgentStart, 'c': TypeConfig, 'r': TypeReady, 'p': TypePodCreate, 'i': TypeImageExec, 'k': TypeKeyRelease,
		's': TypePodStart, 'x': TypePodStop, 'b': TypeBuildDone, 'e': TypeExecAttempt, '?': "policy",
	}
	var rs []Record
	for i := range len(types) {
		rs = append(rs, Record{Seq: uint64(i), Type: short[types[i]]})
	}
	return rs
}

func TestBoundary(t *testing.T) {
	image := Rules{Required: []Type{TypeImageExec}}
	once := Rules{Restarts: 1}
	for _, tt := range []struct {
		types  string
		rules  Rules
		reason string
	}{
		{"acr", Rules{}, ""},
		{"accrpkisxbe", Rules{}, ""},
		{"acrpi", image, ""},
		{"acrpacrx", once, ""},
		{"aacr", once, ""},
		{"", Rules{}, "podlog.boundary"},
		{"a", Rules{}, "podlog.boundary"},
		{"ac", Rules{}, "podlog.boundary"},
		{"ar", Rules{}, "podlog.missing"},
		{"cr", Rules{}, "podlog.boundary"},
		{"r", Rules{}, "podlog.boundary"},
		{"car", Rules{}, "podlog.boundary"},
		{"pacr", Rules{}, "podlog.boundary"},
		{"acrc", Rules{}, "podlog.boundary"},
		{"acrpc", Rules{}, "podlog.boundary"},
		{"acrr", Rules{}, "podlog.boundary"},
		{"acrpr", Rules{}, "podlog.boundary"},
		{"acra", Rules{}, "podlog.boundary"},
		{"aacr", Rules{}, "podlog.boundary"},
		{"acracr", Rules{}, "podlog.boundary"},
		{"acracracr", once, "podlog.boundary"},
		{"acracp", once, "podlog.boundary"},
		{"acrac", once, "podlog.boundary"},
		{"acrar", once, "podlog.missing"},
		{"acpr", Rules{}, "podlog.boundary"},
		{"acxr", Rules{}, "podlog.boundary"},
		{"aecr", Rules{}, "podlog.boundary"},
		{"ac?r", Rules{}, "podlog.boundary"},
		{"acr?", Rules{}, "podlog.boundary"},
		{"acr", image, "podlog.missing"},
		{"acr", Rules{Required: []Type{"policy"}}, "podlog.missing"},
		{"acr?", Rules{Required: []Type{"policy"}}, "podlog.boundary"},
	} {
		err := CheckBoundary(log(tt.types), tt.rules)
		if tt.reason == "" {
			if err != nil {
				t.Errorf("%q: %v", tt.types, err)
			}
			continue
		}
		if status.CodeOf(err) != status.Untrusted || status.ReasonOf(err) != tt.reason {
			t.Errorf("%q: got %v (%s), want %s", tt.types, err, status.ReasonOf(err), tt.reason)
		}
		// Page by page it is the same.
		b := Boundary{Rules: tt.rules}
		for _, r := range log(tt.types) {
			b.Add(r)
		}
		if got := b.Check(); got.Error() != err.Error() {
			t.Errorf("%q: one by one got %v, want %v", tt.types, got, err)
		}
	}
}

func TestBoundarySequence(t *testing.T) {
	rs := log("acrpis")
	for name, tt := range map[string]struct {
		records []Record
		reason  string
	}{
		"reordered":      {slices.Concat(rs[:3], []Record{rs[4], rs[3]}, rs[5:]), "podlog.duplicate"},
		"dropped":        {slices.Concat(rs[:3], rs[4:]), "podlog.gap"},
		"first dropped":  {rs[1:], "podlog.gap"},
		"duplicated":     {slices.Concat(rs[:4], rs[3:]), "podlog.duplicate"},
		"twice":          {slices.Concat(rs, rs), "podlog.duplicate"},
		"begins later":   {[]Record{{5, TypeAgentStart, [32]byte{}}}, "podlog.gap"},
		"largest number": {append(slices.Clone(rs), Record{^uint64(0), TypePodStop, [32]byte{}}), "podlog.gap"},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, CheckBoundary(tt.records, Rules{}), status.Untrusted, tt.reason)
		})
	}
}

// All faults come at once, and no more than fit on a screen.
func TestBoundaryTellsAllFaults(t *testing.T) {
	rs := log("pacrcr?")
	rs = append(rs, rs[6])
	err := CheckBoundary(rs, Rules{Required: []Type{TypeKeyRelease}})
	refused(t, err, status.Untrusted, "podlog.duplicate")
	var e *status.Error
	if !errors.As(err, &e) || len(e.Faults) < 6 {
		t.Errorf("got %v", e.Faults)
	}
	err = CheckBoundary(log("acr"+strings.Repeat("c", 10000)), Rules{})
	if !errors.As(err, &e) || len(e.Faults) != maxFaults {
		t.Errorf("got %d faults, want %d", len(e.Faults), maxFaults)
	}
}
