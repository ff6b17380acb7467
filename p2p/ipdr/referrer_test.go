package ipdr

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/ipfs/go-cid"

	"apocryph/p2p/content"
	"apocryph/proto/status"
)

func documents() []Referrer {
	return []Referrer{
		{Type: TypeInToto, Data: []byte(`{"payloadType":"x"}`), Annotations: map[string]string{"org.opencontainers.image.created": "2026-11-21T10:00:00Z"}},
		{Type: TypeCycloneDX, Data: []byte(`{"bomFormat":"CycloneDX"}`)},
	}
}

// registry serves the files of an image's directory as a registry would that has
// no referrers API.
func registry(dir string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rest, ok := strings.CutPrefix(r.URL.Path, "/v2/app/")
		if !ok {
			return // the version check
		}
		b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(rest)))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		var m struct{ MediaType string }
		if json.Unmarshal(b, &m) == nil && strings.HasPrefix(rest, "manifests/") {
			w.Header().Set("Content-Type", m.MediaType)
		}
		_, _ = w.Write(b)
	})
}

// TestReferrersByTools reads what is attached with a tool of others.
func TestReferrersByTools(t *testing.T) {
	s := newStore(t, nil)
	img := sample(t, s, "v1.0", 1000)
	bare := mustBuild(t, s, img)
	img.Referrers = documents()
	root := mustBuild(t, s, img)
	if again := mustBuild(t, s, img); again != root || root == bare {
		t.Errorf("roots %s, %s and %s without", root, again, bare)
	}
	dir := t.TempDir()
	export(t, s, root, dir)
	server := httptest.NewServer(registry(dir))
	defer server.Close()
	// Its idle connections are not ours to end otherwise.
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	ref, err := name.NewDigest(strings.TrimPrefix(server.URL, "http://")+"/app@"+digestOf(img.Manifest), name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Referrers(ref, remote.WithTransport(transport), remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil || len(list.Manifests) != 2 {
		t.Fatalf("got %+v, %v", list, err)
	}
	for i, want := range documents() {
		d := list.Manifests[i]
		if d.ArtifactType != want.Type {
			t.Errorf("artifact of type %s, want %s", d.ArtifactType, want.Type)
		}
		got, err := remote.Image(ref.Context().Digest(d.Digest.String()), remote.WithTransport(transport), remote.WithContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		m, err := got.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject == nil || m.Subject.Digest.String() != digestOf(img.Manifest) || m.Subject.Size != int64(len(img.Manifest)) || m.Config.MediaType != emptyType {
			t.Errorf("got %+v", m)
		}
		layers, err := got.Layers()
		if err != nil || len(layers) != 1 {
			t.Fatal(len(layers), err)
		}
		if err := validate.Layer(layers[0], validate.Fast); err != nil {
			t.Error(err)
		}
		r, err := layers[0].Compressed()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(b, want.Data) {
			t.Errorf("got %q, %v", b, err)
		}
		_ = r.Close()
	}
}

// TestReferrers reads them over the network, and the image as if there were none.
func TestReferrers(t *testing.T) {
	pub, prov, from := two(t)
	img := sample(t, pub, "", 1000)
	img.Referrers = documents()
	root := mustBuild(t, pub, img)
	for _, want := range []string{"", digestOf(img.Manifest)} {
		if r, err := Open(t.Context(), prov, from(root), want); err != nil || !bytes.Equal(r.Manifest, img.Manifest) {
			t.Errorf("opened %+v, %v", r, err)
		}
	}
	got, err := Referrers(t.Context(), prov, from(root), digestOf(img.Manifest))
	if err != nil {
		t.Fatal(err)
	}
	want := documents()
	for i := range want {
		// Whoever may have the image finds them by their own CIDs.
		c, err := cid.Decode(img.Referrers[i].CID)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := prov.FetchBytes(t.Context(), from(root), c, maxReferrer); err != nil || !bytes.Equal(b, want[i].Data) {
			t.Errorf("got %q by its CID, %v", b, err)
		}
		want[i].CID = img.Referrers[i].CID
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err := Referrers(t.Context(), prov, from(root), digestOf(nil)); err != nil || got != nil {
		t.Errorf("another image has %v, %v", got, err)
	}
	_, err = Referrers(t.Context(), prov, from(root), "latest")
	wantCode(t, err, status.InvalidArgument)
}

func TestReferrersBuildRefuses(t *testing.T) {
	s := newStore(t, nil)
	many := map[string]string{}
	for i := range maxAnnotations + 1 {
		many[strings.Repeat("x", i)] = ""
	}
	for name, list := range map[string][]Referrer{
		"no type":     {{Data: []byte("x")}},
		"half a type": {{Type: "application/", Data: []byte("x")}},
		"long type":   {{Type: "a/" + strings.Repeat("x", 255), Data: []byte("x")}},
		"nothing":     {{Type: TypeInToto}},
		"large":       {{Type: TypeInToto, Data: make([]byte, maxReferrer+1)}},
		"annotations": {{Type: TypeInToto, Data: []byte("x"), Annotations: many}},
		"twice":       append(documents(), documents()...),
		"many":        make([]Referrer, maxReferrers+1),
	} {
		img := sample(t, s, "", 10)
		img.Referrers = list
		_, err := Build(t.Context(), s, img)
		if status.CodeOf(err) != status.InvalidArgument || status.ReasonOf(err) != "image.parts" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestReferrersRefuse has what a stranger's directory may say of an image.
func TestReferrersRefuse(t *testing.T) {
	pub, prov, from := two(t)
	ctx := t.Context()
	subject := digestOf([]byte("image"))
	add := func(b []byte) content.Node {
		n, err := pub.AddBytes(ctx, b)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	data := add([]byte("document"))
	good := artifact{
		SchemaVersion: 2, ArtifactType: TypeInToto, Subject: Descriptor{Digest: subject},
		Layers: []Descriptor{{MediaType: TypeInToto, Digest: data.Digest, Size: data.Size}},
	}
	for name, tt := range map[string]struct {
		spoil func(*artifact, *referrers)
		code  status.Code
	}{
		"good":             {func(*artifact, *referrers) {}, status.OK},
		"another subject":  {func(a *artifact, _ *referrers) { a.Subject.Digest = digestOf(nil) }, status.Untrusted},
		"another type":     {func(a *artifact, _ *referrers) { a.ArtifactType = TypeCycloneDX }, status.Untrusted},
		"no document":      {func(a *artifact, _ *referrers) { a.Layers = nil }, status.Untrusted},
		"another size":     {func(a *artifact, _ *referrers) { a.Layers[0].Size++ }, status.Untrusted},
		"unknown document": {func(a *artifact, _ *referrers) { a.Layers[0].Digest = digestOf([]byte("x")) }, status.NotFound},
		"no digest":        {func(a *artifact, _ *referrers) { a.Layers[0].Digest = "latest" }, status.InvalidArgument},
		"too many":         {func(_ *artifact, r *referrers) { r.Manifests = make([]referrerOf, maxReferrers+1) }, status.InvalidArgument},
		"manifest's size":  {func(_ *artifact, r *referrers) { r.Manifests[0].Size++ }, status.Untrusted},
		"negative size":    {func(_ *artifact, r *referrers) { r.Manifests[0].Size = -1 }, status.InvalidArgument},
	} {
		a := good
		a.Layers = []Descriptor{good.Layers[0]}
		all := referrers{SchemaVersion: 2, Manifests: []referrerOf{{Size: -2, ArtifactType: TypeInToto}}}
		tt.spoil(&a, &all)
		b, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		m := add(b)
		if len(all.Manifests) == 1 {
			all.Manifests[0].Digest, all.Manifests[0].Size = m.Digest, all.Manifests[0].Size+2+m.Size
			if name == "negative size" {
				all.Manifests[0].Size = -1
			}
		}
		if b, err = json.Marshal(all); err != nil {
			t.Fatal(err)
		}
		hex, _ := hexOf(subject)
		manifests, err := pub.AddDirectory(ctx, []content.Entry{{Name: "sha256-" + hex, Node: add(b)}, {Name: m.Digest, Node: m}})
		if err != nil {
			t.Fatal(err)
		}
		blobs, err := pub.AddDirectory(ctx, []content.Entry{{Name: data.Digest, Node: data}})
		if err != nil {
			t.Fatal(err)
		}
		root, err := pub.AddDirectory(ctx, []content.Entry{{Name: "blobs", Node: blobs}, {Name: "manifests", Node: manifests}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Referrers(ctx, prov, from(root.CID), subject); status.CodeOf(err) != tt.code {
			t.Errorf("%s: got %v, want %v", name, err, tt.code)
		}
	}
}
