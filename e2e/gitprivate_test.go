package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"apocryph/e2e/harness"
	"apocryph/p2p/git/gittest"
)

// gitToken opens the private repositories of these tests.
const gitToken = "canary-of-a-git-token-1729"

// spies look for the token in what they are shown.
type spies struct {
	t        *testing.T
	canaries [][]byte

	mu   sync.Mutex
	seen int
}

func newSpies(t *testing.T) *spies {
	s := &spies{t: t}
	for _, text := range []string{gitToken, base64.StdEncoding.EncodeToString([]byte("git:" + gitToken)), fmt.Sprintf("%x", gitToken)} {
		s.canaries = append(s.canaries, []byte(text))
	}
	return s
}

func (s *spies) look(where string, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen += len(b)
	for _, c := range s.canaries {
		if bytes.Contains(b, c) {
			s.t.Errorf("the token is in %s", where)
		}
	}
}

// below looks at all files of a directory. Files come and go meanwhile.
func (s *spies) below(dir string) {
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			_ = pieces(path, func(b []byte) { s.look(path, b) })
		}
		return nil
	})
}

// processes looks at arguments and environments.
func (s *spies) processes() {
	for _, pid := range processes(s.t) {
		for _, name := range []string{"cmdline", "environ"} {
			if b, err := os.ReadFile("/proc/" + pid + "/" + name); err == nil {
				s.look("/proc/"+pid+"/"+name, b)
			}
		}
	}
}

// wire passes on what two peers say, and keeps it.
type wire struct {
	addr string
	mu   sync.Mutex
	said bytes.Buffer
}

func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.Write(b)
}

func (w *wire) heard() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.said.Bytes())
}

// tapped is a provider's address, behind a wire that is listened to.
func tapped(t *testing.T, p *harness.Provider) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(p.Addr(), "/") // "", ip4, ADDRESS, tcp, PORT, p2p, ID
	to := net.JoinHostPort(parts[2], parts[4])
	parts[4] = fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	w := &wire{addr: strings.Join(parts, "/")}
	var wg sync.WaitGroup
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(io.MultiWriter(to, w), from)
		_ = to.Close()
		_ = from.Close()
	}
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			wg.Go(func() { pass(out, in) })
			wg.Go(func() { pass(in, out) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return w
}

// privateHost is a git host with a private repository of a static site.
func privateHost(t *testing.T, w *harness.World) (*gittest.Server, *gittest.Repo, string) {
	t.Helper()
	host, certificate := gittest.NewTLS(t)
	w.Trust(certificate)
	r := host.Repo("acme/secret")
	r.Commit("main", map[string]string{"index.html": "<h1>from a private repository</h1>"})
	r.Private("", gitToken)
	return host, r, strings.TrimPrefix(host.URL(), "https://")
}

// TestPrivateFromGit deploys a private repository over libp2p. The token is in nothing
// that a provider keeps or says, nor on the wire, in an argument or an environment.
func TestPrivateFromGit(t *testing.T) {
	w := harness.New(t)
	host, r, name := privateHost(t, w)
	p := w.Provider("provider", "--storage-size", "1Gi", "--git-allow-host", name)
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	slug := "git+https://" + name + "/acme/secret.git"
	tap := tapped(t, p)
	deploy := func(more ...string) []string {
		return append([]string{"deploy", "--git", slug, "--provider", tap.addr, "--policy", pol, "--log-level", "debug"}, more...)
	}
	token, wrong := w.Write("token", gitToken+"\n"), w.Write("wrong", "someone:"+gitToken+"x\n")
	open := w.Write("open", gitToken)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	missing := []string{"not found, or private", "--git-token-file"}
	pub.Fails(10, missing, "plan", slug)
	pub.Fails(10, missing, deploy()...)
	pub.Fails(11, []string{"was not taken", "--git-token-file"}, deploy("--git-token-file", wrong)...)
	pub.Fails(10, []string{"mode is 0644"}, deploy("--git-token-file", open)...)
	pub.Fails(10, []string{"reading the token"}, deploy("--git-token-file", w.Path("none"))...)

	spy := newSpies(t)
	inside := filepath.Join("/proc", fmt.Sprint(p.PID()), "root", p.Dir)
	authorised := 0
	host.Before(func(kind string, _ http.ResponseWriter, req *http.Request) bool {
		if _, password, _ := req.BasicAuth(); password != gitToken || kind != gittest.Pack {
			return false
		}
		spy.mu.Lock()
		authorised++
		spy.mu.Unlock()
		// Git has it at this moment.
		spy.below(inside)
		spy.processes()
		return false
	})
	if got := pub.Must("plan", slug, "--git-token-file", token).Stdout; !strings.Contains(got, r.Head("main")) {
		t.Errorf("the plan:\n%s", got)
	}
	got := pub.Must(deploy("--git-token-file", token, "--name", "one")...)
	answers(t, p, got.Last(), "from a private repository")
	spy.look("what deploy says", []byte(got.Stdout+got.Stderr))

	stdin := pub.Cmd(deploy("--git-token-file", "-", "--name", "two")...)
	stdin.Stdin = strings.NewReader(gitToken + "\n")
	if out, err := stdin.CombinedOutput(); err != nil {
		t.Errorf("with the token on standard input: %v\n%s", err, out)
	}
	list := w.Write("repos.yaml", "- {slug: '"+slug+"', name: three}\n")
	up := []string{"up", "--file", list, "--provider", tap.addr, "--policy", pol}
	if table := pub.Fails(10, nil, up...).Stdout; !strings.Contains(table, "not found, or private") {
		t.Errorf("the table without a token:\n%s", table)
	}
	table := pub.Must(append(up, "--git-token-file", token)...).Stdout
	if !strings.Contains(table, "running") {
		t.Errorf("the table:\n%s", table)
	}

	for _, app := range []string{"one", "two", "three"} {
		spy.look("status", []byte(pub.Must("status", app, "--json").Stdout))
		spy.look("history", []byte(pub.Must("history", app, "--json").Stdout))
	}
	spy.below(inside)
	spy.below(pub.Home)
	spy.processes()
	spy.look("the provider's log", []byte(p.Log()))
	heard := tap.heard()
	spy.look("the wire", heard)
	if len(heard) < 16<<10 || spy.seen < 1<<20 || authorised < 6 {
		t.Errorf("%d bytes were heard, %d searched, and the host was asked %d times with the token", len(heard), spy.seen, authorised)
	}
	// The search itself can find something.
	if b, err := os.ReadFile(token); err != nil || !bytes.Contains(b, spy.canaries[0]) {
		t.Errorf("the canary is not even in its own file: %v", err)
	}
	for _, app := range []string{"one", "two", "three"} {
		pub.Must("delete", app)
	}
}

// TestPrivateAfterAKill: a provider that is killed while it fetches leaves no token. Its
// build ends with that for a reason, and the next deploy goes through.
func TestPrivateAfterAKill(t *testing.T) {
	w := harness.New(t)
	host, _, name := privateHost(t, w)
	p := w.Provider("provider", "--storage-size", "1Gi", "--git-allow-host", name)
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	killed := make(chan struct{})
	var once sync.Once
	host.Before(func(kind string, _ http.ResponseWriter, req *http.Request) bool {
		if _, password, _ := req.BasicAuth(); password == gitToken && kind == gittest.Pack {
			once.Do(func() {
				p.Kill()
				close(killed)
			})
		}
		return false
	})
	deploy := []string{
		"deploy", "--git", "git+https://" + name + "/acme/secret.git", "--provider", p.Addr(), "--policy", pol,
		"--git-token-file", w.Write("token", gitToken), "--name", "kept",
	}
	first := pub.Fails(17, []string{"try again"}, deploy...)
	<-killed
	spy := newSpies(t)
	spy.below(p.Dir)
	p.Start()
	var builds struct {
		Data []struct{ Status, Code, Error, Hint string }
	}
	harness.JSON(t, harness.Socket(p.Info.APISocket), "GET", "/api/v1/builds", &builds)
	if len(builds.Data) != 1 || builds.Data[0].Status != "failed" || builds.Data[0].Code != "build.credential_lost" || !strings.Contains(builds.Data[0].Hint, "deploy again") {
		t.Errorf("the builds are %+v", builds.Data)
	}
	second := pub.Must(deploy...)
	answers(t, p, second.Last(), "from a private repository")
	spy.below(filepath.Join("/proc", fmt.Sprint(p.PID()), "root", p.Dir))
	spy.look("the provider's log", []byte(p.Log()))
	spy.look("what deploy says", []byte(first.Stdout+first.Stderr+second.Stdout+second.Stderr))
	pub.Must("delete", "kept")
}
