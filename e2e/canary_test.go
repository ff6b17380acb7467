package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"apocryph/e2e/harness"
)

// pkcs8P256 begins every PKCS #8 private key on P-256 (RFC 5208, RFC 5915).
const pkcs8P256 = "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420"

// TestCanaries: no plaintext of the image, of a secret or of a value of the
// environment, and no image key, is in a content store, a database, an argument
// list, an environment or a log of the provider. [TestStorageAtRest] looks at
// what pods have on the disk.
func TestCanaries(t *testing.T) {
	w := harness.New(t)
	p := w.Provider("provider")
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	const envCanary, secretCanary = "canary-in-the-environment-4711", "canary-in-a-secret-0815"
	w.Write("token", secretCanary)
	file := w.Write("app.yaml", app("mine", w.Image(0, 1), "env: {GREETING: "+envCanary+"}", "health: {http: /}",
		"volumes: [{name: secrets, mountPath: /run/secrets}]")+"volumes: [{name: secrets, type: secret, source: token}]\n")
	address := pub.Must("deploy", file, "--provider", p.Addr(), "--policy", pol, "--log-level", "debug").Last()
	answers(t, p, address, envCanary)

	key, err := hex.DecodeString(pkcs8P256)
	if err != nil {
		t.Fatal(err)
	}
	// The image's own text, from the program in it.
	canaries := map[string][]byte{
		"environment": []byte(envCanary), "secret": []byte(secretCanary), "image": []byte("/run/secrets/token"),
		"key": key, "key in base64": []byte(base64.StdEncoding.EncodeToString(key)[:40]), "key in PEM": []byte("BEGIN PRIVATE KEY"),
		"environment in base64": []byte(base64.StdEncoding.EncodeToString([]byte(envCanary))[:30]),
	}
	seen := 0
	search := func(where string, b []byte) {
		seen += len(b)
		for what, c := range canaries {
			if bytes.Contains(b, c) {
				t.Errorf("the canary of the %s is in %s", what, where)
			}
		}
	}
	places := []string{pub.Home, filepath.Join(p.Dir, "content")}
	for _, name := range []string{"state.db", "state.db-wal", "provider.json"} {
		places = append(places, filepath.Join(p.Dir, name))
	}
	for _, place := range places {
		err := filepath.WalkDir(place, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			search(path, b)
			return err
		})
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	search("the provider's log", []byte(p.Log()))
	for _, pid := range processes(t) {
		exe, err := os.Readlink("/proc/" + pid + "/exe")
		if err != nil || !strings.HasSuffix(exe, "/provider") {
			continue
		}
		for _, name := range []string{"cmdline", "environ"} {
			b, err := os.ReadFile("/proc/" + pid + "/" + name)
			if err == nil {
				search("/proc/"+pid+"/"+name, b)
			}
		}
	}
	if seen < 1<<20 {
		t.Errorf("only %d bytes were searched", seen)
	}
	// The search itself can find something: the running app has its environment.
	var found bool
	for _, pid := range processes(t) {
		b, err := os.ReadFile("/proc/" + pid + "/environ")
		found = found || err == nil && bytes.Contains(b, []byte(envCanary))
	}
	if !found {
		t.Error("the canary is not even in the app's own process")
	}
}

func processes(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		all[i] = filepath.Base(all[i])
	}
	return all
}
