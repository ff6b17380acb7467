package commit_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"apocryph/attest/commit"
	"apocryph/proto/status"
)

func recorded(t testing.TB, name string) (commit.Commit, []byte) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name+".commit"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := commit.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return c, raw
}

func list(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".keys"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func mustKeys(t testing.TB, texts ...string) commit.Keys {
	t.Helper()
	var all [][]byte
	for _, s := range texts {
		all = append(all, []byte(s))
	}
	k, err := commit.ParseKeys(all...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var names = []string{"ssh-ed25519", "ssh-ecdsa", "ssh-rsa", "pgp-rsa2048", "pgp-ed25519", "mergetag"}

func TestVerify(t *testing.T) {
	for _, name := range names {
		c, raw := recorded(t, name)
		keys := mustKeys(t, list(t, name))
		s, err := commit.Verify(c, keys)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if kind := strings.HasPrefix(s.Key, "SHA256:"); kind != (s.Kind == "ssh") || s.Name == "" {
			t.Errorf("%s: signed by %+v", name, s)
		}
		// Any other byte of what is signed breaks it.
		for _, change := range [][2]string{{"Ada <", "Adb <"}, {"tree 4", "tree 5"}, {"Cleo <", "Cleo2 <"}, {"> 17", "> 16"}, {"\n\n", "\n\n!"}} {
			at := strings.LastIndex(string(raw), change[0])
			if change[0] != "\n\n" {
				at = strings.Index(string(raw), change[0])
			}
			forged, err := commit.Parse([]byte(string(raw[:at]) + change[1] + string(raw[at+len(change[0]):])))
			if err != nil {
				t.Fatalf("%s: %v", change, err)
			}
			if s, err := commit.Verify(forged, keys); status.ReasonOf(err) != commit.ReasonSignature {
				t.Errorf("%s with %q: signer %+v, error %v", name, change, s, err)
			}
		}
		for _, other := range names {
			if other == name || list(t, other) == list(t, name) {
				continue
			}
			if _, err := commit.Verify(c, mustKeys(t, list(t, other))); status.ReasonOf(err) != commit.ReasonSigner {
				t.Errorf("%s with the keys of %s: %v", name, other, err)
			}
		}
		if _, err := commit.Verify(c, commit.Keys{}); status.ReasonOf(err) != commit.ReasonSigner {
			t.Errorf("%s without keys: %v", name, err)
		}
	}
	c, _ := recorded(t, "unsigned")
	if _, err := commit.Verify(c, mustKeys(t, list(t, "ssh-rsa"))); status.ReasonOf(err) != commit.ReasonUnsigned || status.CodeOf(err) != status.PermissionDenied {
		t.Errorf("unsigned: %v", err)
	}
}

// resign replaces the signature of the recorded ed25519 commit.
func resign(t *testing.T, armour string) commit.Commit {
	c, _ := recorded(t, "ssh-ed25519")
	c.Signature = armour
	return c
}

func TestRefusedSignatures(t *testing.T) {
	c, _ := recorded(t, "ssh-ed25519")
	body := strings.TrimSuffix(strings.TrimPrefix(c.Signature, "-----BEGIN SSH SIGNATURE-----\n"), "-----END SSH SIGNATURE-----\n")
	blob, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(body, "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	armour := func(b []byte) string {
		return "-----BEGIN SSH SIGNATURE-----\n" + base64.StdEncoding.EncodeToString(b) + "\n-----END SSH SIGNATURE-----\n"
	}
	replace := func(old, new string) string {
		if !bytes.Contains(blob, []byte(old)) {
			t.Fatalf("the signature has no %q", old)
		}
		return armour(bytes.Replace(blob, []byte(old), []byte(new), 1))
	}
	key, err := ssh.NewPublicKey(shortRSA(t))
	if err != nil {
		t.Fatal(err)
	}
	withKey := func(key []byte) string {
		var s struct {
			Version    uint32
			Key        []byte
			Space, Res string
			Hash       string
			Sig        []byte
		}
		if err := ssh.Unmarshal(blob[6:], &s); err != nil {
			t.Fatal(err)
		}
		s.Key = key
		return armour(append([]byte("SSHSIG"), ssh.Marshal(s)...))
	}
	pgp, _ := recorded(t, "pgp-ed25519")
	keys := mustKeys(t, list(t, "ssh-ed25519"), list(t, "pgp-ed25519"))
	if _, err := commit.Verify(resign(t, armour(blob)), keys); err != nil {
		t.Fatalf("the same signature: %v", err)
	}
	for name, text := range map[string]string{
		"nothing known":     "-----BEGIN SIGNED MESSAGE-----\n",
		"no end":            "-----BEGIN SSH SIGNATURE-----\n" + body,
		"no base64":         "-----BEGIN SSH SIGNATURE-----\n!\n-----END SSH SIGNATURE-----\n",
		"no magic":          armour([]byte("SSHSIX")),
		"magic alone":       armour([]byte("SSHSIG")),
		"cut":               armour(blob[:len(blob)-1]),
		"longer":            armour(append(bytes.Clone(blob), 0)),
		"version 2":         armour(append(append(bytes.Clone(blob[:9]), 2), blob[10:]...)),
		"namespace":         replace("\x03git", "\x03gjt"),
		"file's namespace":  replace("\x03git", "\x04file"),
		"hash":              replace("\x06sha512", "\x04sha1"),
		"other hash":        replace("\x06sha512", "\x06sha256"),
		"kind of signature": armour(bytes.Replace(blob, blob[len(blob)-83:len(blob)-64], append([]byte{0, 0, 0, 11}, "ssh-ed25518"...), 1)),
		"broken":            armour(append(bytes.Clone(blob[:len(blob)-1]), blob[len(blob)-1]^1)),
		"no key":            withKey([]byte("x")),
		"short RSA":         withKey(key.Marshal()),
		"PGP cut":           pgp.Signature[:len(pgp.Signature)/2],
		"PGP of another":    pgp.Signature,
		"PGP empty":         "-----BEGIN PGP SIGNATURE-----\n\n=twTO\n-----END PGP SIGNATURE-----\n",
		"PGP twice":         pgp.Signature + pgp.Signature,
	} {
		s, err := commit.Verify(resign(t, text), keys)
		if name == "PGP twice" {
			// The second block is beyond the armour, and the first is not of this commit.
			name = "PGP of another, twice"
		}
		if status.ReasonOf(err) != commit.ReasonSignature || s != (commit.Signer{}) {
			t.Errorf("%s: signer %+v, error %v", name, s, err)
		}
	}
}

func TestParseKeys(t *testing.T) {
	line := strings.TrimPrefix(list(t, "ssh-ed25519"), "cleo@example.org namespaces=\"git\" ")
	c, _ := recorded(t, "ssh-ed25519")
	at := c.Committer.Time.UTC()
	day := func(n int) string { return at.AddDate(0, 0, n).Format("20060102") }
	for _, tt := range []struct{ line, name, reason string }{
		{line, "", ""},
		{strings.TrimSpace(line) + " Cleo at work", "Cleo at work", ""},
		{"# comment\n\ncleo " + line, "cleo", ""},
		{`"cleo" namespaces="file,git" ` + line, "cleo", ""},
		{`cleo valid-after="` + day(-1) + `",valid-before="` + day(1) + `Z" ` + line, "cleo", ""},
		{"cleo valid-after=" + day(1) + " " + line, "", commit.ReasonSigner},
		{"cleo valid-before=" + day(-1) + "1200 " + line, "", commit.ReasonSigner},
		{"cleo valid-before=" + day(-1) + "\nlater valid-after=" + day(-2) + " " + line, "", commit.ReasonMalformed},
		{`cleo namespaces="file" ` + line, "", commit.ReasonMalformed},
		{"cleo valid-after=tomorrow " + line, "", commit.ReasonMalformed},
		{"cleo cert-authority " + line, "", commit.ReasonMalformed},
		{"ssh-ed25519-cert-v01@openssh.com AAAA", "", commit.ReasonMalformed},
		{"ssh-dss AAAA", "", commit.ReasonMalformed},
		{"ssh-ed25519", "", commit.ReasonMalformed},
		{"ssh-ed25519 AAAA", "", commit.ReasonMalformed},
		{"ssh-rsa " + strings.Fields(line)[1], "", commit.ReasonMalformed},
		{string(ssh.MarshalAuthorizedKey(must(ssh.NewPublicKey(shortRSA(t))))), "", commit.ReasonMalformed},
		{"-----BEGIN PGP PUBLIC KEY BLOCK-----\n", "", commit.ReasonMalformed},
		{"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n", "", commit.ReasonMalformed},
		{strings.Repeat("#", 300<<10), "", commit.ReasonMalformed},
		{strings.Repeat(line, 257), "", commit.ReasonMalformed},
	} {
		keys, err := commit.ParseKeys([]byte(tt.line))
		var s commit.Signer
		if err == nil {
			s, err = commit.Verify(c, keys)
		}
		if status.ReasonOf(err) != tt.reason || tt.name != "" && s.Name != tt.name {
			t.Errorf("%.80q: %+v, %v; want the reason %q and name %q", tt.line, s, err, tt.reason, tt.name)
		}
	}
	_, err := commit.ParseKeys([]byte("# x\nwrong\n"+line+"worse\n"), []byte("wrong"))
	e, ok := err.(*status.Error)
	if !ok || len(e.Faults) != 3 || e.Faults[0].Line != 2 || e.Faults[1].Line != 4 || e.Faults[2].Field != "keys[1]" {
		t.Errorf("faults: %+v", err)
	}
	if n := mustKeys(t, line, list(t, "pgp-rsa2048")).Len(); n != 2 {
		t.Errorf("got %d keys, want 2", n)
	}
}
