package peerapi

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"apocryph/proto/podpb"
	"apocryph/proto/status"
)

// tokenCanary must be in no error.
const tokenCanary = "token-canary"

func sealedBuild(t testing.TB, change func(*podpb.SealedBuild)) []byte {
	t.Helper()
	w := &podpb.SealedBuild{Repository: "https://github.com/o/r", Username: "u", Token: []byte(tokenCanary), PublisherPeer: []byte("peer")}
	if change != nil {
		change(w)
	}
	b, err := proto.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCredentialFromWire(t *testing.T) {
	got, err := credentialFromWire(sealedBuild(t, nil), []byte("peer"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&BuildCredential{Repository: "https://github.com/o/r", Username: "u", Token: tokenCanary}, got); diff != "" {
		t.Error(diff)
	}
	if text := fmt.Sprintf("%v %+v %#v", got, got, *got); strings.Contains(text, tokenCanary) {
		t.Errorf("it prints %s", text)
	}
	for name, c := range map[string]struct {
		spoil  func(*podpb.SealedBuild)
		code   status.Code
		reason string
		faults int
	}{
		"another peer":    {func(w *podpb.SealedBuild) { w.PublisherPeer = []byte("other") }, status.PermissionDenied, "build.publisher", 0},
		"no peer":         {func(w *podpb.SealedBuild) { w.PublisherPeer = nil }, status.PermissionDenied, "build.publisher", 0},
		"no repository":   {func(w *podpb.SealedBuild) { w.Repository = "" }, status.InvalidArgument, "build.sealed", 1},
		"long repository": {func(w *podpb.SealedBuild) { w.Repository = strings.Repeat("x", maxBuildText+1) }, status.InvalidArgument, "build.sealed", 1},
		"no token":        {func(w *podpb.SealedBuild) { w.Token = nil }, status.InvalidArgument, "build.sealed", 1},
		"long token":      {func(w *podpb.SealedBuild) { w.Token = bytes.Repeat([]byte("x"), maxToken+1) }, status.InvalidArgument, "build.sealed", 1},
		"another header":  {func(w *podpb.SealedBuild) { w.Token = []byte(tokenCanary + "\r\nX: 1") }, status.InvalidArgument, "build.sealed", 1},
		"another line":    {func(w *podpb.SealedBuild) { w.Username = tokenCanary + "\n" }, status.InvalidArgument, "build.sealed", 1},
		"a NUL":           {func(w *podpb.SealedBuild) { w.Token = []byte(tokenCanary + "\x00") }, status.InvalidArgument, "build.sealed", 1},
		"a colon":         {func(w *podpb.SealedBuild) { w.Username = "a:" + tokenCanary }, status.InvalidArgument, "build.sealed", 1},
		"long username":   {func(w *podpb.SealedBuild) { w.Username = strings.Repeat("x", maxUsername+1) }, status.InvalidArgument, "build.sealed", 1},
		"all at once":     {func(w *podpb.SealedBuild) { w.Repository, w.Username, w.Token = "", "a:b\n", nil }, status.InvalidArgument, "build.sealed", 4},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := credentialFromWire(sealedBuild(t, c.spoil), []byte("peer"))
			refused(t, err, c.code, c.reason)
			if n := len(status.Public(err).Faults); n != c.faults || got != nil {
				t.Errorf("%d faults, want %d: %v", n, c.faults, err)
			}
			if strings.Contains(err.Error(), tokenCanary) {
				t.Errorf("the error shows it: %v", err)
			}
		})
	}
	_, err = credentialFromWire([]byte{0xff}, []byte("peer"))
	refused(t, err, status.InvalidArgument, "build.sealed")
}

func FuzzCredentialFromWire(f *testing.F) {
	f.Add(sealedBuild(f, nil))
	f.Add(sealedBuild(f, func(w *podpb.SealedBuild) { w.Token = []byte("a\nb") }))
	f.Add([]byte{0x1a, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := credentialFromWire(b, []byte("peer"))
		if (c == nil) == (err == nil) {
			t.Fatalf("got %v and %v", c, err)
		}
		if c != nil && (c.Token == "" || c.Repository == "" || strings.ContainsAny(c.Token+c.Username+c.Repository, "\r\n\x00") || strings.Contains(c.Username, ":")) {
			t.Errorf("taken: %q", b)
		}
	})
}

// TestHalfASecret: who sends one part of a sealed message without the other, or one that
// does not open, has nothing built, whatever the repository is.
func TestHalfASecret(t *testing.T) {
	_, _, svc := node(t)
	a := &API{svc: svc}
	for name, w := range map[string]*podpb.BuildImage{
		"no key":        {Ciphertext: make([]byte, 64)},
		"no ciphertext": {Enc: make([]byte, 32)},
		"neither opens": {Enc: append([]byte{9}, make([]byte, 31)...), Ciphertext: make([]byte, 64)},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := a.credential([]byte("peer"), [16]byte{}, [32]byte{}, w)
			refused(t, err, status.Untrusted, "provision.unsealable")
			if got != nil {
				t.Error("a credential came out")
			}
		})
	}
	if got, err := a.credential(nil, [16]byte{}, [32]byte{}, &podpb.BuildImage{}); got != nil || err != nil {
		t.Errorf("nothing became %v, %v", got, err)
	}
}
