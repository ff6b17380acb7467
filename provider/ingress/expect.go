package ingress

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"apocryph/proto/problem"
	"apocryph/proto/status"
	"apocryph/provider"
)

const (
	// ExpectHeader lists what a client wants to be answered by: digests of
	// manifests or of image configurations, "sha256:HEX" or HEX, separated by
	// commas. A request that no such replica would get is answered 421.
	ExpectHeader = "Apocryph-Expect"
	// maxExpect bounds the digests of one request: each is compared with every
	// image of a replica.
	maxExpect = 16
)

// digest is a SHA-256.
type digest = [32]byte

// digests is what a replica runs: the manifest's first, then the images'.
type digests []digest

// runsOf reads what backends say that they run. An image id that is none is
// left out: nobody can expect it.
func runsOf(addrs []netip.Addr, backends []provider.Backend) map[netip.Addr]digests {
	runs := make(map[netip.Addr]digests, len(addrs))
	for n, b := range backends {
		have := digests{b.Manifest}
		for _, id := range b.ImageIDs {
			if d, ok := parseDigest(id); ok {
				have = append(have, d)
			}
		}
		runs[addrs[n]] = have
	}
	return runs
}

// expected are the digests of a request, of which one must run; nil expects nothing.
type expected []digest

// parseExpect reads the header. One that is there and names nothing is refused:
// a client that meant to ask must not be answered by whatever runs.
func parseExpect(lines []string) (expected, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	var out expected
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			d, ok := parseDigest(strings.Trim(part, " \t"))
			if !ok || d == (digest{}) {
				return nil, status.Invalid("ingress.expect", "the header "+ExpectHeader, []status.Fault{{
					Field: ExpectHeader, Got: fmt.Sprintf("%.80q", part), Want: "digests such as sha256:HEX with 64 hex digits, separated by commas",
				}}).WithHint("`publisher status APP` shows the manifest's digest, a receipt also those of the images")
			}
			if out = append(out, d); len(out) > maxExpect {
				return nil, status.Invalid("ingress.expect", "the header "+ExpectHeader, []status.Fault{{
					Field: ExpectHeader, Got: "more digests", Want: fmt.Sprintf("at most %d", maxExpect),
				}})
			}
		}
	}
	return out, nil
}

// parseDigest reads "sha256:HEX" or HEX, in either case.
func parseDigest(s string) (d digest, ok bool) {
	if len(s) == len("sha256:")+hex.EncodedLen(len(d)) && strings.EqualFold(s[:len("sha256:")], "sha256:") {
		s = s[len("sha256:"):]
	}
	if len(s) != hex.EncodedLen(len(d)) {
		return d, false
	}
	_, err := hex.Decode(d[:], []byte(s))
	return d, err == nil
}

// met says whether a replica is what is expected.
func (e expected) met(runs digests) error {
	if len(e) == 0 || slices.ContainsFunc(e, func(d digest) bool { return slices.Contains(runs, d) }) {
		return nil
	}
	return &misdirected{got: runs, want: e}
}

// misdirected is a request that would go to what its client does not expect.
type misdirected struct {
	got  digests
	want expected
}

func (m *misdirected) Error() string { return "the replica does not run what is expected" }

// problem names what runs, so that a client can look at it before it trusts it.
func (m *misdirected) problem(host string) error {
	name := func(list []digest) string {
		var out []string
		for _, d := range list {
			out = append(out, "sha256:"+hex.EncodeToString(d[:]))
		}
		return strings.Join(out, ", ")
	}
	got := "nothing that is known"
	if len(m.got) > 0 {
		got = "manifest " + name(m.got[:1])
	}
	if len(m.got) > 1 {
		got += ", images " + name(m.got[1:])
	}
	e := status.Invalid("ingress.misdirected", "app "+host+" runs something else than expected; the request", []status.Fault{{
		Field: ExpectHeader, Got: got, Want: name(m.want),
	}})
	e.Code = status.Untrusted
	return e.WithHint("verify what runs now, then expect that")
}

// refuse answers with a problem document of an HTTP status. The app has no part in it.
func refuse(w http.ResponseWriter, req *http.Request, code int, err error) {
	w.Header().Set(ownAnswer, oneLine(status.Public(err).Detail))
	problem.WriteStatus(w, req, err, code)
}
