package builds

import (
	"apocryph/p2p/git"
	"apocryph/proto/status"
)

// errLent is why a build ended whose credential went with an earlier process.
func errLent() error {
	return status.New(status.Unavailable, "build.credential_lost", "the provider has started again, and keeps no credential of a repository over that").
		WithHint("deploy again, with the credential")
}

// takeLent is the credential of a job, which has it no more afterwards: what is
// fetched once is not fetched again by this process.
func (j *job) takeLent() (*git.Credential, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := j.lent
	j.lent = nil
	if c == nil {
		return nil, errLent()
	}
	return c, nil
}
