package peerapi

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"apocryph/manifest/offer"
	"apocryph/proto/podpb"
	"apocryph/proto/status"
	"apocryph/provider"
)

func refused(t *testing.T, err error, code status.Code, reason string) {
	t.Helper()
	if status.CodeOf(err) != code || status.ReasonOf(err) != reason {
		t.Fatalf("got %v (%v %s), want %v %s", err, status.CodeOf(err), status.ReasonOf(err), code, reason)
	}
}

func TestProvisionFromWire(t *testing.T) {
	whole := func() *podpb.ProvisionRequest {
		return &podpb.ProvisionRequest{
			RequestId: bytes.Repeat([]byte{1}, 16), ClaimsDigest: bytes.Repeat([]byte{2}, 32), Operation: podpb.Operation_OPERATION_UPDATE, Enc: []byte{3}, Ciphertext: []byte{4},
		}
	}
	got, err := provisionFromWire(whole())
	if err != nil {
		t.Fatal(err)
	}
	want := provider.ProvisionRequest{Operation: provider.Update, Enc: []byte{3}, Ciphertext: []byte{4}}
	copy(want.RequestID[:], bytes.Repeat([]byte{1}, 16))
	copy(want.ClaimsDigest[:], bytes.Repeat([]byte{2}, 32))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, c := range map[string]struct {
		spoil  func(*podpb.ProvisionRequest)
		faults int
	}{
		"short id":       {func(r *podpb.ProvisionRequest) { r.RequestId = r.RequestId[1:] }, 1},
		"long id":        {func(r *podpb.ProvisionRequest) { r.RequestId = append(r.RequestId, 0) }, 1},
		"short digest":   {func(r *podpb.ProvisionRequest) { r.ClaimsDigest = r.ClaimsDigest[:31] }, 1},
		"long digest":    {func(r *podpb.ProvisionRequest) { r.ClaimsDigest = append(r.ClaimsDigest, 0) }, 1},
		"no operation":   {func(r *podpb.ProvisionRequest) { r.Operation = 0 }, 1},
		"unknown":        {func(r *podpb.ProvisionRequest) { r.Operation = 4 }, 1},
		"wraps around":   {func(r *podpb.ProvisionRequest) { r.Operation = 257 }, 1},
		"negative":       {func(r *podpb.ProvisionRequest) { r.Operation = -255 }, 1},
		"nothing at all": {func(r *podpb.ProvisionRequest) { proto.Reset(r) }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			r := whole()
			c.spoil(r)
			_, err := provisionFromWire(r)
			refused(t, err, status.InvalidArgument, "provision.request")
			if n := len(status.Public(err).Faults); n != c.faults {
				t.Errorf("got %d faults, want %d: %v", n, c.faults, err)
			}
		})
	}
}

func sealed(t testing.TB, w *podpb.SealedProvision) []byte {
	t.Helper()
	b, err := proto.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOrderFromWire(t *testing.T) {
	got, err := orderFromWire(sealed(t, &podpb.SealedProvision{
		Manifest: []byte("m"), ImageKeys: []*podpb.ImageKey{{KeyId: "k1", Pkcs8: []byte("1")}, {KeyId: "k2", Pkcs8: []byte("2")}},
		Secrets: []*podpb.Secret{{Volume: "a", File: "x", Data: []byte("ax")}, {Volume: "b", File: "x", Data: []byte("bx")}, {Volume: "a", File: "..y"}},
		Policy:  []byte("p"), OfferId: "o", ReservationId: "r", Payment: &podpb.Payment{Scheme: "evm-channel", Chain: "eip155:1"}, ExpectedRevision: 7, PublisherPeer: []byte("peer"),
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := provider.Order{
		Manifest: []byte("m"), Keys: map[string][]byte{"k1": []byte("1"), "k2": []byte("2")},
		Secrets: map[string]map[string][]byte{"a": {"x": []byte("ax"), "..y": nil}, "b": {"x": []byte("bx")}},
		Policy:  []byte("p"), OfferID: "o", ReservationID: "r", Payment: offer.Payment{Scheme: "evm-channel", Chain: "eip155:1"}, ExpectedRevision: 7, PublisherPeer: []byte("peer"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// No payment is the scheme "none", as the specification says.
	if got, err = orderFromWire(nil); err != nil || got.Payment.Scheme != "none" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestOrdersThatAreNone(t *testing.T) {
	key := func(ids ...string) *podpb.SealedProvision {
		w := &podpb.SealedProvision{}
		for _, id := range ids {
			w.ImageKeys = append(w.ImageKeys, &podpb.ImageKey{KeyId: id, Pkcs8: []byte("CANARY")})
		}
		return w
	}
	file := func(names ...string) *podpb.SealedProvision {
		w := &podpb.SealedProvision{}
		for _, n := range names {
			w.Secrets = append(w.Secrets, &podpb.Secret{Volume: "v", File: n, Data: []byte("CANARY")})
		}
		return w
	}
	var keys, files []string
	for i := range 65 {
		keys = append(keys, fmt.Sprint(i))
	}
	for i := range 1025 {
		files = append(files, fmt.Sprint(i))
	}
	for name, w := range map[string]*podpb.SealedProvision{
		"key without a name": key(""), "key twice": key("k", "k"), "too many keys": key(keys...),
		"file without a name": file(""), "this directory": file("."), "parent": file(".."), "path": file("a/b"), "absolute": file("/etc/passwd"),
		"control character": file("a\nb"), "zero byte": file("a\x00"), "delete": file("\x7f"), "long": file(strings.Repeat("x", 256)), "file twice": file("f", "f"), "too many files": file(files...),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := orderFromWire(sealed(t, w))
			refused(t, err, status.InvalidArgument, "provision.sealed")
			if strings.Contains(fmt.Sprintf("%v %+v", err, err), "CANARY") {
				t.Errorf("shows a secret: %v", err)
			}
		})
	}
	for _, b := range []string{"\xff", "\x0a\x05abc", "\x0a\xff\xff\xff\xff\x0f"} {
		_, err := orderFromWire([]byte(b))
		refused(t, err, status.InvalidArgument, "provision.sealed")
		if d := status.Public(err).Detail; strings.Contains(d, "proto") {
			t.Errorf("the library's words are out: %s", d)
		}
	}
}

// FuzzOrder reads what was sealed; whoever sealed it is still a stranger.
func FuzzOrder(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(sealed(f, &podpb.SealedProvision{Manifest: []byte("m"), ImageKeys: []*podpb.ImageKey{{KeyId: "k"}}, Secrets: []*podpb.Secret{{Volume: "v", File: "f"}}}))
	f.Add(sealed(f, &podpb.SealedProvision{Secrets: []*podpb.Secret{{Volume: "v", File: "../f"}}, Payment: &podpb.Payment{Scheme: "none"}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := orderFromWire(b)
		if err != nil {
			if status.CodeOf(err) != status.InvalidArgument {
				t.Fatalf("got %v", err)
			}
			return
		}
		if len(o.Keys) > maxKeys {
			t.Fatalf("%d keys", len(o.Keys))
		}
		for _, files := range o.Secrets {
			for name := range files {
				if !plainName(name) {
					t.Fatalf("file %q", name)
				}
			}
		}
	})
}
