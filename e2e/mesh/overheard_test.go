package mesh

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"apocryph/proto/podpb"
)

// The secrets of the app that is deployed to liars. None of them may travel but
// sealed to a key that good evidence binds.
const (
	secretEnv  = "canary-in-the-environment"
	secretFile = "canary-in-a-file"
	secretName = "canary-of-a-name"
)

// secretive is a deploy of an app with secrets.
func secretive(t *testing.T, img string) job {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, secretName), []byte(secretFile), 0o600))
	text := app("hello", img, "env: {KEY: "+secretEnv+"}", "volumes: [{name: s, mountPath: /s}]") +
		"volumes: [{name: s, type: secret, source: " + secretName + "}]\n"
	return job{manifest: text, dir: dir}
}

// provisions are the sealed requests that mallory was sent.
func (m *mallory) provisions() (out []*podpb.ProvisionRequest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, msg := range m.heard {
		if p, ok := msg.(*podpb.ProvisionRequest); ok {
			out = append(out, p)
		}
	}
	return out
}

// calls are the kinds of messages that mallory was sent, in order.
func (m *mallory) calls() (out []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, msg := range m.heard {
		out = append(out, string(msg.ProtoReflect().Descriptor().Name()))
	}
	return out
}

// learntNothing fails the test where mallory was sent a secret in the clear, or
// sealed to its key.
func (m *mallory) learntNothing() {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, msg := range m.heard {
		b, err := proto.Marshal(msg)
		must(m.t, err)
		for _, canary := range []string{secretEnv, secretFile, secretName} {
			if strings.Contains(string(b), canary) {
				m.t.Errorf("a %T has %q in the clear", msg, canary)
			}
		}
		p, ok := msg.(*podpb.ProvisionRequest)
		if !ok {
			continue
		}
		if _, _, err := m.hpke.Open(p.GetEnc(), p.GetCiphertext(), [32]byte(p.GetClaimsDigest()), [16]byte(p.GetRequestId())); err == nil {
			m.t.Error("mallory can open what it was sent")
		}
	}
}

// gotNothingFrom fails the test where the publisher sent a sealed order, gave
// anybody access to an image, or remembers an app.
func (m *mallory) gotNothingFrom(a *author) {
	m.t.Helper()
	m.learntNothing()
	if n := len(m.provisions()); n != 0 {
		m.t.Errorf("%d orders were sent", n)
	}
	grants, err := os.ReadDir(filepath.Join(a.cfg.Home, "content", "grants"))
	must(m.t, err)
	if len(grants) != 0 {
		m.t.Errorf("%d images are granted to somebody", len(grants))
	}
	if apps := a.apps(); len(apps) != 0 {
		m.t.Errorf("the publisher remembers %+v", apps)
	}
}
