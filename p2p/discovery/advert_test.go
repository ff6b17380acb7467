package discovery

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	"github.com/multiformats/go-multiaddr"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"apocryph/proto/discoverypb"
	"apocryph/proto/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.UnixMilli(1_800_000_000_000)

// testKey is made of a fixed seed: signatures and ids in tests do not change.
func testKey(t testing.TB, seed byte) (crypto.PrivKey, peer.ID) {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(bytes.NewReader(bytes.Repeat([]byte{seed}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, id
}

func testAdvert(id peer.ID) Advert {
	return Advert{
		Peer:     id,
		Addrs:    []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/192.0.2.1/tcp/4021"), multiaddr.StringCast("/ip4/192.0.2.1/udp/4021/quic-v1")},
		Seq:      7,
		NotAfter: now.Add(DefaultValidity),
		TEE:      "sev-snp", Region: "eu-west", RuntimeClasses: []string{"runc", "gvisor"},
		Resources: Resources{CPUMillis: 8000, MemoryBytes: 16 << 30, DiskBytes: 100 << 30, GPUs: 1},
		Asset:     "USD",
		Prices:    []Price{{Resource: "cpu", Unit: "core", PerUnitSecond: "0.00001"}},
		Software:  "apocryph/0.1.0", Platform: "linux/amd64",
	}
}

func seal(t testing.TB, a Advert, key crypto.PrivKey) []byte {
	t.Helper()
	b, err := Seal(a, key, now)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var compare = cmp.Comparer(func(a, b multiaddr.Multiaddr) bool { return a.Equal(b) })

func TestSealOpen(t *testing.T) {
	key, id := testKey(t, 1)
	want := testAdvert(id)
	got, err := Open(seal(t, want, key), id, now)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, compare); diff != "" {
		t.Error(diff)
	}
}

func TestSealAllFaultsAtOnce(t *testing.T) {
	key, id := testKey(t, 1)
	_, other := testKey(t, 2)
	a := testAdvert(id)
	a.TEE, a.Region, a.NotAfter = "", "EU West", now
	a.RuntimeClasses = []string{"../x"}
	a.Addrs = append(a.Addrs, multiaddr.StringCast("/ip4/192.0.2.1/tcp/1/p2p/"+other.String()))
	a.Prices = []Price{{Resource: "", Unit: "\x1b[2J", PerUnitSecond: "1e9"}}
	a.Asset, a.Software, a.Platform = "U$D", strings.Repeat("x", 65), "\xff"
	_, err := Seal(a, key, now)
	st, ok := err.(*status.Error)
	if !ok || st.Code != status.InvalidArgument {
		t.Fatalf("got %v", err)
	}
	var fields []string
	for _, f := range st.Faults {
		fields = append(fields, f.Field)
	}
	want := []string{
		"not_after", "addrs[2]", "tee", "region", "runtime_classes[0]", "asset",
		"prices[0].resource", "prices[0].unit", "prices[0].per_unit_second", "software", "platform",
	}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Error(diff)
	}
}

func TestSealForeignKey(t *testing.T) {
	_, id := testKey(t, 1)
	other, _ := testKey(t, 2)
	if _, err := Seal(testAdvert(id), other, now); status.ReasonOf(err) != "advert.key" {
		t.Errorf("got %v", err)
	}
}

// sealRaw signs any bytes as an advert, or under other labels.
func sealRaw(t testing.TB, key crypto.PrivKey, rec record.Record) []byte {
	t.Helper()
	env, err := record.Seal(rec, key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := env.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type labelled struct {
	payload
	domain, codec string
}

func (l *labelled) Domain() string { return l.domain }

func (l *labelled) Codec() []byte { return []byte(l.codec) }

func TestOpenRefuses(t *testing.T) {
	key, id := testKey(t, 1)
	otherKey, other := testKey(t, 2)
	good := testAdvert(id)
	wire := func(change func(*discoverypb.Advert)) []byte {
		w := good.toWire()
		change(w)
		raw, err := proto.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		return sealRaw(t, key, &payload{raw})
	}
	raw, err := proto.Marshal(good.toWire())
	if err != nil {
		t.Fatal(err)
	}
	flip := seal(t, good, key)
	flip[len(flip)-1] ^= 1
	flipBody := bytes.Replace(seal(t, good, key), []byte("eu-west"), []byte("eu-east"), 1)
	for _, tt := range []struct {
		name     string
		envelope []byte
		from     peer.ID
		now      time.Time
		reason   string
	}{
		{"empty", nil, id, now, "advert.malformed"},
		{"garbage", []byte("garbage"), id, now, "advert.malformed"},
		{"too large", make([]byte, maxEnvelope+1), id, now, "advert.malformed"},
		{"signature", flip, id, now, "advert.signature"},
		{"changed", flipBody, id, now, "advert.signature"},
		{"truncated", seal(t, good, key)[:100], id, now, "advert.malformed"},
		{"of another peer, from him", seal(t, testAdvert(other), otherKey), id, now, "advert.foreign"},
		{"about another peer", sealRaw(t, otherKey, &payload{raw}), id, now, "advert.signer"},
		{"other domain", sealRaw(t, key, &labelled{payload{raw}, "libp2p-peer-record", payloadType}), id, now, "advert.signature"},
		{"other payload", sealRaw(t, key, &labelled{payload{raw}, envelopeDomain, "\x03\x01"}), id, now, "advert.malformed"},
		{"not protobuf", sealRaw(t, key, &payload{[]byte{0xff}}), id, now, "advert.malformed"},
		{"expired", seal(t, good, key), id, good.NotAfter, "advert.invalid"},
		{"valid for too long", seal(t, good, key), id, good.NotAfter.Add(-MaxValidity - time.Second), "advert.invalid"},
		{"no peer", wire(func(w *discoverypb.Advert) { w.PeerId = nil }), id, now, "advert.malformed"},
		{"no tee", wire(func(w *discoverypb.Advert) { w.Tee = "" }), id, now, "advert.invalid"},
		{"terminal escape", wire(func(w *discoverypb.Advert) { w.Software = "\x1b]0;x" }), id, now, "advert.invalid"},
		{"address", wire(func(w *discoverypb.Advert) { w.Addrs = [][]byte{{0xff, 0xff}} }), id, now, "advert.malformed"},
		{"long address", wire(func(w *discoverypb.Advert) { w.Addrs = [][]byte{make([]byte, 300)} }), id, now, "advert.malformed"},
		{"many addresses", wire(func(w *discoverypb.Advert) {
			for range 40 {
				w.Addrs = append(w.Addrs, good.Addrs[0].Bytes())
			}
		}), id, now, "advert.malformed"},
		{"many classes", wire(func(w *discoverypb.Advert) { w.RuntimeClasses = slicesOf("runc", 17) }), id, now, "advert.invalid"},
		{"year 292278994", wire(func(w *discoverypb.Advert) { w.NotAfter = 1<<63 - 1 }), id, now, "advert.invalid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Open(tt.envelope, tt.from, tt.now); status.ReasonOf(err) != tt.reason {
				t.Errorf("got %v, want reason %s", err, tt.reason)
			}
		})
	}
}

func slicesOf(s string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s
	}
	return out
}

func FuzzOpenAdvert(f *testing.F) {
	key, id := testKey(f, 1)
	good := seal(f, testAdvert(id), key)
	f.Add(good)
	f.Add(good[:50])
	f.Add([]byte{})
	other, _, err := crypto.GenerateSecp256k1Key(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealRaw(f, other, &payload{[]byte{0x0a, 0x01}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := Open(b, id, now)
		if err != nil {
			return
		}
		if a.Peer != id || a.validate(now) != nil {
			t.Errorf("opened %+v", a)
		}
		if !bytes.Equal(b, good) {
			// The signature covers the payload; the envelope around it may differ.
			if diff := cmp.Diff(testAdvert(id), a, compare); diff != "" {
				t.Errorf("an advert nobody signed: %s", diff)
			}
		}
	})
}

// FuzzAdvertPayload fuzzes what lies behind a valid signature: a stranger's
// key signs anything.
func FuzzAdvertPayload(f *testing.F) {
	key, id := testKey(f, 1)
	raw, err := proto.Marshal(testAdvert(id).toWire())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := Open(sealRaw(t, key, &payload{b}), id, now)
		if err != nil {
			return
		}
		again, err := Open(seal(t, a, key), id, now)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(a, again, compare); diff != "" {
			t.Error(diff)
		}
	})
}

var update = flag.Bool("update", false, "rewrite the golden file")

// TestGoldenAdvert fixes the bytes of an envelope: Ed25519 is deterministic.
func TestGoldenAdvert(t *testing.T) {
	key, id := testKey(t, 1)
	path := filepath.Join("testdata", "advert.hex")
	got := hex.EncodeToString(seal(t, testAdvert(id), key)) + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("a sealed advert has changed\n got %s\nwant %s", got, want)
	}
}
