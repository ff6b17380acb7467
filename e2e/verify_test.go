package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/policy"
	"apocryph/e2e/harness"
)

// TestVerify is the end user's side: the publisher's verdict on the provider, a
// user's on the URL, and another machine's on what curl saved are the same.
func TestVerify(t *testing.T) {
	t.Run("soft", func(t *testing.T) { verifyAs(t, "--tee", "soft") })
	t.Run("tpm2", func(t *testing.T) {
		verifyAs(t, "--tee", "tpm2", "--tpm", "unix:"+attesttest.SWTPM(t).Socket)
	})
	t.Run("composite", func(t *testing.T) {
		verifyAs(t, "--tee", "soft", "--tpm", "unix:"+attesttest.SWTPM(t).Socket)
	})
}

func verifyAs(t *testing.T, tee ...string) {
	w := harness.New(t)
	p := w.Provider("provider", append([]string{"--ingress-tls", "127.0.0.1:0"}, tee...)...)
	pub, user := w.Publisher("publisher"), w.Publisher("user")
	pol := pub.Policy(p)
	deployed := pub.Must("deploy", w.Write("app.yaml", app("seen", w.Image(0, 1))), "--provider", p.Addr(), "--policy", pol, "--json").Object(t)
	u, err := url.Parse(deployed["url"].(string))
	if err != nil {
		t.Fatal(err)
	}
	if u.Scheme != "https" {
		t.Fatalf("the app's url is %s", u)
	}
	dial := p.Info.IngressTLS
	manifest := deployed["manifest_digest"].(string)
	attested := pub.Must("attest", p.Addr(), "--policy", pol, "--json").Object(t)

	online := user.Must("verify", u.String(), "--dial", dial, "--policy", pol, "--manifest", manifest, "--json").Object(t)
	sameVerdict(t, "a user's", attested, online)
	running := online["running"].(map[string]any)
	if running["manifest_digest"] != manifest || running["pod_id"] != deployed["pod_id"] {
		t.Errorf("what runs is %v", running)
	}

	// What curl saves, and another machine verifies. The user's has seen the TPM.
	file, nonce := w.Path("evidence.json"), make([]byte, attest.NonceSize)
	if _, err := rand.Read(nonce); err != nil {
		t.Fatal(err)
	}
	curl := func(to, path string, more ...string) error {
		args := append([]string{"-sSfk", "--connect-to", "::" + dial, "-o", to, u.Scheme + "://" + u.Host + path}, more...)
		out, err := exec.CommandContext(t.Context(), "curl", args...).CombinedOutput()
		if err != nil {
			t.Logf("curl: %s", out)
		}
		return err
	}
	if err := curl(file, attest.EndpointPath+"?nonce="+hex.EncodeToString(nonce)); err != nil {
		t.Fatal(err)
	}
	offline := user.Must("verify", file, "--offline", "--nonce", hex.EncodeToString(nonce), "--policy", pol, "--json").Object(t)
	sameVerdict(t, "a file's", attested, offline)
	if err := curl(w.Path("page"), "/", "--pinnedpubkey", running["tls_key"].(string)); err != nil {
		t.Errorf("the attested key is not that of the app: %v", err)
	}
	if err := curl(w.Path("page"), "/", "--pinnedpubkey", "sha256//"+strings.Repeat("A", 43)+"="); err == nil {
		t.Error("curl pins nothing")
	}
	user.Fails(12, []string{"ATT-020"}, "verify", file, "--offline", "--nonce", strings.Repeat("1", 64), "--policy", pol)
	user.Fails(12, []string{"ATT-110"}, "verify", u.String(), "--dial", dial, "--policy", pol, "--manifest", "sha256:"+strings.Repeat("0", 64))

	// The receipt alone, by a key that was attested.
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := attest.DecodeEndpoint(b)
	if err != nil {
		t.Fatal(err)
	}
	receipt := w.Write("receipt.json", string(doc.Receipt))
	for _, who := range []*harness.Publisher{pub, user} {
		if got := who.Must("verify", receipt, "--policy", pol).Stdout; !strings.Contains(got, manifest) {
			t.Errorf("the receipt says %s", got)
		}
	}
	w.Publisher("stranger").Fails(12, []string{"hint:"}, "verify", receipt, "--policy", pol)

	// A newer policy was used for the app's URL: the older one counts no more, and
	// attest remembers the same.
	newer := w.Write("newer.yaml", versioned(t, pol, 2))
	older := w.Write("older.yaml", versioned(t, pol, 1))
	user.Must("verify", u.String(), "--dial", dial, "--policy", newer)
	user.Fails(12, []string{"ATT-161"}, "verify", u.String(), "--dial", dial, "--policy", older)
	user.Fails(12, []string{"ATT-161"}, "attest", p.Addr(), "--policy", older)
	key := user.Must("policy", "keygen", "-o", w.Path("policy.key")).Last()
	user.Fails(12, []string{"ATT-162"}, "verify", u.String(), "--dial", dial, "--policy", newer, "--policy-key", key)
	user.Must("policy", "sign", newer, "--key", w.Path("policy.key"))
	user.Must("verify", u.String(), "--dial", dial, "--policy", newer, "--policy-key", key)
}

// TestVerifyPinned: a policy that names attestation keys affirms the machine
// behind a URL and a file without a root for its endorsement key, and no other.
func TestVerifyPinned(t *testing.T) {
	w := harness.New(t)
	p := w.Provider("provider", "--ingress-tls", "127.0.0.1:0", "--tee", "tpm2", "--tpm", "unix:"+attesttest.SWTPM(t).Socket)
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	address := pub.Must("deploy", w.Write("app.yaml", app("seen", w.Image(0, 1))), "--provider", p.Addr(), "--policy", pol).Last()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	file := w.Path("evidence.json")
	nonce := strings.Repeat("ab", attest.NonceSize)
	out, err := exec.CommandContext(t.Context(), "curl", "-sSfk", "--connect-to", "::"+p.Info.IngressTLS, "-o", file,
		"https://"+u.Host+attest.EndpointPath+"?nonce="+nonce).CombinedOutput()
	if err != nil {
		t.Fatalf("curl: %v: %s", err, out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := attest.DecodeEndpoint(b)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := attest.DecodeClaims(doc.Claims)
	if err != nil {
		t.Fatal(err)
	}
	b, err = os.ReadFile(pol)
	if err != nil {
		t.Fatal(err)
	}
	full, err := policy.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	pinning := func(name []byte) string {
		full.Trust.EKRoots, full.Reference[0].EK, full.Reference[0].AKs = nil, nil, [][]byte{name}
		return w.Write(fmt.Sprintf("pinned-%x.yaml", name[:4]), string(full.Marshal()))
	}
	mine := pinning(claims.TPMAKName)
	other := bytes.Clone(claims.TPMAKName)
	other[2] ^= 1
	others := pinning(other)
	// Nobody here has seen the TPM.
	for i, what := range [][]string{
		{"verify", address, "--dial", p.Info.IngressTLS},
		{"verify", file, "--offline", "--nonce", nonce},
	} {
		user := w.Publisher(fmt.Sprintf("user%d", i))
		got := user.Must(append(what, "--policy", mine, "--json")...).Object(t)
		if got["affirmed"] != true || got["level"] != "tpm2-measured-boot" {
			t.Errorf("%v: got %v", what, got)
		}
		user.Fails(12, []string{"ATT-"}, append(what, "--policy", others)...)
	}
}

// versioned is a policy's text with a name, and another version.
func versioned(t *testing.T, path string, version int) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), "version: 1\n", fmt.Sprintf("version: %d\nname: users\n", version), 1)
	if text == string(b) {
		t.Fatalf("%s has no version 1", path)
	}
	return text
}

// sameVerdict compares what is proved, not the warnings of what a file or a
// connection cannot show.
func sameVerdict(t *testing.T, whose string, want, got map[string]any) {
	t.Helper()
	for _, field := range []string{"provider", "affirmed", "level", "platform"} {
		if want[field] == nil || want[field] != got[field] {
			t.Errorf("%s %s is %v, attest's %v", whose, field, got[field], want[field])
		}
	}
}
