package mesh

import (
	"context"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/device/tpm"
	"apocryph/attest/podlog"
	"apocryph/attest/policy"
	"apocryph/p2p"
	"apocryph/p2p/rpc"
	"apocryph/proto/attestpb"
	"apocryph/proto/status"
	"apocryph/provider/providerd"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

// attested asks a provider for evidence under a policy.
func (a *author) attested(at *publisher.Target, p *policy.Policy) (out *publisher.Attested, err error) {
	err = a.do(func(ctx context.Context, s *publisherd.Session) error {
		out, err = s.Attest(ctx, *at, p, attest.PurposeProvision, nil)
		return err
	})
	return out, err
}

// withTPM puts a TPM beside the software device.
func withTPM(m *attesttest.TPM) func(*providerd.Config) {
	return func(c *providerd.Config) { c.TPM = m.Path }
}

// TestComposite: a provider with a report and a TPM is affirmed by a policy that
// names both, its pod log replays to register 14, and what is sealed opens again
// after a restart of the provider.
func TestComposite(t *testing.T) {
	t.Parallel()
	chip := attesttest.SWTPM(t)
	h, a := newHost(t, withTPM(chip)), newAuthor(t)
	to := h.target()
	pol := a.policy(to)
	if s := pol.Reference[0]; s.TEE != attest.Soft || s.PCRs == nil || len(pol.Dev.SoftCA) != 1 || len(pol.Trust.EKRoots) != 0 {
		t.Fatalf("the policy: %s", pol.Marshal())
	}
	read, err := policy.Parse(pol.Marshal())
	must(t, err)
	got, err := a.attested(to, read)
	must(t, err)
	r := got.Result
	if !got.Verdict.Affirmed || got.Verdict.Level != attest.LevelSoft || r.TPM == nil || r.TPM.AKBinding != attest.AKReported || r.Claims.Register != podlog.RegisterPCR {
		t.Fatalf("got %+v", got.Verdict)
	}
	img := image(t, 1<<10)
	d, err := a.deploy(t.Context(), job{manifest: app("shop", img), to: to, policy: read})
	must(t, err)
	affirmed := func() {
		t.Helper()
		got, err := a.attestPod(to, read, d.App)
		must(t, err)
		if !got.Verdict.Affirmed || !slices.ContainsFunc(got.Verdict.Checks, func(c attest.Check) bool {
			return c.Code == "ATT-100" && c.OK && c.Got == podlog.RegisterPCR
		}) {
			t.Errorf("got %+v", got.Verdict.Checks)
		}
	}
	affirmed()
	h.stop()
	h.start()
	to = h.target()
	affirmed()

	// Another boot of the machine's software is another machine.
	chip.Extend(t, 4, [32]byte{1})
	got, err = a.attested(to, read)
	must(t, err)
	if c, failed := got.Verdict.Failed(); got.Verdict.Affirmed || !failed || c.Code != "ATT-094" {
		t.Errorf("register 4 changed: got %+v", c)
	}
	read.Reference[0].PCRs = nil
	got, err = a.attested(to, read)
	must(t, err)
	if !got.Verdict.Affirmed {
		t.Errorf("without a demand on the TPM: got %+v", got.Verdict.Checks)
	}
	must(t, a.delete(to, "shop"))
	h.clean()
}

// TestCompositeDemanded: the report alone does not pass where a policy asks for
// registers.
func TestCompositeDemanded(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	pol := a.policy(newHost(t, withTPM(attesttest.SWTPM(t))).target())
	got, err := a.attested(newHost(t).target(), pol)
	must(t, err)
	if c, failed := got.Verdict.Failed(); got.Verdict.Affirmed || !failed || c.Code != "ATT-093" {
		t.Errorf("got %+v", c)
	}
}

// TestCompositeMixed: a provider with good evidence of its report's device shows
// a quote that is not of the TPM which its claims name.
func TestCompositeMixed(t *testing.T) {
	t.Parallel()
	mine, other := openTPM(t, attesttest.SWTPM(t)), openTPM(t, attesttest.SWTPM(t))
	type answer struct {
		named, shown, quotes *tpm.Device
		change               func(*attestpb.AttestResult)
	}
	for name, c := range map[string]struct {
		answer answer
		reason string
	}{
		"all of one":                  {answer{mine, mine, mine, nil}, ""},
		"a quote of another TPM":      {answer{mine, mine, other, nil}, "attest.signature"},
		"another TPM's key and quote": {answer{mine, other, other, nil}, "attest.ak_name"},
		"another TPM's key":           {answer{mine, other, mine, nil}, "attest.signature"},
		"claims that name no key":     {answer{nil, mine, mine, nil}, "attest.ak_name"},
		"the quote alone":             {answer{mine, mine, mine, func(r *attestpb.AttestResult) { r.Evidence = r.Evidence[1:] }}, "attest.activation"},
		"a quote before the report":   {answer{mine, mine, mine, func(r *attestpb.AttestResult) { slices.Reverse(r.Evidence) }}, "attest.parse"},
		"two quotes":                  {answer{mine, mine, mine, func(r *attestpb.AttestResult) { r.Evidence[0] = r.Evidence[1] }}, "attest.parse"},
		"the report alone":            {answer{mine, mine, mine, func(r *attestpb.AttestResult) { r.Evidence = r.Evidence[:1] }}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMallory(t, func(m *mallory) {
				m.attest = func(ctx context.Context, s *rpc.ServerStream[*attestpb.AttestResponse], req *attestpb.AttestRequest) error {
					id, err := c.answer.shown.Bound(ctx)
					if err != nil {
						return err
					}
					err = s.Send(&attestpb.AttestResponse{Body: &attestpb.AttestResponse_Event{
						Event: &attestpb.AttestEvent{Body: &attestpb.AttestEvent_TpmIdentity{TpmIdentity: attest.IdentityToWire(id)}},
					}})
					if err != nil {
						return err
					}
					var none attestpb.AttestActivate
					if err := s.Recv(&none); err != nil {
						return err
					}
					if !proto.Equal(&none, &attestpb.AttestActivate{}) {
						t.Errorf("asked for an activation: %v", &none)
					}
					r, err := m.bound(ctx, req, []byte(s.Peer()), func(c1 *attest.Claims) (err error) {
						if d := c.answer.named; d != nil {
							c1.TPMAKName, err = d.AKName(ctx)
						}
						return err
					})
					if err != nil {
						return err
					}
					quote, err := c.answer.quotes.Attest(ctx, r.Claims)
					if err != nil {
						return err
					}
					r.Evidence = append(r.Evidence, attest.EvidenceToWire([]attest.Evidence{quote})...)
					if c.answer.change != nil {
						c.answer.change(r)
					}
					return s.Send(&attestpb.AttestResponse{Body: &attestpb.AttestResponse_Result{Result: r}})
				}
			})
			err := newAuthor(t).look(m.target())
			if c.reason == "" {
				must(t, err)
				return
			}
			refused(t, err, status.Untrusted, c.reason)
		})
	}
}

func openTPM(t *testing.T, m *attesttest.TPM) *tpm.Device {
	t.Helper()
	d, err := tpm.Open(t.Context(), tpm.Config{Path: m.Path, StateDir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	return d
}

// TestCompositeActivation: a bound provider answers no activation.
func TestCompositeActivation(t *testing.T) {
	t.Parallel()
	h, m := newHost(t, withTPM(attesttest.SWTPM(t))), newMallory(t, nil)
	info, err := p2p.ParsePeer(h.info.Addrs[0])
	must(t, err)
	must(t, m.node.Connect(t.Context(), info))
	ask := &attestpb.AttestRequest{Purpose: 1, Nonce: make([]byte, attest.NonceSize), ProviderPeer: []byte(info.ID)}
	s, err := rpc.Call(t.Context(), m.node.Host(), info.ID, rpc.Attest, ask, func() *attestpb.AttestResponse { return new(attestpb.AttestResponse) })
	must(t, err)
	defer s.Close()
	res, err := s.Recv()
	must(t, err)
	if id := res.GetEvent().GetTpmIdentity(); !id.GetBound() || len(id.GetEkPublic()) != 0 {
		t.Errorf("got %v", id)
	}
	must(t, s.Send(&attestpb.AttestActivate{CredentialBlob: []byte{1}, EncryptedSecret: []byte{2}}))
	_, err = s.Recv()
	refused(t, err, status.InvalidArgument, "attest.activation")
}
