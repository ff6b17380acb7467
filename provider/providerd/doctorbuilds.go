package providerd

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
	"apocryph/provider/build"
)

// gitTime bounds the question for git's version.
const gitTime = 5 * time.Second

// checkBuilds looks for what builds from source need. A provider without it serves,
// so what is simply absent is told and fails nothing; what was configured and cannot be
// read does.
func checkBuilds(cfg Config) []Diagnosis {
	out := append([]Diagnosis{checkGit()}, checkGitHosts(cfg.Source)...)
	set, err := cfg.check()
	if err != nil {
		return out // told elsewhere
	}
	refs, err := set.references()
	if err != nil {
		return append(out, Diagnosis{Name: "bases", Found: err.Error(), Do: "use another --bases"})
	}
	var missing []string
	for _, role := range build.Roles() {
		ref, ok := refs[role]
		if !ok {
			missing = append(missing, role)
			continue
		}
		out = append(out, checkBase(role, ref))
	}
	if len(missing) > 0 {
		out = append(out, Diagnosis{
			Name: "bases", OK: true, Found: "no base image for " + strings.Join(missing, ", ") + ": such sources are refused",
			Do: "make bases writes some; name them with --bases DIR or --base ROLE=REF",
		})
	}
	return out
}

func checkGit() Diagnosis {
	ctx, cancel := context.WithTimeout(context.Background(), gitTime)
	defer cancel()
	version, err := exec.CommandContext(ctx, "git", "--version").Output()
	if err != nil {
		return Diagnosis{Name: "git", OK: true, Found: "not there: repositories are not built", Do: "install git, 2.39 or later"}
	}
	return Diagnosis{Name: "git", OK: true, Found: strings.TrimSpace(string(version))}
}

// checkGitHosts tells of git hosts that nobody can be sure to have reached.
func checkGitHosts(c SourceConfig) (out []Diagnosis) {
	for _, x := range [][2]string{{"git-github-url", c.GitHub}, {"git-github-api-url", c.GitHubAPI}, {"git-gitlab-url", c.GitLab}} {
		if strings.HasPrefix(x[1], "http://") {
			out = append(out, Diagnosis{
				Name: "git", OK: true, Found: "--" + x[0] + " " + x[1] + ": who is between chooses which commit a branch has; statements about builds say http, and policies that name https refuse them",
				Do: "use https where the host has it",
			})
		}
	}
	return out
}

// checkBase reads an image of this machine. Those of others are not asked for: a
// check changes nothing and waits for nobody.
func checkBase(role, text string) Diagnosis {
	d := Diagnosis{Name: "bases", OK: true, Found: role + ": " + text}
	ref, err := oci.ParseReference(text)
	if err != nil || ref.Transport == oci.Registry {
		d.Found += ", which is asked for when it is needed"
		return d
	}
	ctx, cancel := context.WithTimeout(context.Background(), gitTime)
	defer cancel()
	img, err := oci.Read(ctx, ref, oci.Options{Platform: oci.Platform{OS: "linux", Architecture: runtime.GOARCH}, Anonymous: true})
	if err != nil {
		return Diagnosis{Name: "bases", Found: fmt.Sprintf("%s: %s", role, status.Public(err).Detail), Do: "make bases writes it anew; or name another with --base " + role + "=REF"}
	}
	d.Found = role + ": " + img.Digest
	return d
}
