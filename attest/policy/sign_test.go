package policy_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"

	"apocryph/attest/policy"
	"apocryph/proto/status"
)

func signer(b byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(fill(b, ed25519.SeedSize)) }

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

func TestSignature(t *testing.T) {
	key := signer(1)
	file := []byte(snpPolicy)
	sig, err := policy.Sign(file, key)
	if err != nil {
		t.Fatal(err)
	}
	if c := policy.CheckSignature(file, sig, public(key)); !c.OK || policy.Refusal(c) != nil {
		t.Fatalf("got %+v", c)
	}
	other, err := policy.Sign([]byte(softPolicy), key)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		file, sig []byte
		key       ed25519.PublicKey
		got       string
	}{
		"no signature":      {file, nil, public(key), "none"},
		"another key":       {file, sig, public(signer(2)), "another key"},
		"another file":      {append(bytes.Clone(file), '\n'), sig, public(key), "another file"},
		"another signature": {file, other, public(key), "another file"},
		"no file":           {nil, sig, public(key), "without a file"},
		"no key":            {file, sig, nil, "no key"},
		"short key":         {file, sig, public(key)[:31], "no key"},
		"no envelope":       {file, []byte("{}"), public(key), "no DSSE envelope"},
		"not json":          {file, []byte("x"), public(key), "no DSSE envelope"},
		"another type":      {file, bytes.Replace(sig, []byte("policy+yaml"), []byte("policy+json"), 1), public(key), "no DSSE envelope"},
		"unknown field":     {file, bytes.Replace(sig, []byte(`"keyid"`), []byte(`"key_id"`), 1), public(key), "no DSSE envelope"},
		"more behind":       {file, append(bytes.Clone(sig), "{}"...), public(key), "no DSSE envelope"},
		"no signatures":     {file, []byte(`{"payloadType":"application/vnd.apocryph.policy+yaml","payload":"` + base64.StdEncoding.EncodeToString(file) + `","signatures":[]}`), public(key), "another key"},
		"too large":         {file, append(bytes.Clone(sig), bytes.Repeat([]byte(" "), policy.MaxSignature)...), public(key), "no DSSE envelope"},
	} {
		t.Run(name, func(t *testing.T) {
			c := policy.CheckSignature(tt.file, tt.sig, tt.key)
			if c.OK || c.Code != policy.CodePolicySignature || !strings.Contains(c.Got, tt.got) {
				t.Errorf("got %+v", c)
			}
			if err := policy.Refusal(c); status.CodeOf(err) != status.Untrusted || status.ReasonOf(err) != policy.ReasonSignature {
				t.Errorf("got %v", err)
			}
		})
	}
	// Each bit of signature and payload counts.
	at := bytes.Index(sig, []byte(`"sig": "`)) + len(`"sig": "`)
	for i := range 80 {
		bad := bytes.Clone(sig)
		bad[at+i] ^= 1
		if policy.CheckSignature(file, bad, public(key)).OK {
			t.Errorf("byte %d does not count", i)
		}
	}
	if _, err := policy.Sign([]byte("version: 1"), key); status.ReasonOf(err) != policy.ReasonInvalid {
		t.Errorf("nonsense is signed: %v", err)
	}
	if _, err := policy.Sign(file, nil); status.ReasonOf(err) != policy.ReasonKey {
		t.Errorf("got %v", err)
	}
}

func TestVersions(t *testing.T) {
	p := parse(t, snpPolicy) // version 3
	for highest, ok := range map[int]bool{0: true, 2: true, 3: true, 4: false, 1 << 30: false} {
		c := p.CheckVersion(highest)
		if c.OK != ok || c.Code != policy.CodeRollback || c.Policy != "policy line 1: version" {
			t.Errorf("%d: got %+v", highest, c)
		}
		if err := policy.Refusal(c); (err == nil) != ok || !ok && (status.CodeOf(err) != status.Untrusted || status.ReasonOf(err) != policy.ReasonRollback) {
			t.Errorf("%d: got %v", highest, err)
		}
	}
	var none *policy.Policy
	if none.CheckVersion(0).OK {
		t.Error("no policy is new enough")
	}
}

func TestKeys(t *testing.T) {
	key := signer(1)
	text, err := policy.MarshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := policy.ParseKey(text); err != nil || !again.Equal(key) {
		t.Errorf("got %v", err)
	}
	for _, bad := range [][]byte{nil, []byte("x"), bytes.Replace(text, []byte("PRIVATE"), []byte("PUBLIC"), 2), text[:len(text)/2], []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")} {
		if _, err := policy.ParseKey(bad); status.ReasonOf(err) != policy.ReasonKey {
			t.Errorf("%q: got %v", bad, err)
		}
	}
	if again, err := policy.ParseKeyText(policy.KeyText(public(key))); err != nil || !again.Equal(public(key)) {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{"", "ed25519:", "ed25519:00", "rsa:" + hex64(1), hex64(1), "ed25519:" + hex64(1) + "0"} {
		if _, err := policy.ParseKeyText(bad); status.ReasonOf(err) != policy.ReasonKey {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func FuzzCheckSignature(f *testing.F) {
	key := signer(1)
	sig, err := policy.Sign([]byte(softPolicy), key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sig)
	f.Add([]byte("{}"))
	f.Add([]byte(`{"payloadType":"application/vnd.apocryph.policy+yaml","payload":"","signatures":[{}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if policy.CheckSignature([]byte(snpPolicy), b, public(key)).OK {
			t.Error("a file that was never signed passes")
		}
	})
}
