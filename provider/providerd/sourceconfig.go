package providerd

import (
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"apocryph/manifest/slug"
	"apocryph/proto/status"
	"apocryph/provider/build"
)

// SourceConfig is how builds from source are done. The zero value fetches from the
// public hosts, has the base images of DATA_DIR/bases, and lets builds reach the
// internet.
type SourceConfig struct {
	// Bases are "ROLE=REFERENCE", see [build.CatalogConfig]; each counts before the
	// directory's.
	Bases []string
	// BasesDir has an OCI layout for each role, as make bases writes it; empty is
	// DATA_DIR/bases, where that is there.
	BasesDir string
	// AllowFiles are directories of this machine whose repositories anybody who
	// may deploy may name by file://.
	AllowFiles []string
	// AllowHosts are git hosts that may be named though they are in a private network.
	AllowHosts []string
	// AllowRegistries are registries that a Dockerfile may name though they are in a
	// private network.
	AllowRegistries []string
	// GitHub, GitHubAPI and GitLab are base URLs; empty are the public ones.
	GitHub, GitHubAPI, GitLab string
	// Env is "NAME=VALUE" for the commands of builds, of the names in [buildEnv].
	Env []string
	// Egress is "on" (also when empty) or "off": commands of builds have no network.
	Egress string
	// Workers is how many builds run at once; 0 is the default.
	Workers uint
	// Limits are those of each command.
	Limits BuildLimits
}

// buildEnv are the variables that an operator may set for commands of builds:
// where packages come from. Strangers' commands see them.
var buildEnv = []string{
	"GONOSUMDB", "GOPROXY", "GOSUMDB", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "NPM_CONFIG_REGISTRY", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_TRUSTED_HOST",
}

// maxWorkers bounds builds at once: each may take two processors and gigabytes.
const maxWorkers = 64

// faults looks at all but whether images and repositories are there.
func (c SourceConfig) faults() []status.Fault {
	var out []status.Fault
	fault := func(field, got, want string) { out = append(out, status.Fault{Field: field, Got: got, Want: want}) }
	seen := map[string]bool{}
	for i, b := range c.Bases {
		role, ref, ok := strings.Cut(b, "=")
		if !ok || !slices.Contains(build.Roles(), role) || ref == "" || seen[role] {
			fault(fmt.Sprintf("base[%d]", i), fmt.Sprintf("%q", b), "ROLE=REFERENCE, each once, of "+strings.Join(build.Roles(), ", "))
		}
		seen[role] = true
	}
	if c.BasesDir != "" {
		if info, err := os.Stat(c.BasesDir); err != nil || !info.IsDir() {
			fault("bases", fmt.Sprintf("%q", c.BasesDir), "a directory, as make bases writes it")
		}
	}
	for i, dir := range c.AllowFiles {
		if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir {
			fault(fmt.Sprintf("git-allow-file[%d]", i), fmt.Sprintf("%q", dir), "a clean absolute path")
		}
	}
	hosts := func(flag string, hosts []string) {
		for i, host := range hosts {
			if u, err := url.Parse("https://" + host); err != nil || u.Host != host || u.Hostname() == "" {
				fault(fmt.Sprintf("%s[%d]", flag, i), fmt.Sprintf("%.80q", host), "HOST or HOST:PORT")
			}
		}
	}
	hosts("git-allow-host", c.AllowHosts)
	hosts("registry-allow-host", c.AllowRegistries)
	for _, x := range [][2]string{{"git-github-url", c.GitHub}, {"git-github-api-url", c.GitHubAPI}, {"git-gitlab-url", c.GitLab}} {
		if x[1] != "" && !isBase(x[1]) {
			fault(x[0], fmt.Sprintf("%q", x[1]), "an http or https URL with its host in lower case, and without user, query and fragment")
		}
	}
	for i, kv := range c.Env {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || !slices.Contains(buildEnv, name) || strings.ContainsAny(value, "\x00\n") {
			fault(fmt.Sprintf("build-env[%d]", i), fmt.Sprintf("%.80q", name), "NAME=VALUE, of "+strings.Join(buildEnv, ", "))
		} else if strings.Contains(value, "@") {
			// The value is not told: it may be the credential.
			fault(fmt.Sprintf("build-env[%d]", i), name+" with a user", "no credentials: whoever builds reads them")
		}
	}
	if c.Egress != "" && c.Egress != "on" && c.Egress != "off" {
		fault("build-egress", fmt.Sprintf("%q", c.Egress), "on or off")
	}
	if c.Workers > maxWorkers {
		fault("build-workers", fmt.Sprint(c.Workers), fmt.Sprintf("at most %d", maxWorkers))
	}
	_, wrong := c.Limits.parse()
	return append(out, wrong...)
}

func isBase(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && strings.ToLower(u.Host) == u.Host && u.User == nil && u.RawQuery == "" && u.Fragment == "" && len(text) < math.MaxUint8
}

// hosts are where slugs of two letters are.
func (c SourceConfig) hosts() slug.Bases {
	out := slug.DefaultBases()
	for _, x := range []struct {
		to   *string
		from string
	}{{&out.GitHub, c.GitHub}, {&out.GitHubAPI, c.GitHubAPI}, {&out.GitLab, c.GitLab}} {
		if x.from != "" {
			*x.to = strings.TrimRight(x.from, "/")
		}
	}
	return out
}

// references are the base images by role.
func (s settings) references() (map[string]string, error) {
	out := map[string]string{}
	dir := s.Source.BasesDir
	if dir == "" {
		dir = filepath.Join(s.DataDir, "bases")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for _, role := range build.Roles() {
		if _, err := os.Stat(filepath.Join(dir, role, "index.json")); err == nil {
			out[role] = "oci:" + filepath.Join(dir, role)
		}
	}
	for _, b := range s.Source.Bases {
		role, ref, _ := strings.Cut(b, "=")
		out[role] = ref
	}
	return out, nil
}
