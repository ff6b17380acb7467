package attest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
)

func endpoint() Endpoint {
	return Endpoint{
		Claims: []byte("claims"), Evidence: []Evidence{tpmEvidence()},
		Identity: &TPMIdentity{EKCertificates: [][]byte{{1}}, EKPublic: []byte{2}, AKPublic: []byte{3}},
		Receipt:  []byte(`{"payload":"e30="}`),
		Log:      &EndpointLog{Records: []byte{1}, Openings: map[uint64][]byte{3: {2}, 7: {3}}},
	}
}

func TestEndpoint(t *testing.T) {
	for name, want := range map[string]Endpoint{"tpm2": endpoint(), "soft": {Claims: []byte("x"), Evidence: []Evidence{softEvidence()}}} {
		b, err := want.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeEndpoint(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	a := Activate{[32]byte{1}, Activation{[]byte{2}, []byte{3}}}
	b, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DecodeActivate(b); err != nil || cmp.Diff(&a, got) != "" {
		t.Errorf("got %v, %v", got, err)
	}
	proof := Activated{[32]byte{4}}
	if b, err = proof.Encode(); err != nil {
		t.Fatal(err)
	}
	if got, err := DecodeActivated(b); err != nil || *got != proof {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestEndpointRefuses(t *testing.T) {
	b, err := endpoint().Encode()
	if err != nil {
		t.Fatal(err)
	}
	bad := endpoint()
	bad.Receipt = []byte("{")
	if _, err := bad.Encode(); status.CodeOf(err) != status.Internal {
		t.Errorf("a receipt that is not JSON: %v", err)
	}
	bad = endpoint()
	bad.Claims = make([]byte, MaxClaims+1)
	large, err := bad.Encode()
	if err != nil {
		t.Fatal(err)
	}
	bad = endpoint()
	bad.Identity.AKPublic = nil
	noKey, err := bad.Encode()
	if err != nil {
		t.Fatal(err)
	}
	bad = endpoint()
	bad.Evidence[0].TPM.Quoted = nil
	noQuote, err := bad.Encode()
	if err != nil {
		t.Fatal(err)
	}
	with := func(l *EndpointLog) []byte {
		e := endpoint()
		e.Log = l
		b, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	many := map[uint64][]byte{}
	for i := range maxBuilds + 1 {
		many[uint64(i)] = nil
	}
	for name, in := range map[string][]byte{
		"a long log": with(&EndpointLog{Records: make([]byte, MaxEndpointLog+1)}), "many openings": with(&EndpointLog{Openings: many}),
		"a long opening": with(&EndpointLog{Openings: map[uint64][]byte{0: make([]byte, maxOpening+1)}}),
		"opened twice":   bytes.Replace(with(&EndpointLog{Openings: map[uint64][]byte{7: {1}, 8: {1}}}), []byte(`"seq":8`), []byte(`"seq":7`), 1),
		"nothing":        nil, "text": []byte("<html>"), "a list": []byte("[]"), "no version": []byte(`{}`), "half": b[:len(b)/2],
		"twice": append(bytes.Clone(b), b...), "another version": bytes.Replace(b, []byte(`"0.0.1"`), []byte(`"0.0.2"`), 1),
		"no base64": []byte(`{"version":"0.0.1","result":"*"}`), "no message": []byte(`{"version":"0.0.1","result":"/w=="}`),
		"no identity": []byte(`{"version":"0.0.1","result":"","tpm_identity":"/w=="}`),
		"too much":    []byte(strings.Repeat(" ", MaxEndpoint+1)), "large claims": large, "no key": noKey, "no quote": noQuote,
	} {
		if got, err := DecodeEndpoint(in); status.CodeOf(err) != status.InvalidArgument {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	for name, in := range map[string]string{
		"nothing": "", "no version": "{}", "no digest": `{"version":"0.0.1","credential_blob":"AA==","encrypted_secret":"AA=="}`,
		"empty":  `{"version":"0.0.1","claims_digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`,
		"half":   `{"version":"0.0.1","claims_digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","credential_blob":"AA=="}`,
		"no hex": `{"version":"0.0.1","claims_digest":7}`,
	} {
		if got, err := DecodeActivate([]byte(in)); status.CodeOf(err) != status.InvalidArgument {
			t.Errorf("activate, %s: got %v, %v", name, got, err)
		}
	}
	for name, in := range map[string]string{"nothing": "", "no version": "{}", "no proof": `{"version":"0.0.1"}`} {
		if got, err := DecodeActivated([]byte(in)); status.CodeOf(err) != status.InvalidArgument {
			t.Errorf("activated, %s: got %v, %v", name, got, err)
		}
	}
}

func FuzzEndpoint(f *testing.F) {
	b, err := endpoint().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"version":"0.0.1"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEndpoint(b)
		if err != nil {
			return
		}
		again, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeEndpoint(again); err != nil {
			t.Fatal(err)
		}
	})
}
