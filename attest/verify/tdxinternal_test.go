package verify

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestIntelRoot: the text and the fingerprint are two; changing one alone must
// show.
func TestIntelRoot(t *testing.T) {
	if got := intelRoot().Subject.CommonName; got != nameIntelRoot {
		t.Errorf("got %q", got)
	}
	if err := intelRoot().CheckSignatureFrom(intelRoot()); err != nil {
		t.Error(err)
	}
	other := "00" + intelRootFingerprint[2:]
	for _, c := range [][2]string{{intelRootPEM, other}, {"", intelRootFingerprint}, {"noise", intelRootFingerprint}} {
		if _, err := parsePinned(c[0], c[1]); err == nil {
			t.Errorf("accepted %.20q under %s", c[0], c[1])
		}
	}
	if (Roots{}).tdxRoot() != intelRoot() {
		t.Error("the zero roots trust something else")
	}
}

// TestRealLevels: what Intel said in 2026 of the real machine with TDX 1.5.
func TestRealLevels(t *testing.T) {
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", "tdx", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	raw := read("v5.quote")
	at := 48 + 6 + tdxBody15Size
	q, err := parseTDXQuote(raw[:at+4+int(binary.LittleEndian.Uint32(raw[at:]))])
	if err != nil {
		t.Fatal(err)
	}
	pck, r := verifyPCKChain(q.chain, intelRoot(), time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
	if r != nil {
		t.Fatalf("%+v", r)
	}
	var c tdxCollateral
	for name, part := range map[string]struct {
		name string
		into any
	}{"tcbinfo15.json": {"tcbInfo", &c.tcb}, "qeidentity.json": {"enclaveIdentity", &c.qe}} {
		statement, signature, err := parseSigned(read(name), part.name)
		if err != nil || len(signature) != p256Size {
			t.Fatal(err)
		}
		if err := json.Unmarshal(statement, part.into); err != nil {
			t.Fatal(err)
		}
	}
	if r := c.about(pck); r != nil {
		t.Errorf("%+v", r)
	}
	word, r := c.judge(q, &pck.sgx)
	if r != nil {
		t.Fatalf("%+v", r)
	}
	if word.String() != "UpToDate" {
		t.Errorf("got %v", word)
	}
	// With the microcode of the level below it is that one's.
	pck.sgx.svns = [16]byte{2, 2, 2, 2, 3, 1, 0, 5}
	if word, r = c.judge(q, &pck.sgx); r != nil || word.String() != "OutOfDate" || word.date.Year() != 2024 {
		t.Errorf("got %+v, %+v", word, r)
	}
}

// TestStatusWords: every word of Intel's survives being taken apart.
func TestStatusWords(t *testing.T) {
	for word, s := range tcbStatuses {
		if s.String() != word {
			t.Errorf("got %v, want %s", s, word)
		}
	}
}

// TestSGXExtension: fields that are missing, twice, or of another size.
func TestSGXExtension(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "tdx", "v4.quote"))
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(raw, []byte("-----BEGIN"))
	end := bytes.LastIndex(raw, []byte("-----END CERTIFICATE-----\n")) + len("-----END CERTIFICATE-----\n")
	ders, err := parsePCKChain(raw[at:end])
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := parseCertificate(ders[0])
	if err != nil {
		t.Fatal(err)
	}
	x, err := parseSGXExtension(leaf)
	if err != nil {
		t.Fatal(err)
	}
	if x.fmspc != [6]byte{0x50, 0x80, 0x6f} || x.pceSVN != 11 || x.svns != [16]byte{3, 3, 2, 2, 2, 1, 0, 2} || x.ppid[0] != 0x08 || x.pceID != [2]byte{} {
		t.Errorf("got %+v", x)
	}
	var der *[]byte
	for i, e := range leaf.Extensions {
		if e.Id.Equal(oidSGX()) {
			der = &leaf.Extensions[i].Value
		}
	}
	whole := bytes.Clone(*der)
	oid := func(last ...byte) []byte {
		return append([]byte{0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01}, last...)
	}
	for _, c := range []struct {
		name     string
		from, to []byte
	}{
		{"no PPID", oid(1, 0x04), oid(9, 0x04)},
		{"no TCB", oid(2, 0x30), oid(9, 0x30)},
		{"no FMSPC", oid(4, 0x04), oid(9, 0x04)},
		{"FMSPC twice", oid(1, 0x04), oid(4, 0x04)},
		{"PPID twice", oid(6, 0x04), oid(1, 0x04)},
		{"no third number", oid(2, 3, 2), oid(2, 99, 2)},
		{"a number twice", oid(2, 3, 2), oid(2, 4, 2)},
		{"a negative number", oid(2, 3, 2, 1, 2), oid(2, 3, 2, 1, 0xff)},
		{"no PCE", oid(2, 17, 2), oid(2, 98, 2)},
		{"a number of another type", oid(2, 3, 2), oid(2, 3, 4)},
		{"noise", whole[:4], []byte{0x30, 0x80, 1, 2}},
	} {
		*der = bytes.Replace(whole, c.from, c.to, 1)
		if bytes.Equal(*der, whole) {
			t.Fatalf("%s: nothing changed", c.name)
		}
		if x, err := parseSGXExtension(leaf); err == nil {
			t.Errorf("%s: got %+v", c.name, x)
		}
	}
	*der = append(bytes.Clone(whole), 0)
	if _, err := parseSGXExtension(leaf); err == nil {
		t.Error("a byte after the extension was accepted")
	}
	leaf.Extensions = nil
	if _, err := parseSGXExtension(leaf); err == nil {
		t.Error("no extension was accepted")
	}
}
