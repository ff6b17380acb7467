package offer

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"apocryph/proto/capacitypb"
	"apocryph/proto/status"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var (
	testKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	testNow = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

func publicKey() ed25519.PublicKey { return testKey.Public().(ed25519.PublicKey) }

func testOffer() Offer {
	return Offer{
		Provider: []byte("provider peer"), Publisher: []byte("publisher peer"), ID: "offer-1", ReservationID: "hold-1",
		NotAfter: testNow.Add(time.Minute),
		Resources: []ResourceOffer{
			{Resource: "cpu", Requested: "500m", Available: "4", Offered: true},
			{Resource: "gpu/nvidia", Requested: "1", Available: "0", Reason: "this machine has no GPU"},
		},
		Asset: "EUR", Prices: []Price{{"cpu", "core", "0.000005"}}, MinimumCharge: "0.1", TotalPerHour: "0.009",
		PaymentSchemes: []string{"evm-channel"}, PaymentAddress: "eip155:1:0x" + strings.Repeat("ab", 20),
		RequestDigest: [32]byte{1, 2, 3},
	}
}

func sign(t testing.TB, o Offer) Signed {
	t.Helper()
	s, err := Sign(o, testKey)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSignOpen(t *testing.T) {
	s := SignedFromWire(sign(t, testOffer()).ToWire())
	got, err := Open(s, publicKey(), testNow)
	if diff := cmp.Diff(testOffer(), got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if !ed25519.Verify(publicKey(), append([]byte("apocryph/offer/0.0.1\x00"), s.Offer...), s.Signature) {
		t.Error("the signature is not over what the specification says")
	}
}

func TestGoldenOffer(t *testing.T) {
	s := sign(t, testOffer())
	digest := s.Digest()
	got := "digest " + hex.EncodeToString(digest[:]) + "\nsignature " + hex.EncodeToString(s.Signature) + "\noffer " + hex.EncodeToString(s.Offer) + "\n"
	const path = "testdata/offer.golden"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

func TestOpenRefuses(t *testing.T) {
	good := sign(t, testOffer())
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	raw := func(b []byte) Signed {
		return Signed{Offer: b, Signature: ed25519.Sign(testKey, append([]byte(domain), b...))}
	}
	flipped := slices.Clone(good.Offer)
	flipped[3] ^= 1
	tests := []struct {
		name   string
		signed Signed
		key    ed25519.PublicKey
		now    time.Time
		code   status.Code
		reason string
	}{
		{"another key", good, other, testNow, status.Untrusted, "offer.signature"},
		{"no key", good, nil, testNow, status.Untrusted, "offer.signature"},
		{"no signature", Signed{Offer: good.Offer}, publicKey(), testNow, status.Untrusted, "offer.signature"},
		{"flipped byte", Signed{flipped, good.Signature}, publicKey(), testNow, status.Untrusted, "offer.signature"},
		{"no domain", Signed{good.Offer, ed25519.Sign(testKey, good.Offer)}, publicKey(), testNow, status.Untrusted, "offer.signature"},
		{"nothing", Signed{}, publicKey(), testNow, status.Untrusted, "offer.signature"},
		{"too large", raw(make([]byte, MaxBytes+1)), publicKey(), testNow, status.Unavailable, "offer.malformed"},
		{"signed nothing", raw(nil), publicKey(), testNow, status.Unavailable, "offer.malformed"},
		{"signed rubbish", raw([]byte("rubbish")), publicKey(), testNow, status.Unavailable, "offer.malformed"},
		{"unknown field", raw(append(slices.Clone(good.Offer), 0x98, 6, 1)), publicKey(), testNow, status.Unavailable, "offer.malformed"},
		{"at its end", good, publicKey(), testNow.Add(time.Minute), status.Unavailable, "offer.expired"},
		{"after its end", good, publicKey(), testNow.Add(time.Hour), status.Unavailable, "offer.expired"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, err := Open(tt.signed, tt.key, tt.now)
			if status.CodeOf(err) != tt.code || status.ReasonOf(err) != tt.reason || !cmp.Equal(o, Offer{}) {
				t.Errorf("got %v, %v", o, err)
			}
		})
	}
}

func TestOfferFaults(t *testing.T) {
	tests := []struct {
		name, want string
		change     func(*capacitypb.Offer)
	}{
		{"no provider", "provider_peer: got 0", func(o *capacitypb.Offer) { o.ProviderPeer = nil }},
		{"long publisher", "publisher_peer: got 65", func(o *capacitypb.Offer) { o.PublisherPeer = make([]byte, 65) }},
		{"short digest", "request_digest: got 31", func(o *capacitypb.Offer) { o.RequestDigest = make([]byte, 31) }},
		{"no id", "offer_id: got nothing", func(o *capacitypb.Offer) { o.OfferId = "" }},
		{"id with escape", "offer_id: got", func(o *capacitypb.Offer) { o.OfferId = "\x1b" }},
		{"long reservation", "reservation_id: got", func(o *capacitypb.Offer) { o.ReservationId = strings.Repeat("a", 65) }},
		{"no end", "not_after: got 0", func(o *capacitypb.Offer) { o.NotAfter = 0 }},
		{"end beyond time", "not_after: got", func(o *capacitypb.Offer) { o.NotAfter = 1<<63 - 1 }},
		{"no resources", "resources: got nothing", func(o *capacitypb.Offer) { o.Resources = nil }},
		{"many resources", "resources: got 257", func(o *capacitypb.Offer) { o.Resources = slices.Repeat(o.Resources[:1], 257) }},
		{"resource without name", "resources[0].resource: got nothing", func(o *capacitypb.Offer) { o.Resources[0].Resource = "" }},
		{"no reason", "resources[1].reason: got nothing", func(o *capacitypb.Offer) { o.Resources[1].Reason = " " }},
		{"reason with line break", "resources[1].reason: got", func(o *capacitypb.Offer) { o.Resources[1].Reason = "a\nb" }},
		{"available although not", "available: got true", func(o *capacitypb.Offer) { o.Available = true }},
		{"asset", "asset: got \"gold\"", func(o *capacitypb.Offer) { o.Asset = "gold" }},
		{"price without asset", "asset: got nothing", func(o *capacitypb.Offer) { o.Asset = "" }},
		{"address", "payment_address: got", func(o *capacitypb.Offer) { o.PaymentAddress = "eip155:1:0x12" }},
		{"negative charge", "minimum_charge: got \"-1\"", func(o *capacitypb.Offer) { o.MinimumCharge = "-1" }},
		{"no total", "total_per_hour: got \"\"", func(o *capacitypb.Offer) { o.TotalPerHour = "" }},
		{"total with exponent", "total_per_hour: got \"1e9\"", func(o *capacitypb.Offer) { o.TotalPerHour = "1e9" }},
		{"price", "prices[0].per_unit_second: got", func(o *capacitypb.Offer) { o.Prices[0].PerUnitSecond = "free" }},
		{"many prices", "prices: got 257", func(o *capacitypb.Offer) { o.Prices = slices.Repeat(o.Prices, 257) }},
		{"many schemes", "payment_schemes: got 9", func(o *capacitypb.Offer) { o.PaymentSchemes = make([]string, 9) }},
		{"scheme", "payment_schemes[0]: got", func(o *capacitypb.Offer) { o.PaymentSchemes[0] = "\u202e" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := testOffer().toWire()
			tt.change(w)
			b, err := proto.Marshal(w)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Open(Signed{b, ed25519.Sign(testKey, append([]byte(domain), b...))}, publicKey(), testNow)
			if status.ReasonOf(err) != "offer.malformed" || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestSignRefuses(t *testing.T) {
	if _, err := Sign(testOffer(), testKey[:10]); status.ReasonOf(err) != "offer.key" {
		t.Error(err)
	}
	o := testOffer()
	o.TotalPerHour = "?"
	if _, err := Sign(o, testKey); status.ReasonOf(err) != "offer.invalid" {
		t.Error(err)
	}
	o = testOffer()
	o.Resources[1].Reason = strings.Repeat("a", maxReason)
	o.Resources = slices.Repeat(o.Resources[1:], maxResources)
	if _, err := Sign(o, testKey); status.ReasonOf(err) != "offer.size" {
		t.Error(err)
	}
}

func TestMatches(t *testing.T) {
	o := testOffer()
	if err := o.Matches(o.Provider, o.Publisher, o.RequestDigest); err != nil {
		t.Error(err)
	}
	for want, err := range map[string]error{
		"provider":  o.Matches([]byte("x"), o.Publisher, o.RequestDigest),
		"publisher": o.Matches(o.Provider, nil, o.RequestDigest),
		"request":   o.Matches(o.Provider, o.Publisher, [32]byte{}),
	} {
		if status.CodeOf(err) != status.Untrusted || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// FuzzOpen signs what it is given: a hostile provider can.
func FuzzOpen(f *testing.F) {
	f.Add(sign(f, testOffer()).Offer)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := Open(Signed{b, ed25519.Sign(testKey, append([]byte(domain), b...))}, publicKey(), testNow)
		if err != nil {
			return
		}
		s, err := Sign(o, testKey)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Open(s, publicKey(), testNow)
		if diff := cmp.Diff(o, back); diff != "" || err != nil {
			t.Fatal(diff, err)
		}
	})
}
