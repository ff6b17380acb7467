package client

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/multiformats/go-multihash"

	"apocryph/attest"
	"apocryph/attest/receipt"
	"apocryph/manifest"
	"apocryph/proto/status"
)

// maxSkew is how far a provider's clock may run ahead of ours. Freshness rests
// on the nonce.
const maxSkew = 2 * time.Minute

// asserted is what makes the word of measured software believable.
func (r *Report) asserted() attest.Anchor {
	if l := r.Verdict.Level; l == "" || l == attest.LevelSoft {
		return attest.AnchorSelf
	}
	return attest.AnchorAgentAsserted
}

// workload compares provider and pod with what the user expects.
func (v *Verifier) workload(r *Report, provider string, runs *attest.PodClaims) bool {
	anchor := r.asserted()
	if want := v.Expect.Provider; want != "" {
		if !r.check(attest.Check{Code: codePeer, Name: "made by the expected provider", OK: provider == want, Anchor: anchor, Got: provider, Want: want}) {
			return false
		}
	}
	pod := attest.Check{Code: codeManifest, Name: "manifest that runs", Anchor: anchor, Got: "no pod", Want: "the pod behind this host"}
	if runs == nil {
		return r.check(pod)
	}
	pod.OK, pod.Got, pod.Want = true, manifest.Digest(runs.ManifestDigest).String(), ""
	if want := v.Expect.Manifest; want != nil {
		pod.Want = want.String()
		pod.OK = pod.Got == pod.Want
	}
	return r.check(pod) && r.check(v.images(runs.Images, anchor))
}

func (v *Verifier) images(images []attest.ImageClaims, anchor attest.Anchor) attest.Check {
	c := attest.Check{Code: codeImages, Name: "images that run", Anchor: anchor, Got: "no image", Want: "at least one image"}
	if len(images) == 0 {
		return c
	}
	c.OK, c.Want = true, strings.Join(v.Expect.Images, " or ")
	var got []string
	for _, i := range images {
		if len(v.Expect.Images) > 0 && !slices.Contains(v.Expect.Images, i.ImageID) {
			c.OK = false
			c.Got = fmt.Sprintf("%s in container %s", orNothing(i.ImageID), i.Container)
			return c
		}
		got = append(got, i.ImageID)
	}
	c.Got = strings.Join(got, ", ")
	return c
}

// fits opens the receipt with the attested key and compares it with the claims:
// a receipt of another pod, boot, provider or host is genuine, too.
func (r *Report) fits(envelope []byte, c *attest.Claims, now time.Time) bool {
	anchor := r.asserted()
	step := func(name string, ok bool, got, want string) bool {
		return r.check(attest.Check{Code: codeReceipt, Name: "receipt: " + name, OK: ok, Anchor: anchor, Got: got, Want: want})
	}
	key := ed25519.PublicKey(c.ReceiptPublicKey)
	signed := "by receipt key " + receipt.KeyID(key)
	if len(envelope) == 0 {
		return step("signed by the attested key", false, "no receipt", signed)
	}
	got, err := receipt.Open(envelope, key)
	if err != nil {
		return step("signed by the attested key", false, detail(err), signed)
	}
	r.Receipt = &got
	return step("signed by the attested key", true, signed, "") &&
		same(step, "of this provider", got.Provider, PeerText(c.ProviderPeer)) &&
		same(step, "of this boot", hex.EncodeToString(got.BootEpoch), hex.EncodeToString(c.BootEpoch)) &&
		same(step, "of this pod", got.PodID, c.Pod.PodID) &&
		same(step, "of this manifest", got.Manifest.String(), manifest.Digest(c.Pod.ManifestDigest).String()) &&
		same(step, "of these images", textOf(got.Images), textOfClaims(c.Pod.Images)) &&
		step("names this host", serves(got.Endpoints, r.Host), hosts(got.Endpoints), r.Host) &&
		step("signed before now", timely(got, now), times(got), notAfter(now))
}

func same(step func(name string, ok bool, got, want string) bool, name, got, want string) bool {
	return step(name, got == want && got != "", got, want)
}

// serves reports whether one of the endpoints is HTTP at the host.
func serves(endpoints []receipt.Endpoint, host string) bool {
	return slices.ContainsFunc(endpoints, func(e receipt.Endpoint) bool { return e.Protocol == "http" && hostOf(e) == host })
}

func hosts(endpoints []receipt.Endpoint) string {
	var names []string
	for _, e := range endpoints {
		if h := hostOf(e); e.Protocol == "http" && h != "" {
			names = append(names, h)
		}
	}
	return orNothing(strings.Join(names, ", "))
}

func hostOf(e receipt.Endpoint) string {
	u, err := url.Parse(e.URL)
	if err != nil {
		return ""
	}
	return normalHost(u.Hostname())
}

func textOf(images []receipt.Image) string {
	var claimed []attest.ImageClaims
	for _, i := range images {
		claimed = append(claimed, attest.ImageClaims{Container: i.Container, CID: i.CID, ImageID: i.ImageID})
	}
	return textOfClaims(claimed)
}

func textOfClaims(images []attest.ImageClaims) string {
	images = slices.Clone(images)
	slices.SortFunc(images, func(a, b attest.ImageClaims) int {
		return cmp.Or(strings.Compare(a.Container, b.Container), strings.Compare(a.ImageID, b.ImageID), strings.Compare(a.CID, b.CID))
	})
	var b bytes.Buffer
	for i, image := range images {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q %s %s", image.Container, image.ImageID, image.CID)
	}
	return b.String()
}

// PeerText is the text form of a binary peer id: base58 of the multihash, as
// libp2p writes it.
func PeerText(id []byte) string { return multihash.Multihash(id).B58String() }

func detail(err error) string {
	var e *status.Error
	if errors.As(err, &e) {
		return e.Detail
	}
	return err.Error()
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
