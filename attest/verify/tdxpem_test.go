package verify

import (
	"bytes"
	"encoding/pem"
	"testing"
)

// TestPCKChainForm: the decoder would take these too, and nothing signs them.
func TestPCKChainForm(t *testing.T) {
	var text []byte
	for i := range 3 {
		// 49 bytes end in "==", before which four bits of a digit say nothing.
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: bytes.Repeat([]byte{byte(i)}, 49)})...)
	}
	for name, good := range map[string][]byte{"as it is": text, "with a NUL": append(bytes.Clone(text), 0), "without the last line feed": text[:len(text)-1]} {
		if ders, err := parsePCKChain(good); err != nil || len(ders) != 3 {
			t.Errorf("%s: got %d, %v", name, len(ders), err)
		}
	}
	swap := func(from, to string) []byte { return bytes.Replace(text, []byte(from), []byte(to), 1) }
	for name, bad := range map[string][]byte{
		"bits of a last digit": swap("A==", "B=="), "another line feed": swap("\n", "\r\n"), "an empty line": swap("\n-----END", "\n\n-----END"),
		"a longer line": swap("A\nA", "AA"), "a space": swap("\n", " \n"), "an empty line between": swap("-----\n-----", "-----\n\n-----"),
	} {
		if bytes.Equal(bad, text) {
			t.Fatalf("%s: nothing changed", name)
		}
		if _, err := parsePCKChain(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
