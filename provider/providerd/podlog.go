package providerd

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"apocryph/attest/device/tpm"
	"apocryph/attest/device/tsm"
	"apocryph/manifest"
	"apocryph/provider"
	"apocryph/provider/measure"
	"apocryph/provider/vault"
)

// logKeyInfo keeps the pod log's key apart from the store's.
const logKeyInfo = "apocryph/podlog/1"

// logKey derives the key of the pod log's files from the data key.
func logKey(dataKey []byte) ([]byte, error) {
	return hkdf.Expand(sha256.New, dataKey, logKeyInfo, measure.KeySize)
}

// registerOf is the register of a device for the pod log; nil where it has none,
// and the log's head is in the claims alone.
func registerOf(d provider.Device) provider.Register {
	switch d := d.(type) {
	case *bound:
		if r := registerOf(d.Device); r != nil {
			return r // a TD's own, which no hypervisor extends
		}
		return d.tpm.Register()
	case *tpm.Device:
		return d.Register()
	case *tsm.Device:
		if r, ok := d.Register(); ok {
			return r
		}
	}
	return nil
}

// openLog opens the pod log of this boot.
func (n *Node) openLog(ctx context.Context, d provider.Device, epoch, key []byte) (*measure.Log, error) {
	return measure.Open(ctx, measure.Config{
		Dir: filepath.Join(n.set.DataDir, "podlog"), Key: key, Register: registerOf(d), Epoch: epoch, Logger: n.log,
	})
}

// setup is what the pod log says of this provider. Parts are what decides how
// pods are treated; addresses and limits of the machine are not among them.
func (n *Node) setup(identity string, d provider.Device, kind vault.Kind) (provider.Setup, error) {
	s := provider.Setup{Provider: identity, Storage: string(kind)}
	path := n.set.Binary
	if path == "" {
		var err error
		if path, err = os.Executable(); err != nil {
			return s, fmt.Errorf("finding the running program: %w", err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return s, fmt.Errorf("reading the running program: %w", err)
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return s, fmt.Errorf("reading the running program: %w", err)
	}
	s.Binary = manifest.Digest(h.Sum(nil))
	settings, err := json.Marshal(map[string]any{
		"tee": d.Type(), "domain": n.set.Domain, "custom_hosts": n.set.CustomHosts, "api": n.set.API, "runtime_classes": runtimeClasses,
	})
	if err != nil {
		return s, err
	}
	s.Parts = []provider.SetupPart{{Name: "settings", Effective: manifest.DigestOf(settings)}}
	for _, file := range []struct{ name, path string }{{"policy", n.set.PolicyFile}, {"prices", n.set.PricesFile}} {
		if file.path == "" {
			continue
		}
		b, err := os.ReadFile(file.path)
		if err != nil {
			return s, fmt.Errorf("reading the %s file: %w", file.name, err)
		}
		s.Parts = append(s.Parts, provider.SetupPart{Name: file.name, Effective: manifest.DigestOf(b)})
	}
	// The operator's API sees pods, and never their secrets.
	if len(n.set.API) > 0 {
		s.AccessPaths = append(s.AccessPaths, "operator-api")
	}
	return s, nil
}
