package ingress

import (
	"fmt"
	"maps"
	"net/http"

	"apocryph/manifest"
	"apocryph/provider"
)

// SetAliases replaces the host names that lead to pods beside those of their
// endpoints. A name that an endpoint has is that endpoint's: an alias takes
// nothing from anybody.
func (i *Ingress) SetAliases(aliases map[string]provider.Alias) {
	own := maps.Clone(aliases)
	i.aliases.Store(&own)
}

// aliased finds what an alias leads to: the pod's first HTTP endpoint, by name.
// The answer is why it leads nowhere where the pod does not run what it is for.
func (i *Ingress) aliased(host string) (via string, why string, ok bool) {
	a, ok := (*i.aliases.Load())[host]
	if !ok {
		return "", "", false
	}
	routes := *i.routes.Load()
	for name, r := range routes {
		if r.pod.id != a.Pod || via != "" && via < name {
			continue
		}
		via = name
	}
	if via == "" {
		return "", fmt.Sprintf("%s does not run", a.Name), true
	}
	if a.Manifest != (manifest.Digest{}) && !routes[via].upstream.runsManifest(a.Manifest) {
		return "", fmt.Sprintf("%s does not run any more", a.Name), true
	}
	return via, "", true
}

// runsManifest reports whether a backend runs a manifest.
func (u *upstream) runsManifest(want manifest.Digest) bool {
	for _, d := range u.runs {
		if len(d) > 0 && d[0] == want {
			return true
		}
	}
	return false
}

// notServed answers for a host that leads nowhere.
func notServed(w http.ResponseWriter, req *http.Request, host, why string) {
	if why == "" {
		why = fmt.Sprintf("no app is served as %s here", host)
	}
	answer(w, req, http.StatusNotFound, why)
}
