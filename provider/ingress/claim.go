package ingress

import (
	"fmt"
	"strconv"

	"apocryph/proto/status"
	"apocryph/provider"
)

// claimant is who holds a name that no endpoint has: no pod's id has a colon.
func claimant(owner string) provider.PodID { return provider.PodID("claim:" + owner) }

// ClaimHost holds a custom host for owner, so that no pod gets it and an alias can
// lead it anywhere. The rules are those of a pod's own hosts: a name that no
// provider would take is invalid_argument, one that this one does not allow
// permission_denied "ingress.host", one that another holds a conflict
// "ingress.taken". Claiming again changes nothing. Claims end with the process.
func (i *Ingress) ClaimHost(host, owner string) error {
	want, invalid := i.hosts.refuses(host)
	fault := []status.Fault{{Field: "/domain", Got: strconv.Quote(fmt.Sprintf("%.80s", host)), Want: want}}
	switch {
	case invalid:
		return status.Invalid("ingress.ports", "the host", fault)
	case want != "":
		e := status.Invalid("ingress.host", "the host", fault)
		e.Code = status.PermissionDenied
		return e
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if have, held := i.names[host]; held && have != claimant(owner) {
		return status.New(status.Conflict, "ingress.taken", "another app holds %s", host)
	}
	i.names[host] = claimant(owner)
	return nil
}

// ReleaseHost gives up what owner claimed; anything else stays.
func (i *Ingress) ReleaseHost(host, owner string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.names[host] == claimant(owner) {
		delete(i.names, host)
	}
}

// leads reports whether an alias outside of the domain leads host to a pod that
// runs: such a host has a certificate of its own.
func (i *Ingress) leads(host string) bool {
	via, _, _ := i.aliased(host)
	return via != "" && !under(host, i.cfg.Domain)
}
