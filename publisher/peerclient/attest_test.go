package peerclient

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest"
	"apocryph/p2p/p2ptest"
	"apocryph/p2p/rpc"
	"apocryph/proto/attestpb"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// attesting is a client of a provider that answers every call the same.
func attesting(t *testing.T, heard *attestpb.AttestRequest, say ...*attestpb.AttestResponse) (*Client, publisher.ProviderID) {
	t.Helper()
	nodes := p2ptest.Nodes(t, 2)
	t.Cleanup(rpc.Handle(nodes[1].Host(), rpc.Attest, nil, func() *attestpb.AttestRequest { return new(attestpb.AttestRequest) },
		func(_ context.Context, s *rpc.ServerStream[*attestpb.AttestResponse], req *attestpb.AttestRequest) error {
			heard.Nonce, heard.ImageIds = req.GetNonce(), req.GetImageIds()
			for _, m := range say {
				if err := s.Send(m); err != nil {
					return err
				}
			}
			return nil
		}))
	return New(nodes[0].Host()), publisher.ProviderID(nodes[1].ID().String())
}

func built(envelope []byte) *attestpb.AttestResponse {
	return &attestpb.AttestResponse{Body: &attestpb.AttestResponse_Event{Event: &attestpb.AttestEvent{Body: &attestpb.AttestEvent_Built{Built: envelope}}}}
}

// TestStatements come between the log and the result, and no more of them than images
// were asked about.
func TestStatements(t *testing.T) {
	end := &attestpb.AttestResponse{Body: &attestpb.AttestResponse_Result{Result: &attestpb.AttestResult{Claims: []byte("c")}}}
	big := bytes.Repeat([]byte{'x'}, 512<<10)
	for name, tt := range map[string]struct {
		images []string
		say    []*attestpb.AttestResponse
		want   [][]byte
		code   status.Code
	}{
		"two":         {[]string{"a", "b"}, []*attestpb.AttestResponse{built([]byte("1")), built([]byte("2")), end}, [][]byte{[]byte("1"), []byte("2")}, 0},
		"none":        {[]string{"a"}, []*attestpb.AttestResponse{end}, nil, 0},
		"not asked":   {nil, []*attestpb.AttestResponse{built([]byte("1")), end}, nil, status.Unavailable},
		"too many":    {[]string{"a"}, []*attestpb.AttestResponse{built([]byte("1")), built([]byte("2")), end}, nil, status.Unavailable},
		"too long":    {make([]string, 64), append(slices.Repeat([]*attestpb.AttestResponse{built(big)}, attest.MaxStatements/len(big)+1), end), nil, status.Unavailable},
		"no end":      {[]string{"a"}, []*attestpb.AttestResponse{built([]byte("1"))}, nil, status.Unavailable},
		"empty event": {[]string{"a"}, []*attestpb.AttestResponse{{Body: &attestpb.AttestResponse_Event{Event: &attestpb.AttestEvent{}}}, end}, nil, status.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			heard := new(attestpb.AttestRequest)
			c, at := attesting(t, heard, tt.say...)
			got, err := c.Attest(t.Context(), at, publisher.AttestRequest{Challenge: attest.Challenge{Purpose: attest.PurposeProvision}, Images: tt.images}, nil)
			if tt.code != 0 || err != nil {
				if status.CodeOf(err) != tt.code {
					t.Errorf("got %v, want %v", err, tt.code)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got.Built); diff != "" {
				t.Error(diff)
			}
			if !slices.Equal(heard.GetImageIds(), tt.images) {
				t.Errorf("it asked for %q", heard.GetImageIds())
			}
		})
	}
}
