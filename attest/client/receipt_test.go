package client_test

import (
	"crypto/sha256"
	"slices"
	"strings"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/client"
	"apocryph/attest/policy"
	"apocryph/manifest"
)

// TestReceiptByKey judges a receipt by a key that was attested before.
func TestReceiptByKey(t *testing.T) {
	good := load(t)
	doc, err := good.verifier().VerifyDocument(client.Document{Body: good.document, Nonce: good.nonce})
	check(t, err)
	key, ok := client.KeyOf(doc.Result, doc.Verdict, good.policy, good.at)
	if !ok {
		t.Fatal("no key")
	}
	for _, p := range []*policy.Policy{nil, good.policy} {
		v := good.verifier()
		v.Policy = p
		r, err := v.VerifyReceipt(good.receipt, key)
		check(t, err)
		if !r.Verdict.Affirmed || r.Verdict.Level != attest.LevelSoft || r.Receipt.PodID == "" || !r.Verdict.ExpiresAt.Equal(r.Receipt.Issued) {
			t.Errorf("got %+v", r)
		}
		if !slices.ContainsFunc(r.Verdict.Warnings, func(w string) bool { return strings.HasPrefix(w, client.WarnPast) }) {
			t.Errorf("warnings %q", r.Verdict.Warnings)
		}
	}
	other := sha256.Sum256([]byte("another"))
	tests := []struct {
		name   string
		change func(*client.Verifier, *client.AttestedKey)
		code   string
	}{
		{"another key", func(_ *client.Verifier, k *client.AttestedKey) { k.Key = other[:] }, "ATT-114"},
		{"no key", func(_ *client.Verifier, k *client.AttestedKey) { k.Key = nil }, "ATT-114"},
		{"another provider", func(_ *client.Verifier, k *client.AttestedKey) { k.Provider = "12D3" }, "ATT-114"},
		{"another boot", func(_ *client.Verifier, k *client.AttestedKey) { k.BootEpoch = []byte{1} }, "ATT-114"},
		{"another policy", func(_ *client.Verifier, k *client.AttestedKey) { k.Policy[0] ^= 1 }, "ATT-160"},
		{"from the future", func(v *client.Verifier, _ *client.AttestedKey) {
			v.Now = func() time.Time { return good.at.Add(-time.Hour) }
		}, "ATT-114"},
		{"another manifest", func(v *client.Verifier, _ *client.AttestedKey) { v.Expect.Manifest = (*manifest.Digest)(&other) }, "ATT-110"},
		{"another image", func(v *client.Verifier, _ *client.AttestedKey) { v.Expect.Images = []string{"sha256:00"} }, "ATT-111"},
		{"another provider expected", func(v *client.Verifier, _ *client.AttestedKey) { v.Expect.Provider = "12D3" }, "ATT-022"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, k := good.verifier(), key
			tt.change(v, &k)
			r, err := v.VerifyReceipt(good.receipt, k)
			denied(t, r, err, tt.code, "")
		})
	}
}

// TestNoKeyOfDenied: a key that was not affirmed is none to remember.
func TestNoKeyOfDenied(t *testing.T) {
	good := load(t)
	v := good.verifier()
	v.Policy = nil
	r, err := v.VerifyDocument(client.Document{Body: good.document, Nonce: good.nonce})
	denied(t, r, err, "ATT-031", "")
	if k, ok := client.KeyOf(r.Result, r.Verdict, good.policy, good.at); ok || k.Key != nil {
		t.Errorf("got %+v", k)
	}
}
