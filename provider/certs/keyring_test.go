package certs

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"
)

func TestKeyring(t *testing.T) {
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	k, err := New(func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	a, err := k.Certificate("a.example")
	if err != nil {
		t.Fatal(err)
	}
	b, err := k.Certificate("b.example")
	if err != nil {
		t.Fatal(err)
	}
	for host, c := range map[string][]byte{"a.example": a.Certificate[0], "b.example": b.Certificate[0]} {
		leaf := a.Leaf
		if host == "b.example" {
			leaf = b.Leaf
		}
		if !bytes.Equal(leaf.Raw, c) || leaf.VerifyHostname(host) != nil || leaf.VerifyHostname("c.example") == nil {
			t.Errorf("%s: the certificate is for %v", host, leaf.DNSNames)
		}
		if sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo); !bytes.Equal(sum[:], k.KeyDigest()) {
			t.Errorf("%s: another key", host)
		}
		if now.Before(leaf.NotBefore) || leaf.IsCA {
			t.Errorf("%s: got %+v", host, leaf)
		}
	}
	again, err := k.Certificate("a.example")
	if err != nil || again != a {
		t.Errorf("made again at once: %v", err)
	}
	now = now.Add(lifetime - renewBefore)
	again, err = k.Certificate("a.example")
	if err != nil || again == a || !again.Leaf.NotAfter.After(a.Leaf.NotAfter) {
		t.Errorf("not made again before its end: %v", err)
	}
	other, err := New(time.Now)
	if err != nil || bytes.Equal(other.KeyDigest(), k.KeyDigest()) {
		t.Errorf("the same key twice, %v", err)
	}
}

// TestCacheIsBounded whatever names clients invent.
func TestCacheIsBounded(t *testing.T) {
	k, err := New(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for n := range maxCached + 50 {
		if _, err := k.Certificate(fmt.Sprintf("h%d.example", n)); err != nil {
			t.Fatal(err)
		}
	}
	if len(k.made) != maxCached || len(k.order) != maxCached || k.made["h0.example"] != nil || k.made[fmt.Sprintf("h%d.example", maxCached)] == nil {
		t.Errorf("%d certificates, %d in order", len(k.made), len(k.order))
	}
}
