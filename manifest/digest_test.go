package manifest

import (
	"strings"
	"testing"
)

func TestParseDigest(t *testing.T) {
	want := DigestOf([]byte("x"))
	if got, err := ParseDigest(want.String()); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	hex := strings.TrimPrefix(want.String(), "sha256:")
	for _, s := range []string{
		"", "sha256:", hex, "sha512:" + hex, "sha256:" + hex[1:], "sha256:" + hex + "00", "sha256:" + strings.ToUpper(hex),
		"sha256:" + strings.Repeat("g", 64), " " + want.String(), want.String() + "\n",
	} {
		if got, err := ParseDigest(s); err == nil || got != (Digest{}) {
			t.Errorf("%q: got %v", s, got)
		}
	}
}
