package dsse

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"
)

// key is the same in every run, so that a failure can be repeated.
var key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

func public() ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

func sealed(t testing.TB) string {
	t.Helper()
	b, err := Seal(InToto, []byte("hello <world>"), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestPreAuth is the example of DSSE's specification, with our type.
func TestPreAuth(t *testing.T) {
	if got, want := string(preAuth(InToto, []byte("hello world"))), "DSSEv1 28 application/vnd.in-toto+json 11 hello world"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParse(t *testing.T) {
	good := sealed(t)
	spread := strings.NewReplacer(`{`, "{\n  ", `,`, ",\n\t", `":`, `" : `).Replace(good)
	for name, text := range map[string]string{"as sealed": good, "white space": spread, "a line": good + "\n"} {
		e, err := Parse(InToto, []byte(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if string(e.Payload) != "hello <world>" || e.KeyID != KeyID(public()) || !e.By(public()) {
			t.Errorf("%s: got %+v", name, e)
		}
		other := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)
		if e.By(other) || e.By(nil) {
			t.Errorf("%s: another key signed it", name)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := sealed(t)
	edit := func(old, with string) string {
		t.Helper()
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in %s", old, good)
		}
		return strings.Replace(good, old, with, 1)
	}
	for name, text := range map[string]string{
		"nothing":            "",
		"a text":             `"x"`,
		"another type":       edit("in-toto", "in-tato"),
		"no signature":       `{"payloadType":"application/vnd.in-toto+json","payload":"","signatures":[]}`,
		"two signatures":     edit(`"signatures":[`, `"signatures":[{"keyid":"","sig":""},`),
		"two envelopes":      good + good,
		"a name more":        edit(`{"payloadType"`, `{"x":1,"payloadType"`),
		"a name twice":       edit(`"payload":"`, `"payload":"","payload":"`),
		"another case":       edit(`"keyid"`, `"keyId"`),
		"escapes":            edit(`application`, `\u0061pplication`),
		"payload":            edit(`"payload":"`, `"payload":"!`),
		"signature":          edit(`"sig":"`, `"sig":"!`),
		"line break":         edit(`"payload":"aGVs`, `"payload":"aGVs\n`),
		"line break in sig":  edit(`=="}`, `=\n="}`),
		"base64 without end": edit(`=="`, `"`),
	} {
		if e, err := Parse(InToto, []byte(text)); err == nil {
			t.Errorf("%s: got %+v", name, e)
		}
	}
}

// An envelope is good with one of its bits in the one place that it had.
func TestEveryBit(t *testing.T) {
	good := sealed(t)
	for i := range len(good) * 8 {
		b := []byte(good)
		b[i/8] ^= 1 << (i % 8)
		if e, err := Parse(InToto, b); err == nil && e.By(public()) {
			t.Errorf("bit %d is flipped, and it is still signed", i)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sealed(f)))
	f.Add([]byte(`{"payloadType":"application/vnd.in-toto+json","payload":"","signatures":[{"keyid":"","sig":""}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Parse(InToto, b)
		if err == nil && e.By(public()) && string(e.Payload) != "hello <world>" {
			t.Fatalf("%q is signed", e.Payload)
		}
	})
}
