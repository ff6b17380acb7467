package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"apocryph/attest"
	"apocryph/attest/policy"
)

var update = flag.Bool("update", false, "rewrite the expected texts in testdata")

// TestMain makes the test binary the program where a script calls it.
func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"publisher": main}) }

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata", UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error { return errors.Join(endpoints(env), policies(env), directAPI(env)) },
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "objects": objects},
	})
}

// endpoints gives scripts the recorded evidence, its NONCE and TIME, and the
// URLs of servers: one that replays the evidence, one that has none and one that
// sends elsewhere.
func endpoints(env *testscript.Env) error {
	from := filepath.Join("..", "..", "attest", "client", "testdata")
	files := map[string][]byte{}
	for _, name := range []string{"document.json", "receipt.json", "policy.yaml", "nonce", "time"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		if files[name] = b; filepath.Ext(name) != "" {
			if _, err := os.Stat(filepath.Join(env.WorkDir, name)); err == nil {
				continue // the script has its own
			}
			if err := os.WriteFile(filepath.Join(env.WorkDir, name), b, 0o600); err != nil {
				return err
			}
		}
	}
	// What was built is of another day.
	if err := os.CopyFS(filepath.Join(env.WorkDir, "built"), os.DirFS(filepath.Join(from, "built"))); err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(from, "built", "time"))
	if err != nil {
		return err
	}
	env.Setenv("BUILTTIME", string(b))
	env.Setenv("NONCE", string(files["nonce"]))
	env.Setenv("TIME", string(files["time"]))
	serve := func(name string, h http.HandlerFunc) string {
		s := httptest.NewServer(h)
		env.Defer(s.Close)
		env.Setenv(name, s.URL)
		return s.Listener.Addr().String()
	}
	env.Setenv("DIAL", serve("REPLAY", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(files["document.json"]) }))
	serve("NOTHING", http.NotFound)
	serve("ELSEWHERE", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://app.example"+attest.EndpointPath, http.StatusFound)
	})
	return nil
}

// policies gives scripts two versions of a policy that affirms the recorded
// evidence, seen3.yaml and seen9.yaml, and seen.key, whose public key is KEY.
func policies(env *testscript.Env) error {
	b, err := os.ReadFile(filepath.Join("..", "..", "attest", "client", "testdata", "policy.yaml"))
	if err != nil {
		return err
	}
	files := map[string][]byte{}
	for _, version := range []string{"3", "9"} {
		files["seen"+version+".yaml"] = bytes.Replace(b, []byte("version: 1\n"), []byte("version: "+version+"\nname: seen\n"), 1)
	}
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	if files["seen.key"], err = policy.MarshalKey(key); err != nil {
		return err
	}
	env.Setenv("KEY", policy.KeyText(key.Public().(ed25519.PublicKey)))
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// exits runs a command that has to end with one of some exit codes:
// exits CODE[,CODE]… COMMAND [ARG]…
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE[,CODE]… COMMAND [ARG]…")
	}
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if !slices.Contains(strings.Split(args[0], ","), strconv.Itoa(got)) {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// objects checks that standard output has one JSON object a line, each an
// event and only the last one the result, which matches: objects REGEXP
func objects(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: objects REGEXP")
	}
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile("stdout"), "\n"), "\n")
	for i, line := range lines {
		var o struct{ Event string }
		ts.Check(json.Unmarshal([]byte(line), &o))
		if o.Event == "" || (o.Event == "result") != (i == len(lines)-1) || !strings.HasPrefix(line, `{"event":`) {
			ts.Fatalf("line %d of %d is %s", i+1, len(lines), line)
		}
	}
	re, err := regexp.Compile(args[0])
	ts.Check(err)
	if last := lines[len(lines)-1]; !re.MatchString(last) {
		ts.Fatalf("the result is %s", last)
	}
}
