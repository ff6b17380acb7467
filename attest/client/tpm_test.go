package client_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/client"
	"apocryph/attest/policy"
)

// composite is a provider with a TPM beside its report.
func composite(t *testing.T) *provider {
	t.Helper()
	p := newProvider(t)
	p.tpm, p.composite = newTPM(t, attesttest.SWTPM(t)), true
	return p
}

// silent fails the test where a provider is asked for an activation.
func silent(t *testing.T, p *provider) {
	p.set(func(p *provider) {
		p.answer = func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				t.Error("asked for an activation")
			}
			b, err := p.evidence(r)
			if err != nil {
				t.Error(err)
			}
			_, _ = w.Write(b)
		}
	})
}

// TestComposite: the report says whose the TPM's key is, so that nobody has to
// ask the TPM, neither over a connection nor of a file.
func TestComposite(t *testing.T) {
	p := composite(t)
	v := p.verifier(t)
	if v.Policy.Reference[0].PCRs == nil {
		t.Fatalf("the policy demands no registers: %s", v.Policy.Marshal())
	}
	silent(t, p)
	got, err := send(t, newTransport(t, v), p.url(), strings.NewReader("secret"))
	check(t, err)
	if got != p.manifest.String() {
		t.Errorf("got %q", got)
	}
	r, err := v.Verify(t.Context(), p.url())
	check(t, err)
	if r.Result.TPM == nil || r.Result.TPM.AKBinding != attest.AKReported || r.Verdict.Level != attest.LevelSoft {
		t.Errorf("got %+v, level %s", r.Result.TPM, r.Verdict.Level)
	}
	doc := client.Document{Body: r.Document, Nonce: r.Nonce, Host: host, TLSKey: r.TLSKey}
	file, err := v.VerifyDocument(doc)
	check(t, err)
	if file.Verdict.Platform != r.Verdict.Platform || file.Result.TPM.AKBinding != attest.AKReported {
		t.Errorf("the file's verdict is %+v", file.Verdict)
	}
}

// TestCompositeRefused: parts that do not belong together, and registers that
// are not those of the policy. Nothing of a request is sent.
func TestCompositeRefused(t *testing.T) {
	other := newTPM(t, attesttest.SWTPM(t))
	id, err := other.Bound(t.Context())
	check(t, err)
	requote := func(d *attest.Endpoint) {
		quote, err := other.Attest(t.Context(), d.Claims)
		if err != nil {
			t.Error(err)
		}
		d.Evidence[1] = quote
	}
	p := composite(t)
	v := p.verifier(t)
	for name, tt := range map[string]struct {
		claims   func(*attest.Claims)
		document func(*attest.Endpoint)
		code     string
	}{
		"a quote of another TPM":        {nil, requote, "ATT-040"},
		"another TPM's key and quote":   {nil, func(d *attest.Endpoint) { d.Identity = &id; requote(d) }, "ATT-096"},
		"another TPM's key":             {nil, func(d *attest.Endpoint) { d.Identity = &id }, "ATT-040"},
		"no identity":                   {nil, func(d *attest.Endpoint) { d.Identity = nil }, "ATT-092"},
		"an endorsement key for the AK": {nil, func(d *attest.Endpoint) { d.Identity.AKPublic = make([]byte, 64) }, "ATT-090"},
		"the report alone":              {nil, func(d *attest.Endpoint) { d.Evidence = d.Evidence[:1] }, "ATT-093"},
		"the quote alone":               {nil, func(d *attest.Endpoint) { d.Evidence = d.Evidence[1:] }, "ATT-011"},
		"a quote before the report":     {nil, func(d *attest.Endpoint) { slices.Reverse(d.Evidence) }, "ATT-011"},
		"two quotes":                    {nil, func(d *attest.Endpoint) { d.Evidence[0] = d.Evidence[1] }, "ATT-011"},
		"a quote for other claims": {nil, func(d *attest.Endpoint) {
			d.Evidence[1].TPM.Quoted = slices.Concat(d.Evidence[1].TPM.Quoted, []byte{0})
		}, "ATT-011"},
		"a report for an earlier nonce": {func(c *attest.Claims) { c.Nonce[0] ^= 1 }, nil, "ATT-020"},
	} {
		t.Run(name, func(t *testing.T) {
			p.set(func(p *provider) { p.claims, p.document = tt.claims, tt.document })
			r, err := v.Verify(t.Context(), p.url())
			denied(t, r, err, tt.code, "")
			if _, err := send(t, newTransport(t, v), p.url(), strings.NewReader("secret")); err == nil || p.got.Load() != 0 {
				t.Errorf("%d bytes were sent: %v", p.got.Load(), err)
			}
		})
	}
}

// pinned names a provider's attestation key in a policy that names no root of
// endorsement keys.
func pinned(t *testing.T, p *provider) *policy.Policy {
	t.Helper()
	pol := p.policy(t)
	name, err := p.tpm.AKName(t.Context())
	check(t, err)
	pol.Trust.EKRoots, pol.Reference[0].EK, pol.Reference[0].AKs = nil, nil, [][]byte{name}
	read, err := policy.Parse(pol.Marshal())
	check(t, err)
	return read
}

// TestPinned: a policy that names the attestation key needs neither the
// activation nor a root for the endorsement key, and affirms no other key.
func TestPinned(t *testing.T) {
	p := newProvider(t)
	p.tpm = newTPM(t, attesttest.SWTPM(t))
	v := &client.Verifier{Policy: pinned(t, p)}
	_, err := send(t, newTransport(t, v), p.url(), strings.NewReader("secret"))
	check(t, err)
	r, err := v.Verify(t.Context(), p.url())
	check(t, err)
	if b := r.Result.TPM.AKBinding; b != attest.AKPinned {
		t.Errorf("the key counts as %v", b)
	}
	file, err := v.VerifyDocument(client.Document{Body: r.Document, Nonce: r.Nonce, Host: host, TLSKey: r.TLSKey})
	check(t, err)
	if file.Result.TPM.AKBinding != attest.AKPinned {
		t.Errorf("the file's key counts as %v", file.Result.TPM.AKBinding)
	}

	other := newProvider(t)
	other.tpm = newTPM(t, attesttest.SWTPM(t))
	r, err = v.Verify(t.Context(), other.url())
	denied(t, r, err, "ATT-031", "")
	if _, err := send(t, newTransport(t, v), other.url(), strings.NewReader("secret")); err == nil || other.got.Load() != 0 {
		t.Errorf("%d bytes were sent: %v", other.got.Load(), err)
	}
	// The pinned key's area with a quote by the other TPM.
	id, err := p.tpm.Identity(t.Context())
	check(t, err)
	other.set(func(o *provider) { o.document = func(d *attest.Endpoint) { d.Identity = &id } })
	r, err = v.Verify(t.Context(), other.url())
	denied(t, r, err, "ATT-040", "")
}
