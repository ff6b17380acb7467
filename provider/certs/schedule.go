package certs

import (
	"cmp"
	"crypto/tls"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	// maxOrders is how many orders begin within an hour, whatever publishers
	// deploy: of the public authorities' limits that of Let's Encrypt is the
	// best known, 300 orders in 3 hours and 50 certificates a week for one
	// registered domain. Publishers who change hosts must not use that up fast.
	maxOrders    = 20
	ordersWindow = time.Hour
	// firstWait follows a host's first failure and doubles up to lastWait: Let's
	// Encrypt takes 5 failed validations of a host in an hour.
	firstWait = 15 * time.Minute
	lastWait  = 24 * time.Hour
	// restWait follows a success, against an authority whose certificates are
	// due when they come.
	restWait = time.Hour
	// maxIssued bounds the certificates that are kept: about 8 MiB.
	maxIssued = 1024
)

// attempt is what is known of the orders for a host.
type attempt struct {
	failures int
	// next is when the host may be ordered for again.
	next time.Time
}

// schedule decides when to order. It is used by one goroutine.
type schedule struct {
	attempts map[string]attempt
	// begun are the times of the orders of the last hour.
	begun []time.Time
}

// eligible reports whether a public authority may sign for a host: a name with a
// dot, no address, and nothing that is this machine's own (RFC 6761, 6.3).
func eligible(host string) bool {
	_, err := netip.ParseAddr(host)
	return err != nil && strings.Contains(host, ".") && !strings.HasSuffix("."+host, ".localhost")
}

// renewable reports whether less than a third of a certificate's life is left.
func renewable(c *tls.Certificate, now time.Time) bool {
	life := c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)
	return !now.Before(c.Leaf.NotAfter.Add(-life / 3))
}

// due are the hosts to order for, those whose apps have a certificate to lose
// before the others.
func (s *schedule) due(hosts []string, issued map[string]*tls.Certificate, now time.Time) []string {
	var out []string
	for _, host := range hosts {
		c := issued[host]
		if !eligible(host) || c != nil && !renewable(c, now) || now.Before(s.attempts[host].next) {
			continue
		}
		out = append(out, host)
	}
	slices.SortFunc(out, func(a, b string) int {
		ca, cb := issued[a], issued[b]
		switch {
		case ca != nil && cb != nil:
			return ca.Leaf.NotAfter.Compare(cb.Leaf.NotAfter)
		case ca != nil:
			return -1
		case cb != nil:
			return 1
		}
		// Who failed least comes first, so that hosts that nobody can validate do
		// not keep others waiting.
		return cmp.Or(cmp.Compare(s.attempts[a].failures, s.attempts[b].failures), cmp.Compare(a, b))
	})
	return slices.Compact(out)
}

// begin takes one order of this hour's, if there is one left.
func (s *schedule) begin(now time.Time) bool {
	s.begun = slices.DeleteFunc(s.begun, func(t time.Time) bool { return now.Sub(t) >= ordersWindow })
	if len(s.begun) >= maxOrders {
		return false
	}
	s.begun = append(s.begun, now)
	return true
}

// succeeded and failed say how an order went. atLeast is what the authority
// demands.
func (s *schedule) succeeded(host string, now time.Time) {
	s.attempts[host] = attempt{next: now.Add(restWait)}
}

func (s *schedule) failed(host string, now time.Time, atLeast time.Duration) time.Duration {
	a := s.attempts[host]
	wait := lastWait
	// 15 minutes doubled seven times are more than a day.
	if a.failures < 7 {
		wait = min(lastWait, firstWait<<a.failures)
	}
	wait = max(wait, min(atLeast, lastWait))
	s.attempts[host] = attempt{failures: a.failures + 1, next: now.Add(wait)}
	return wait
}

// forget drops what is known of hosts that nobody holds, once their time to wait
// is over: the others are as many as orders of a day.
func (s *schedule) forget(held map[string]bool, now time.Time) {
	for host, a := range s.attempts {
		if !held[host] && !now.Before(a.next) {
			delete(s.attempts, host)
		}
	}
}
