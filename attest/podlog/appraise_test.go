package podlog

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"apocryph/attest"
)

const pod = "mzxw6ytboi"

// exec is one container of a pod's instance.
func exec(id string, revision int, container, image string) Event {
	return &ImageExec{at, id, fmt.Sprintf("%s-%d-0", id, revision), container, "bafy" + image, sum(image), sum("a"), sum("e"), sum("m"), sum("c")}
}

// story is a whole boot: another tenant's pod, a first revision of ours, the
// update to the second, and a restart of the provider in between.
func story() []Event {
	other := "another"
	start := func(keys string) []Event {
		return []Event{
			&AgentStart{at, "0.1.0", sum("binary"), "12D3KooWExample", []byte{1}, KeysDigest([]byte(keys), []byte("receipt"))},
			&Config{at, "settings", sum("config"), "none", nil},
			&Ready{at},
		}
	}
	return slices.Concat(start("old"), []Event{
		&PodCreate{at, pod, 1, "alice", sum("first")},
		exec(pod, 1, "web", "old"),
		&PodStart{at, pod, 1, pod + "-1-0"},
		&PodCreate{at, other, 1, "bob", sum("bob's")},
		exec(other, 1, "web", "bob's"),
		&PodStart{at, other, 1, other + "-1-0"},
	}, start("hpke"), []Event{
		&PodCreate{at, pod, 2, "alice", sum("manifest")},
		&KeyRelease{at, pod, 2, sum("claims"), sum("manifest"), []string{"web"}},
		exec(pod, 2, "web", "web"),
		exec(pod, 2, "db", "db"),
		&PodStop{at, pod, 1, pod + "-1-0", "replaced"},
		&PodStart{at, pod, 2, pod + "-2-0"},
	})
}

// scene is evidence, what was shown and what is expected.
type scene struct {
	events []Event
	result *attest.Result
	shown  Shown
	want   Expected
}

// set makes a scene of a story as a kind of device shows it.
func set(t testing.TB, device string, es []Event) *scene {
	t.Helper()
	records, openings := seal(t, es...)
	init := Head{}
	if device == "tpm2" {
		init = must[Head](t)(Begin(h256([]byte("shim")), h384([]byte("shim"))))
	}
	head := must[Head](t)(Replay(records, init))
	s := &scene{
		events: es,
		shown:  Shown{Records: records, Openings: map[uint64]Opening{}},
		want: Expected{
			Init: init, Rules: Rules{Restarts: 1, Required: []Type{TypePodCreate}},
			Pod: &ExpectedPod{ID: pod, Publisher: "alice", Revision: 2, Manifest: sum("manifest"), Images: []ExpectedImage{
				{"web", "bafyweb", sum("web").String()}, {"db", "bafydb", sum("db").String()},
			}},
		},
		result: &attest.Result{
			Claims: &attest.Claims{
				HPKEPublicKey: []byte("hpke"), ReceiptPublicKey: []byte("receipt"), BootEpoch: []byte{1}, PodLogLength: head.Length,
				Pod: &attest.PodClaims{PodID: pod, ManifestDigest: slices.Clone(s256("manifest")), Images: []attest.ImageClaims{
					{Container: "web", CID: "bafyweb", ImageID: sum("web").String()}, {Container: "db", CID: "bafydb", ImageID: sum("db").String()},
				}},
			},
			Checks: []attest.Check{{OK: true, Anchor: attest.AnchorHardware}},
		},
	}
	for i, e := range es {
		// Bob's are not shown.
		if id, ok := podOf(e); !ok || id == pod {
			s.shown.Openings[uint64(i)] = openings[i]
		}
	}
	c := s.result.Claims
	switch device {
	case "tpm2":
		c.Register, c.PodLogHead = RegisterPCR, head.SHA256[:]
		s.result.TPM = &attest.TPMFacts{PCRs: []attest.PCR{{Bank: "sha256", Index: 13, Value: make([]byte, 32)}, {Bank: "sha256", Index: 14, Value: slices.Clone(head.SHA256[:])}}}
	case "tdx":
		c.Register, c.PodLogHead = RegisterRTMR, head.SHA384[:]
		s.result.TDX = &attest.TDXFacts{RTMRs: [4][]byte{nil, nil, nil, slices.Clone(head.SHA384[:])}}
	default:
		c.Register, c.PodLogHead = RegisterNone, head.SHA384[:]
		s.result.SNP = &attest.SNPFacts{}
	}
	return s
}

func s256(s string) []byte { d := sum(s); return d[:] }

func podOf(e Event) (string, bool) {
	switch e := e.(type) {
	case *PodCreate:
		return e.PodID, true
	case *ImageExec:
		return e.PodID, true
	case *PodStart:
		return e.PodID, true
	case *PodStop:
		return e.PodID, true
	case *KeyRelease:
		return e.PodID, true
	}
	return "", false
}

func TestAppraise(t *testing.T) {
	for device, anchor := range map[string]attest.Anchor{"tpm2": attest.AnchorHardware, "tdx": attest.AnchorHardware, "sev-snp": attest.AnchorAgentAsserted} {
		s := set(t, device, story())
		checks, entries := Appraise(s.result, s.shown, s.want)
		for _, c := range checks {
			if !c.OK || c.Anchor != anchor {
				t.Errorf("%s: got %+v", device, c)
			}
		}
		if len(checks) != 7 || len(entries) != len(s.events) || entries[6].Event != nil || entries[3].Event == nil {
			t.Errorf("%s: got %d checks and %d entries", device, len(checks), len(entries))
		}
		// Without a pod the log alone is looked at, and its openings may lack.
		s.want.Pod, s.shown.Openings = nil, nil
		if checks, _ := Appraise(s.result, s.shown, s.want); len(checks) != 4 || !checks[3].OK {
			t.Errorf("%s: got %+v", device, checks)
		}
	}
}

// TestAppraiseUpdate has two revisions at once, for as long as an update takes.
func TestAppraiseUpdate(t *testing.T) {
	old := func(es []Event) []Event { return slices.Delete(es, 16, 17) }
	next := func(es []Event) []Event {
		return append(es, &PodCreate{at, pod, 3, "alice", sum("next")}, exec(pod, 3, "web", "next"), &PodStart{at, pod, 3, pod + "-3-0"})
	}
	gone := func(es []Event) []Event { return append(es, &PodStop{at, pod, 2, pod + "-2-0", "failed"}) }
	for name, tt := range map[string]struct {
		change func([]Event) []Event
		age    time.Duration
		code   string
	}{
		"the old one drains":      {old, 4 * time.Minute, ""},
		"the old one stays":       {old, 6 * time.Minute, "ATT-111"},
		"a later one is tried":    {next, 14 * time.Minute, ""},
		"a later one stays":       {next, 16 * time.Minute, "ATT-111"},
		"all three":               {func(es []Event) []Event { return next(old(es)) }, time.Minute, ""},
		"only another one":        {func(es []Event) []Event { return gone(next(es)) }, time.Minute, "ATT-104"},
		"claims before the start": {old, -time.Second, "ATT-111"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, device := range []string{"tpm2", "tdx", "sev-snp"} {
				s := set(t, device, tt.change(story()))
				s.result.Claims.IssuedAt = at.Add(tt.age)
				if tt.code != "" {
					decides(t, s, tt.code)
					continue
				}
				checks, _ := Appraise(s.result, s.shown, s.want)
				if last := checks[len(checks)-1]; len(checks) != 7 || !last.OK || !strings.Contains(last.Got, "of another revision") {
					t.Errorf("%s: got %+v", device, last)
				}
			}
		})
	}
}

// edit makes a change to an event of the story.
func edit[E Event](i int, change func(E)) func([]Event) []Event {
	return func(es []Event) []Event {
		change(es[i].(E))
		return es
	}
}

// A provider whose log is in order all the same, and does not say what was deployed.
func TestAppraiseRefusesStories(t *testing.T) {
	for name, tt := range map[string]struct {
		change func([]Event) []Event
		code   string
	}{
		"another image":         {edit(14, func(e *ImageExec) { e.ImageID = sum("evil") }), "ATT-111"},
		"another cid":           {edit(14, func(e *ImageExec) { e.CID = "bafyevil" }), "ATT-111"},
		"another container":     {edit(14, func(e *ImageExec) { e.Container = "side" }), "ATT-111"},
		"another instance":      {edit(15, func(e *ImageExec) { e.Instance = pod + "-2-1" }), "ATT-111"},
		"one container lacks":   {func(es []Event) []Event { return slices.Delete(es, 15, 16) }, "ATT-111"},
		"started before it":     {func(es []Event) []Event { es[15], es[17] = es[17], es[15]; return es }, "ATT-111"},
		"another manifest":      {edit(12, func(e *PodCreate) { e.Manifest = sum("other") }), "ATT-110"},
		"another publisher":     {edit(12, func(e *PodCreate) { e.Publisher = "mallory" }), "ATT-110"},
		"another revision":      {edit(12, func(e *PodCreate) { e.Revision = 3 }), "ATT-104"},
		"keys for another":      {edit(13, func(e *KeyRelease) { e.Manifest = sum("other") }), "ATT-110"},
		"no order":              {func(es []Event) []Event { return slices.Delete(es, 12, 13) }, "ATT-104"},
		"never started":         {func(es []Event) []Event { return slices.Delete(es, 17, 18) }, "ATT-104"},
		"the old one runs":      {func(es []Event) []Event { return slices.Delete(es, 16, 17) }, "ATT-111"},
		"a later one runs":      {func(es []Event) []Event { return append(es, &PodStart{at, pod, 3, pod + "-3-0"}) }, "ATT-111"},
		"stopped":               {func(es []Event) []Event { return append(es, &PodStop{at, pod, 2, pod + "-2-0", "failed"}) }, "ATT-104"},
		"unmeasured restart":    {func(es []Event) []Event { return append(es, &PodStop{at, pod, 2, pod + "-2-0", "failed"}, es[17]) }, "ATT-111"},
		"ordered again":         {func(es []Event) []Event { return append(es, &PodCreate{at, pod, 2, "alice", sum("other")}) }, "ATT-110"},
		"again, not made again": {func(es []Event) []Event { return append(es, es[12]) }, "ATT-111"},
		"another process":       {edit(9, func(e *AgentStart) { e.Keys = sum("others") }), "ATT-102"},
		"another boot":          {edit(9, func(e *AgentStart) { e.BootEpoch = []byte{2} }), "ATT-102"},
		"after ready":           {func(es []Event) []Event { return append(es, es[1]) }, "ATT-102"},
		"a pod before ready":    {func(es []Event) []Event { es[10], es[12] = es[12], es[10]; return es }, "ATT-102"},
		"set up without config": {func(es []Event) []Event { return slices.Delete(es, 10, 11) }, "ATT-104"},
		"one start too many":    {func(es []Event) []Event { return append(es, es[9], es[10], es[11]) }, "ATT-102"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, device := range []string{"tpm2", "tdx", "sev-snp"} {
				decides(t, set(t, device, tt.change(story())), tt.code)
			}
		})
	}
}

// A provider that shows another log than the one that its device has.
func TestAppraiseRefusesEvidence(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(*scene)
		code  string
	}{
		"dropped":               {func(s *scene) { s.shown.Records = s.shown.Records[:17] }, "ATT-100"},
		"first dropped":         {func(s *scene) { s.shown.Records = s.shown.Records[1:] }, "ATT-100"},
		"none":                  {func(s *scene) { s.shown.Records = nil }, "ATT-100"},
		"duplicated":            {func(s *scene) { s.shown.Records = append(s.shown.Records, s.shown.Records[17]) }, "ATT-103"},
		"reordered":             {func(s *scene) { r := s.shown.Records; r[14], r[15] = r[15], r[14] }, "ATT-100"},
		"another head":          {func(s *scene) { s.result.Claims.PodLogHead = make([]byte, len(s.result.Claims.PodLogHead)) }, "ATT-100"},
		"no head":               {func(s *scene) { s.result.Claims.PodLogHead = nil }, "ATT-100"},
		"another length":        {func(s *scene) { s.result.Claims.PodLogLength++ }, "ATT-100"},
		"another register":      {func(s *scene) { s.result.Claims.Register = "pcr16" }, "ATT-100"},
		"no register named":     {func(s *scene) { s.result.Claims.Register = "" }, "ATT-100"},
		"swapped openings":      {func(s *scene) { o := s.shown.Openings; o[14], o[15] = o[15], o[14] }, "ATT-100"},
		"opening too many":      {func(s *scene) { s.shown.Openings[99] = s.shown.Openings[14] }, "ATT-100"},
		"withheld image":        {func(s *scene) { delete(s.shown.Openings, 14) }, "ATT-111"},
		"withheld order":        {func(s *scene) { delete(s.shown.Openings, 12) }, "ATT-104"},
		"withheld start":        {func(s *scene) { delete(s.shown.Openings, 17) }, "ATT-104"},
		"withheld software":     {func(s *scene) { delete(s.shown.Openings, 9) }, "ATT-104"},
		"claims of no pod":      {func(s *scene) { s.result.Claims.Pod = nil }, "ATT-110"},
		"claims of another pod": {func(s *scene) { s.result.Claims.Pod.PodID = "another" }, "ATT-110"},
		"claims a manifest":     {func(s *scene) { s.result.Claims.Pod.ManifestDigest[0] ^= 1 }, "ATT-110"},
		"claims an image":       {func(s *scene) { s.result.Claims.Pod.Images[1].ImageID = sum("evil").String() }, "ATT-111"},
		"claims a container":    {func(s *scene) { s.result.Claims.Pod.Images[1].Container = "side" }, "ATT-111"},
		"other keys":            {func(s *scene) { s.result.Claims.HPKEPublicKey = []byte("relay") }, "ATT-102"},
		"deployed another":      {func(s *scene) { s.want.Pod.Revision = 1 }, "ATT-110"},
		"a kind lacks":          {func(s *scene) { s.want.Rules.Required = []Type{TypeBuildDone} }, "ATT-104"},
		"a restart too many":    {func(s *scene) { s.want.Rules.Restarts = 0 }, "ATT-102"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, device := range []string{"tpm2", "tdx", "sev-snp"} {
				s := set(t, device, story())
				tt.spoil(s)
				decides(t, s, tt.code)
			}
		})
	}
}

// What the device shows decides, not what the claims say of it.
func TestAppraiseHoldsToTheDevice(t *testing.T) {
	for name, tt := range map[string]struct {
		device string
		spoil  func(*scene)
		code   string
	}{
		"tpm claims none": {"tpm2", func(s *scene) { s.result.Claims.Register = RegisterNone }, "ATT-100"},
		"tdx claims none": {"tdx", func(s *scene) { s.result.Claims.Register = RegisterNone }, "ATT-100"},
		"snp claims pcr":  {"sev-snp", func(s *scene) { s.result.Claims.Register = RegisterPCR }, "ATT-100"},
		"register moved": {"tpm2", func(s *scene) {
			s.result.TPM.PCRs[1].Value = h256([]byte("moved"))
		}, "ATT-100"},
		"register moved, head too": {"tpm2", func(s *scene) {
			s.result.TPM.PCRs[1].Value = h256([]byte("moved"))
			s.result.Claims.PodLogHead = h256([]byte("moved"))
		}, "ATT-100"},
		"rtmr moved":       {"tdx", func(s *scene) { s.result.TDX.RTMRs[3] = h384([]byte("moved")) }, "ATT-100"},
		"no rtmr":          {"tdx", func(s *scene) { s.result.TDX.RTMRs[3] = nil }, "ATT-100"},
		"not quoted":       {"tpm2", func(s *scene) { s.result.TPM.PCRs = s.result.TPM.PCRs[:1] }, "ATT-100"},
		"another bank":     {"tpm2", func(s *scene) { s.result.TPM.PCRs[1].Bank = "sha1" }, "ATT-100"},
		"boot log ignored": {"tpm2", func(s *scene) { s.want.Init = Head{} }, "ATT-100"},
		"zeros for shim": {"tpm2", func(s *scene) {
			zero, _ := Replay(s.shown.Records, Head{})
			s.result.TPM.PCRs[1].Value, s.result.Claims.PodLogHead = zero.SHA256[:], zero.SHA256[:]
		}, "ATT-101"},
	} {
		t.Run(name, func(t *testing.T) {
			s := set(t, tt.device, story())
			tt.spoil(s)
			decides(t, s, tt.code)
		})
	}
}

// decides checks that the last check, and no other, fails with a code.
func decides(t *testing.T, s *scene, code string) {
	t.Helper()
	checks, _ := Appraise(s.result, s.shown, s.want)
	last := checks[len(checks)-1]
	if last.OK || last.Code != code || last.Got == "" || last.Want == "" {
		t.Errorf("got %+v, want %s", last, code)
	}
	for _, c := range checks[:len(checks)-1] {
		if !c.OK {
			t.Errorf("went on after %+v", c)
		}
	}
}

// TestTDBesideATPM: a TD's own register counts, whatever its TPM has.
func TestTDBesideATPM(t *testing.T) {
	s := set(t, "tdx", story())
	s.result.TPM = set(t, "tpm2", story()).result.TPM
	s.result.TPM.PCRs[1].Value = h256([]byte("the hypervisor's"))
	s.result.Checks[0].Anchor = attest.AnchorVTPMHardware
	checks, _ := Appraise(s.result, s.shown, s.want)
	for _, c := range checks {
		if !c.OK || c.Anchor != attest.AnchorHardware {
			t.Errorf("got %+v", c)
		}
	}
	s.result.Claims.Register = RegisterPCR
	if checks, _ := Appraise(s.result, s.shown, s.want); len(checks) != 1 || checks[0].OK {
		t.Errorf("a TPM's register: got %+v", checks)
	}
}
