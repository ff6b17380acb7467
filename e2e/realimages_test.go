package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"apocryph/e2e/harness"
)

// debian assembles an image from Debian's packages, or finds it where an
// earlier run put it, and returns its layout.
func debian(t *testing.T, name string) string {
	t.Helper()
	dir, err := filepath.Abs("../bin/debian")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "debian/build.sh", name, dir).CombinedOutput(); err != nil {
		t.Fatalf("assembling %s: %v\n%s", name, err, out)
	}
	return filepath.Join(dir, name)
}

// TestNginx runs Debian's nginx with Debian's configuration: root of its
// container opens the port 80 and its logs, and workers are somebody else.
func TestNginx(t *testing.T) {
	w := harness.New(t)
	image := debian(t, "nginx")
	p := w.Provider("provider", "--allow-host", "*.example.org")
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	w.Write("conf/site.conf", "server { listen 8080; location / { default_type text/plain; return 200 \"configured by a secret\\n\"; } location /lost { root /nowhere; } }\n")
	file := w.Write("app.yaml", `name: site
containers:
  - image: oci:`+image+`
    ports: [80/http, {targetPort: 8080, protocol: http, host: other.example.org}]
    resources: {cpu: 500m, memory: 64Mi, pids: 32}
    health: {http: 80/}
    volumes: [{path: /etc/nginx/conf.d, type: secret, source: conf/}]
`)
	address := pub.Must("deploy", file, "--provider", p.Addr(), "--policy", pol).Last()
	curl := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "curl", append([]string{"-sS", "--max-time", "10", "--noproxy", "*"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("curl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	if got := curl("-i", address); !strings.HasPrefix(got, "HTTP/1.1 200") || !strings.Contains(got, "Server: nginx") || !strings.Contains(got, "<h1>Welcome to nginx!</h1>") {
		t.Errorf("the default page:\n%s", got)
	}
	if got := curl("-o", "/dev/null", "-w", "%{http_code} %{size_download}", "-r", "0-99", address); got != "206 100" {
		t.Errorf("a range of the page: %s", got)
	}
	if got := curl("-H", "Host: other.example.org", "http://"+p.Info.Ingress+"/"); got != "configured by a secret\n" {
		t.Errorf("the site of the secret: %q", got)
	}
	if master, workers := nginxUsers(t); len(workers) == 0 || master == 0 || slices.ContainsFunc(workers, func(uid int) bool { return uid != master+33 }) {
		t.Errorf("nginx's master is user %d and its workers are %v of the host: want one that is not root, and www-data of it", master, workers)
	}
	curl(address + "nothing-here")
	curl("-H", "Host: other.example.org", "http://"+p.Info.Ingress+"/lost")
	harness.Eventually(t, "both of nginx's logs are the pod's", func() bool {
		r := pub.Must("logs", "site")
		log := r.Stdout + r.Stderr
		return strings.Contains(log, `"GET /nothing-here HTTP/1.1" 404`) && strings.Contains(log, "[error]")
	})
}

// nginxUsers are the host's user ids of the processes of the nginx that runs.
func nginxUsers(t *testing.T) (master int, workers []int) {
	t.Helper()
	for _, pid := range processes(t) {
		title, err := os.ReadFile("/proc/" + pid + "/cmdline")
		if err != nil || !strings.HasPrefix(string(title), "nginx: ") {
			continue
		}
		st, err := os.Stat("/proc/" + pid)
		if err != nil {
			continue
		}
		uid := int(st.Sys().(*syscall.Stat_t).Uid)
		if strings.HasPrefix(string(title), "nginx: worker") {
			workers = append(workers, uid)
		} else {
			master = uid
		}
	}
	return master, workers
}

// TestRedis keeps data in Debian's redis: a TCP port, a password from a secret,
// and a volume that outlives revisions and the provider's process, but not the app.
func TestRedis(t *testing.T) {
	w := harness.New(t)
	image := debian(t, "redis")
	p := w.Provider("provider")
	pub := w.Publisher("publisher")
	pol := pub.Policy(p)
	const password = "a-password-of-a-test"
	w.Write("conf/redis.conf", "dir /data\nappendonly yes\nrequirepass "+password+"\n")
	manifest := func(memory string) string {
		return w.Write("app.yaml", `name: cache
containers:
  - image: oci:`+image+`
    args: [/run/secrets/redis.conf, --maxmemory, `+memory+`]
    ports: [6379]
    resources: {cpu: 500m, memory: 128Mi}
    volumes:
      - {name: data, path: /data}
      - {path: /run/secrets, type: secret, source: conf/}
volumes:
  - {name: data, type: persistent, size: 100Mi}
`)
	}
	deploy := func(memory string) (host, port string) {
		t.Helper()
		res := pub.Must("deploy", manifest(memory), "--provider", p.Addr(), "--policy", pol, "--json").Object(t)
		address, ok := strings.CutPrefix(res["url"].(string), "tcp://")
		host, port, err := net.SplitHostPort(address)
		if !ok || err != nil {
			t.Fatalf("the url of a TCP port is %v", res["url"])
		}
		return host, port
	}
	var host, port string
	try := func(auth string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "redis-cli", append([]string{"-h", host, "-p", port}, args...)...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.Dir, "REDISCLI_AUTH=" + auth}
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	redis := func(want string, args ...string) {
		t.Helper()
		if got, err := try(password, args...); err != nil || got != want {
			t.Errorf("redis-cli %s: %q (%v), want %q", strings.Join(args, " "), got, err, want)
		}
	}

	host, port = deploy("32mb")
	redis("PONG", "PING")
	redis("OK", "SET", "greeting", "hello")
	redis("hello", "GET", "greeting")
	redis("OK", "SAVE")
	redis("10000", "EVAL", "for i = 1, 10000 do redis.call('SET', 'k' .. i, i) end return 10000", "0")
	if got, err := try("", "GET", "greeting"); !strings.Contains(got, "NOAUTH") {
		t.Errorf("without a password: %q (%v)", got, err)
	}

	before := port
	host, port = deploy("48mb")
	if port != before {
		t.Errorf("an update moved the port from %s to %s", before, port)
	}
	redis("maxmemory\n50331648", "CONFIG", "GET", "maxmemory")
	redis("hello", "GET", "greeting")
	redis("10001", "DBSIZE")

	p.Kill()
	p.Start()
	harness.Eventually(t, "redis is reachable through the provider's next process", func() bool {
		got, _ := try(password, "PING")
		return got == "PONG"
	})
	redis("hello", "GET", "greeting")
	redis("OK", "CONFIG", "RESETSTAT")

	r := pub.Must("logs", "cache")
	log := r.Stdout + r.Stderr
	for _, complaint := range []string{"MISCONF", "Can't open", "Failed", "Permission denied"} {
		if strings.Contains(log, complaint) {
			t.Errorf("redis complains:\n%s", log)
			break
		}
	}
	pub.Must("delete", "cache")
	if got, err := try(password, "PING"); err == nil {
		t.Errorf("a deleted app answers %q", got)
	}
	deploy("32mb")
	redis("0", "DBSIZE")
}
