package builds_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"apocryph/p2p/content"
	"apocryph/p2p/ipdr"
	"apocryph/p2p/oci"
	"apocryph/provider/builds"
	"apocryph/provider/images"
)

// TestDocumentsOnIPFS: what a build says of its image is the same by the API, by its
// CID, and as what refers to the image.
func TestDocumentsOnIPFS(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	store, err := content.New(content.Config{Dir: dir})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	w.cfg.Importer, err = images.NewImporter(images.ImporterConfig{Store: store, Dir: dir, Now: time.Now})
	must(t, err)
	w.cfg.Builder = labelled{w}
	q, _ := w.run()
	b, err := q.Submit(t.Context(), w.upload("print(1)"))
	must(t, err)
	if b, _ = ended(t, q, b.ID); b.Status != builds.Succeeded {
		t.Fatalf("got %+v", b)
	}
	bill, err := q.SBOM(t.Context(), "team", b.ID)
	must(t, err)
	envelope, err := q.Provenance(t.Context(), "team", b.ID)
	must(t, err)
	root, err := cid.Decode(b.ImageCID)
	must(t, err)
	list, err := ipdr.Referrers(t.Context(), store, content.Origin{Root: root}, b.Sealed)
	must(t, err)
	if len(list) != 2 || list[0].Type != ipdr.TypeCycloneDX || list[1].Type != ipdr.TypeInToto {
		t.Fatalf("got %+v", list)
	}
	for i, want := range []struct {
		cid string
		doc []byte
	}{{b.SBOMCID, bill}, {b.ProvenanceCID, envelope}} {
		c, err := cid.Decode(want.cid)
		must(t, err)
		got, err := store.ReadBytes(t.Context(), c, 1<<20)
		must(t, err)
		if !bytes.Equal(got, want.doc) || !bytes.Equal(list[i].Data, want.doc) || list[i].CID != want.cid {
			t.Errorf("%s has %q, the image %q of %s, want %q", want.cid, got, list[i].Data, list[i].CID, want.doc)
		}
	}
}

// labelled makes an image whose configuration can be sealed.
type labelled struct{ builds.Builder }

func (l labelled) Build(ctx context.Context, j builds.Job) (builds.Made, error) {
	made, err := l.Builder.Build(ctx, j)
	if err == nil {
		made.Image.Config, made.Image.ConfigMediaType = []byte(`{"architecture":"amd64","os":"linux"}`), oci.MediaTypeConfig
	}
	return made, err
}
