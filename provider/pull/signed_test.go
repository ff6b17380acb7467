package pull_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"apocryph/p2p/git/gittest"
	"apocryph/proto/status"
	"apocryph/provider/deploy"
	"apocryph/provider/pull"
)

// signer is an SSH key that signs commits as git does (PROTOCOL.sshsig).
type signer struct{ ssh.Signer }

func newSigner(t *testing.T) signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	s, err := ssh.NewSignerFromKey(key)
	must(t, err)
	return signer{s}
}

// line is the key as a namespace lists it.
func (s signer) line(name string) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey()))) + " " + name + "\n"
}

func (s signer) sign(payload []byte) string {
	sum := sha512.Sum512(payload)
	covered := ssh.Marshal(struct{ Namespace, Reserved, Hash, Digest string }{"git", "", "sha512", string(sum[:])})
	sig, err := s.Sign(rand.Reader, append([]byte("SSHSIG"), covered...))
	if err != nil {
		panic(err)
	}
	blob := ssh.Marshal(struct {
		Version                                       uint32
		Key, Namespace, Reserved, Hash, SignatureText string
	}{1, string(s.PublicKey().Marshal()), "git", "", "sha512", string(ssh.Marshal(*sig))})
	text := base64.StdEncoding.EncodeToString(append([]byte("SSHSIG"), blob...))
	var lines []string
	for len(text) > 70 {
		lines, text = append(lines, text[:70]), text[70:]
	}
	return "-----BEGIN SSH SIGNATURE-----\n" + strings.Join(append(lines, text), "\n") + "\n-----END SSH SIGNATURE-----\n"
}

// TestSignatures demands what a namespace demands: of the head, or of every commit
// since the last sync.
func TestSignatures(t *testing.T) {
	w := newWorld(t)
	r := w.server.Repo("acme/app")
	ada, eve := newSigner(t), newSigner(t)
	commit := func(text string, by *signer) {
		var opts []gittest.Option
		if by != nil {
			opts = append(opts, gittest.Signed(by.sign))
		}
		r.Commit("main", two("apps/shop/main.py", "print("+text+")\n"), opts...)
	}
	n := w.run()
	verify := func(mode string) {
		n.put("acme/app", below("apps"), func(c *pull.Config) { c.Verify = pull.Verify{Mode: mode, Keys: ada.line("ada@example.org")} })
	}
	accepted := func(name string) {
		t.Helper()
		d, err := n.sync("")
		if err != nil || d.Status != deploy.Succeeded {
			t.Fatalf("%s: %v, %+v", name, err, d.Failure)
		}
		if want := ssh.FingerprintSHA256(ada.PublicKey()); d.Source.Signer != want {
			t.Errorf("%s: signed by %q, want %q", name, d.Source.Signer, want)
		}
	}
	denied := func(name string) {
		t.Helper()
		_, err := n.sync("")
		refused(t, err, status.PermissionDenied, "sync.signature")
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	commit("1", nil)
	verify(pull.VerifyHead)
	denied("an unsigned head")
	commit("2", &eve)
	denied("a head of somebody else")
	commit("3", &ada)
	accepted("a signed head on unsigned commits")

	commit("4", nil)
	commit("5", &ada)
	verify(pull.VerifyStrict)
	denied("an unsigned commit in between")
	verify(pull.VerifyHead)
	accepted("the same, where the head counts")
	verify(pull.VerifyStrict)
	commit("6", &ada)
	commit("7", &ada)
	accepted("all signed")
}
