package peerapi

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"apocryph/manifest"
	"apocryph/p2p"
	"apocryph/p2p/p2ptest"
	"apocryph/p2p/rpc"
	"apocryph/proto/attestpb"
	"apocryph/proto/capacitypb"
	"apocryph/proto/podpb"
	"apocryph/proto/status"
	"apocryph/provider"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node serves a provider that never ran, and thus has no pods: enough for what
// ends before one is looked at. What comes after is tested with the assembly.
func node(t *testing.T) (client, server *p2p.Node, svc *provider.Service) {
	t.Helper()
	nodes := p2ptest.Nodes(t, 2)
	svc, err := provider.New(provider.Config{Peer: []byte(nodes[1].ID()), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(Register(nodes[1].Host(), svc, nil, nil))
	return nodes[0], nodes[1], svc
}

func TestAttestRefusals(t *testing.T) {
	client, server, _ := node(t)
	nonce := make([]byte, 32)
	long := make([]string, 17)
	for name, c := range map[string]struct {
		req    *attestpb.AttestRequest
		reason string
	}{
		"nothing":      {&attestpb.AttestRequest{}, "attest.purpose"},
		"no nonce":     {&attestpb.AttestRequest{Purpose: 1, ProviderPeer: []byte(server.ID())}, "attest.request"},
		"short nonce":  {&attestpb.AttestRequest{Purpose: 1, Nonce: nonce[1:], ProviderPeer: []byte(server.ID())}, "attest.request"},
		"long nonce":   {&attestpb.AttestRequest{Purpose: 1, Nonce: append(nonce, 0), ProviderPeer: []byte(server.ID())}, "attest.request"},
		"many types":   {&attestpb.AttestRequest{Purpose: 1, Nonce: nonce, Accept: long, ProviderPeer: []byte(server.ID())}, "attest.request"},
		"many images":  {&attestpb.AttestRequest{Purpose: 1, Nonce: nonce, ImageIds: make([]string, 65), ProviderPeer: []byte(server.ID())}, "attest.images"},
		"purpose":      {&attestpb.AttestRequest{Purpose: 99, Nonce: nonce, ProviderPeer: []byte(server.ID())}, "attest.purpose"},
		"another peer": {&attestpb.AttestRequest{Purpose: 1, Nonce: nonce, ProviderPeer: []byte(client.ID())}, "attest.peer"},
		"no peer":      {&attestpb.AttestRequest{Purpose: 1, Nonce: nonce}, "attest.peer"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rpc.Do(t.Context(), client.Host(), server.ID(), rpc.Attest, c.req, func() *attestpb.AttestResponse { return new(attestpb.AttestResponse) })
			refused(t, err, status.InvalidArgument, c.reason)
		})
	}
}

func TestOtherRefusals(t *testing.T) {
	client, server, _ := node(t)
	_, err := rpc.Do(t.Context(), client.Host(), server.ID(), rpc.Capacity, &capacitypb.CapacityRequest{}, func() *capacitypb.CapacityResponse { return new(capacitypb.CapacityResponse) })
	refused(t, err, status.InvalidArgument, "capacity.invalid")

	pod := func(req *podpb.PodRequest) error {
		_, err := rpc.Do(t.Context(), client.Host(), server.ID(), rpc.Pod, req, func() *podpb.PodResponse { return new(podpb.PodResponse) })
		return err
	}
	refused(t, pod(&podpb.PodRequest{}), status.Unimplemented, "pod.call")
	refused(t, pod(&podpb.PodRequest{Call: &podpb.PodRequest_Status{Status: &podpb.GetPod{Name: "x"}}}), status.NotFound, "pod.unknown")
	refused(t, pod(&podpb.PodRequest{Call: &podpb.PodRequest_Delete{Delete: &podpb.DeletePod{Name: "x"}}}), status.NotFound, "pod.unknown")
	refused(t, pod(&podpb.PodRequest{Call: &podpb.PodRequest_Logs{Logs: &podpb.FollowLogs{Name: "x"}}}), status.NotFound, "pod.unknown")

	refused(t, pod(&podpb.PodRequest{Call: &podpb.PodRequest_History{History: &podpb.GetHistory{Name: "x"}}}), status.NotFound, "pod.unknown")
	rollback := func(r *podpb.RollbackPod) error {
		return pod(&podpb.PodRequest{Call: &podpb.PodRequest_Rollback{Rollback: r}})
	}
	refused(t, rollback(&podpb.RollbackPod{RequestId: make([]byte, 16), Name: "x"}), status.NotFound, "pod.unknown")
	for _, id := range [][]byte{nil, make([]byte, 15), make([]byte, 17)} {
		refused(t, rollback(&podpb.RollbackPod{RequestId: id, Name: "x"}), status.InvalidArgument, "rollback.request")
	}

	provision := func(req *podpb.ProvisionRequest) error {
		_, err := rpc.Do(t.Context(), client.Host(), server.ID(), rpc.Provision, req, func() *podpb.ProvisionResponse { return new(podpb.ProvisionResponse) })
		return err
	}
	refused(t, provision(&podpb.ProvisionRequest{}), status.InvalidArgument, "provision.request")
	refused(t, provision(&podpb.ProvisionRequest{RequestId: make([]byte, 16), ClaimsDigest: make([]byte, 32), Operation: 1}), status.Untrusted, "provision.attestation")
}

// TestProgressIsThrottled sends what a fast fetch reports: of each stage the
// first and the last arrive, and few between.
func TestProgressIsThrottled(t *testing.T) {
	nodes := p2ptest.Nodes(t, 2)
	t.Cleanup(rpc.Handle(nodes[1].Host(), rpc.Provision, nil, func() *podpb.ProvisionRequest { return new(podpb.ProvisionRequest) },
		func(_ context.Context, s *rpc.ServerStream[*podpb.ProvisionResponse], _ *podpb.ProvisionRequest) error {
			send := throttled(func(e *podpb.ProvisionEvent) error {
				return s.Send(&podpb.ProvisionResponse{Body: &podpb.ProvisionResponse_Event{Event: e}})
			})
			send(provider.Progress{Stage: provider.StageAccepted})
			for i := range uint64(10_001) {
				send(provider.Progress{Stage: provider.StageFetching, Done: i, Total: 10_000, Source: "peer"})
			}
			send(provider.Progress{Stage: provider.StageStarting})
			send(provider.Progress{Stage: provider.StageHealthy})
			send(provider.Progress{Stage: provider.StageHealthy})
			return nil
		}))
	s, err := rpc.Call(t.Context(), nodes[0].Host(), nodes[1].ID(), rpc.Provision, &podpb.ProvisionRequest{}, func() *podpb.ProvisionResponse { return new(podpb.ProvisionResponse) })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got []*podpb.ProvisionEvent
	for {
		res, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, res.GetEvent())
	}
	var finals, healthy, first int
	for _, e := range got {
		switch {
		case e.GetTotal() > 0 && e.GetBytes() == e.GetTotal():
			finals++
		case e.GetStage() == podpb.Stage(provider.StageHealthy):
			healthy++
		case e.GetStage() == podpb.Stage(provider.StageFetching) && e.GetBytes() == 0:
			first++
		}
	}
	if finals != 1 || healthy != 1 || first != 1 || len(got) > 1000 {
		t.Errorf("got %d events: %d final, %d healthy, %d first", len(got), finals, healthy, first)
	}
}

func TestDialFor(t *testing.T) {
	nodes := p2ptest.Nodes(t, 2)
	a := &API{host: nodes[1].Host()}
	for _, c := range []struct{ dial, want string }{
		{"192.0.2.1:80", "192.0.2.1:80"},
		{"0.0.0.0:80", "127.0.0.1:80"},
		{"[::]:80", "127.0.0.1:80"},
		{":80", "127.0.0.1:80"},
		{"[2001:db8::1]:80", "[2001:db8::1]:80"},
		{"host.example:80", "host.example:80"},
		{"nonsense", "nonsense"},
	} {
		// Without a name, it is the one that the peer reached.
		if got := a.dialFor(nodes[0].ID(), c.dial); got != c.want {
			t.Errorf("%s: got %s, want %s", c.dial, got, c.want)
		}
	}
}

func TestPodsToWire(t *testing.T) {
	nodes := p2ptest.Nodes(t, 2)
	a := &API{host: nodes[1].Host()}
	at := time.UnixMilli(1_800_000_000_123)
	got := a.podsToWire(nodes[0].ID(), []provider.PodView{{
		ID: "abc", Publisher: "12D3", Name: "app", Revision: 3, State: provider.StateRunning, Reason: "why", ManifestDigest: manifest.Digest{1}, Created: at, Updated: at,
		Endpoints:  []provider.Endpoint{{Container: "web", Target: 80, Port: 8081, Protocol: manifest.HTTP, Host: "h", URL: "http://h/", Dial: "0.0.0.0:8081"}},
		Containers: []provider.ContainerView{{Name: "web", Replica: 1, State: "exited", Restarts: 2, ExitCode: -1, CID: "b", ImageID: "sha256:00", Reason: "killed"}},
	}}).GetResult().GetPods()[0]
	digest := manifest.Digest{1}
	want := &podpb.PodStatus{
		PodId: "abc", Name: "app", Revision: 3, State: "running", Reason: "why", ManifestDigest: digest[:], CreatedAt: at.UnixMilli(), UpdatedAt: at.UnixMilli(),
		Endpoints:  []*podpb.Endpoint{{Container: "web", Port: 8081, Protocol: "http", Url: "http://h/", Dial: "127.0.0.1:8081"}},
		Containers: []*podpb.ContainerStatus{{Name: "web", Replica: 1, State: "exited", Restarts: 2, ExitCode: -1, Cid: "b", ImageId: "sha256:00", Reason: "killed"}},
	}
	if diff := cmp.Diff(want.String(), got.String()); diff != "" {
		t.Error(diff)
	}
}
