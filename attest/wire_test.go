package attest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"apocryph/proto/attestpb"
	"apocryph/proto/status"
)

var update = flag.Bool("update", false, "write the golden files")

func full() *Claims {
	fill := func(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }
	return &Claims{
		Purpose: PurposeProvision, Nonce: fill(1, 32), VerifierPeer: fill(2, 38), ProviderPeer: fill(3, 38),
		HPKEPublicKey: fill(4, 32), ReceiptPublicKey: fill(5, 32), IngressTLSKey: fill(6, 32),
		TPMAKName: fill(7, 34), BootEpoch: fill(8, 32), PodLogHead: fill(9, 32), PodLogLength: 7, Register: "pcr14",
		Pod: &PodClaims{
			PodID: "abcdefghijklmnopqrstuvwxyz", ManifestDigest: fill(10, 32),
			Images:            []ImageClaims{{Container: "web", CID: "bafy", ImageID: "sha256:00"}},
			ProvenanceDigests: [][]byte{fill(11, 32)},
		},
		OfferDigest: fill(12, 32), AgentVersion: "0.0.1", Storage: "fscrypt", Host: "app.example",
		IssuedAt:  time.UnixMilli(1_800_000_000_000).UTC(),
		ExpiresAt: time.UnixMilli(1_800_000_300_000).UTC(),
	}
}

// TestGolden fixes the bytes that two implementations must agree on.
func TestGolden(t *testing.T) {
	claims := EncodeClaims(full())
	digest, report, quote := ClaimsDigest(claims), ReportData(claims), QualifyingData(claims)
	got := map[string]string{
		"claims":           hex.EncodeToString(claims),
		"claims_digest":    hex.EncodeToString(digest[:]),
		"report_data":      hex.EncodeToString(report[:]),
		"qualifying_data":  hex.EncodeToString(quote[:]),
		"activation_proof": hex.EncodeToString(ActivationProof(bytes.Repeat([]byte{0x5a}, 32), digest)),
		"minimal":          hex.EncodeToString(EncodeClaims(&Claims{Purpose: PurposeOffer})),
		"empty_report":     func() string { d := ReportData(nil); return hex.EncodeToString(d[:]) }(),
	}
	path := filepath.Join("testdata", "golden.json")
	if *update {
		text, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]string
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestClaimsRoundTrip(t *testing.T) {
	bare := full()
	bare.Pod, bare.IngressTLSKey, bare.TPMAKName, bare.BootEpoch, bare.PodLogHead, bare.OfferDigest = nil, nil, nil, nil, nil, nil
	for name, want := range map[string]*Claims{"full": full(), "bare": bare} {
		got, err := DecodeClaims(EncodeClaims(want))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestEncodeClaimsMakesTextValid(t *testing.T) {
	c := full()
	c.AgentVersion = "a\xffb"
	var m attestpb.Claims
	if err := proto.Unmarshal(EncodeClaims(c), &m); err != nil {
		t.Fatal(err)
	}
	if got, want := m.GetAgentVersion(), "a\uFFFDb"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !m.ProtoReflect().Has(m.ProtoReflect().Descriptor().Fields().ByName("storage")) {
		t.Error("the fields after bad text are missing")
	}
}

func TestDecodeClaimsRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*Claims)
		field  string
	}{
		"no purpose":          {func(c *Claims) { c.Purpose = 0 }, "purpose"},
		"unknown purpose":     {func(c *Claims) { c.Purpose = 5 }, "purpose"},
		"short nonce":         {func(c *Claims) { c.Nonce = c.Nonce[:31] }, "nonce"},
		"long nonce":          {func(c *Claims) { c.Nonce = append(c.Nonce, 0) }, "nonce"},
		"no nonce":            {func(c *Claims) { c.Nonce = nil }, "nonce"},
		"no verifier":         {func(c *Claims) { c.VerifierPeer = nil }, "verifier_peer"},
		"long verifier":       {func(c *Claims) { c.VerifierPeer = make([]byte, 65) }, "verifier_peer"},
		"no provider":         {func(c *Claims) { c.ProviderPeer = nil }, "provider_peer"},
		"short hpke key":      {func(c *Claims) { c.HPKEPublicKey = c.HPKEPublicKey[1:] }, "hpke_public_key"},
		"no hpke key":         {func(c *Claims) { c.HPKEPublicKey = nil }, "hpke_public_key"},
		"no receipt key":      {func(c *Claims) { c.ReceiptPublicKey = nil }, "receipt_public_key"},
		"short ingress key":   {func(c *Claims) { c.IngressTLSKey = c.IngressTLSKey[1:] }, "ingress_tls_key"},
		"short ak name":       {func(c *Claims) { c.TPMAKName = c.TPMAKName[2:] }, "tpm_ak_name"},
		"long boot epoch":     {func(c *Claims) { c.BootEpoch = make([]byte, 65) }, "boot_epoch"},
		"long pod log head":   {func(c *Claims) { c.PodLogHead = make([]byte, 65) }, "pod_log_head"},
		"short offer digest":  {func(c *Claims) { c.OfferDigest = make([]byte, 31) }, "offer_digest"},
		"escape in register":  {func(c *Claims) { c.Register = "\x1b[2J" }, "register"},
		"newline in version":  {func(c *Claims) { c.AgentVersion = "1\n2" }, "agent_version"},
		"letters in host":     {func(c *Claims) { c.Host = "\u00e9" }, "host"},
		"letters in storage":  {func(c *Claims) { c.Storage = "\u00e9" }, "storage"},
		"long version":        {func(c *Claims) { c.AgentVersion = strings.Repeat("x", 257) }, "agent_version"},
		"never issued":        {func(c *Claims) { c.IssuedAt = time.Time{} }, "issued_at"},
		"issued before 1970":  {func(c *Claims) { c.IssuedAt = time.UnixMilli(-1) }, "issued_at"},
		"never expires":       {func(c *Claims) { c.ExpiresAt = time.Time{} }, "expires_at"},
		"expires in 2200":     {func(c *Claims) { c.ExpiresAt = time.UnixMilli(maxMillis + 1) }, "expires_at"},
		"no manifest":         {func(c *Claims) { c.Pod.ManifestDigest = nil }, "pod.manifest_digest"},
		"bell in pod id":      {func(c *Claims) { c.Pod.PodID = "\a" }, "pod.pod_id"},
		"too many images":     {func(c *Claims) { c.Pod.Images = make([]ImageClaims, 65) }, "pod.images"},
		"bell in image":       {func(c *Claims) { c.Pod.Images[0].CID = "\a" }, "pod.images[0].cid"},
		"too much provenance": {func(c *Claims) { c.Pod.ProvenanceDigests = make([][]byte, 65) }, "pod.provenance_digests"},
		"short provenance":    {func(c *Claims) { c.Pod.ProvenanceDigests[0] = []byte{1} }, "pod.provenance_digests[0]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := full()
			tt.change(c)
			_, err := DecodeClaims(EncodeClaims(c))
			wantFault(t, err, "attest.claims", tt.field)
		})
	}
}

func TestDecodeClaimsReportsAllFaults(t *testing.T) {
	_, err := DecodeClaims(nil)
	var e *status.Error
	if !asStatus(err, &e) || len(e.Faults) < 7 {
		t.Errorf("got %v, want every mandatory field to be named", err)
	}
}

func TestDecodeClaimsSize(t *testing.T) {
	_, err := DecodeClaims(make([]byte, MaxClaims+1))
	if got, want := status.ReasonOf(err), "attest.too_large"; got != want {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = DecodeClaims([]byte{0xff})
	if got, want := status.ReasonOf(err), "attest.claims"; got != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestDecodeClaimsPassesOverLaterFields is what lets a newer provider claim more.
func TestDecodeClaimsPassesOverLaterFields(t *testing.T) {
	if _, err := DecodeClaims(append(EncodeClaims(full()), 0xf8, 0x07, 0x01)); err != nil {
		t.Error(err)
	}
}

func TestPurpose(t *testing.T) {
	for p := PurposeProvision; p <= PurposeBuild; p++ {
		got, err := PurposeFromWire(PurposeToWire(p))
		if err != nil || got != p || strings.Contains(p.String(), "purpose") {
			t.Errorf("%v: got %v, %v", p, got, err)
		}
	}
	for _, p := range []attestpb.Purpose{-1, 0, 5, 257} {
		if got, err := PurposeFromWire(p); err == nil {
			t.Errorf("%d: got %v", p, got)
		}
	}
	if got, want := Purpose(9).String(), "purpose 9"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// 257 must not be taken for 1.
	b, err := proto.Marshal(&attestpb.Claims{Purpose: 257})
	if err != nil {
		t.Fatal(err)
	}
	_, err = DecodeClaims(b)
	wantFault(t, err, "attest.claims", "purpose")
}

// TestBindingsDiffer shows that no binding stands in for another.
func TestBindingsDiffer(t *testing.T) {
	claims := EncodeClaims(full())
	longer := append(bytes.Clone(claims), 0)
	seen := map[string]string{}
	for name, b := range map[string][]byte{
		"report": sum64(ReportData(claims)), "report of more": sum64(ReportData(longer)),
		"quote": sum32(QualifyingData(claims)), "quote of more": sum32(QualifyingData(longer)),
		"digest": sum32(ClaimsDigest(claims)),
		"proof":  ActivationProof([]byte("s"), ClaimsDigest(claims)), "other proof": ActivationProof([]byte("t"), ClaimsDigest(claims)),
	} {
		key := string(b[:32])
		if other, ok := seen[key]; ok {
			t.Errorf("%s equals %s", name, other)
		}
		seen[key] = name
	}
}

func sum64(b [64]byte) []byte { return b[:] }
func sum32(b [32]byte) []byte { return b[:] }

func FuzzDecodeClaims(f *testing.F) {
	f.Add(EncodeClaims(full()))
	f.Add(EncodeClaims(&Claims{}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeClaims(b)
		if err != nil {
			if status.CodeOf(err) != status.InvalidArgument {
				t.Errorf("got %v, want invalid_argument", err)
			}
			return
		}
		// What was read means the same after another trip.
		again, err := DecodeClaims(EncodeClaims(c))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Error(diff)
		}
	})
}
