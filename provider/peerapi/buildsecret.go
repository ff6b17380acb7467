package peerapi

import (
	"bytes"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"apocryph/proto/podpb"
	"apocryph/proto/status"
)

// BuildCredential opens a private repository, for one build. It is kept in memory alone.
type BuildCredential struct {
	// Repository is the URL that it is for, as the publisher takes the source; it must
	// not be sent anywhere else.
	Repository string
	// Username may be empty.
	Username, Token string
}

// String hides the credential from formatted output.
func (BuildCredential) String() string { return "peerapi.BuildCredential(hidden)" }

// GoString hides it from %#v.
func (c BuildCredential) GoString() string { return c.String() }

const (
	// maxToken and maxUsername bound a credential: it becomes a header of a request.
	maxToken    = 4096
	maxUsername = 255
)

// credential opens what was sealed with a call; nil where nothing was.
func (a *API) credential(peer []byte, request [16]byte, claims [32]byte, w *podpb.BuildImage) (*BuildCredential, error) {
	if len(w.GetEnc()) == 0 && len(w.GetCiphertext()) == 0 {
		return nil, nil
	}
	plaintext, err := a.svc.OpenBuild(claims, request, w.GetEnc(), w.GetCiphertext())
	if err != nil {
		return nil, err
	}
	return credentialFromWire(plaintext, peer)
}

// credentialFromWire reads what was sealed. No fault shows any of it.
func credentialFromWire(b, peer []byte) (*BuildCredential, error) {
	var w podpb.SealedBuild
	if err := proto.Unmarshal(b, &w); err != nil {
		return nil, status.New(status.InvalidArgument, "build.sealed", "the sealed bytes are no SealedBuild")
	}
	if !bytes.Equal(w.GetPublisherPeer(), peer) {
		return nil, status.New(status.PermissionDenied, "build.publisher", "the sealed credential names another publisher than the one who sent it")
	}
	var faults []status.Fault
	text := func(field, s string, least, most int) {
		switch {
		case len(s) < least || len(s) > most:
			faults = append(faults, status.Fault{Field: field, Got: bytesText(len(s)), Want: fmt.Sprintf("%d to %d bytes", least, most)})
		case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
			faults = append(faults, status.Fault{Field: field, Got: "control characters", Want: "none"})
		}
	}
	c := &BuildCredential{Repository: w.GetRepository(), Username: w.GetUsername(), Token: string(w.GetToken())}
	text("repository", c.Repository, 1, maxBuildText)
	text("username", c.Username, 0, maxUsername)
	text("token", c.Token, 1, maxToken)
	if strings.Contains(c.Username, ":") {
		faults = append(faults, status.Fault{Field: "username", Got: "a colon", Want: "none"})
	}
	if len(faults) > 0 {
		return nil, status.Invalid("build.sealed", "the sealed credential", faults)
	}
	return c, nil
}
