package providerd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"apocryph/p2p/content"
	"apocryph/p2p/lifecycle"
	"apocryph/p2p/oci"
	"apocryph/p2p/source"
	"apocryph/provider"
	"apocryph/provider/artifacts"
	"apocryph/provider/builds"
	"apocryph/provider/deploy"
	"apocryph/provider/images"
	"apocryph/provider/ingress"
	"apocryph/provider/pull"
	"apocryph/provider/store"
)

// direct is what takes deploys of people who trust this provider.
type direct struct {
	deploys   *deploy.Orchestrator
	artifacts *artifacts.Store
	builds    *builds.Queue
	git       *pull.Puller
	// staging is for what is being received.
	staging string
}

// direct assembles the pipeline of direct deploys.
func (n *Node) direct(ctx context.Context, st *lifecycle.Stack, o parts, blocks *content.Store, svc *provider.Service, in *ingress.Ingress) (*direct, error) {
	// What is uploaded is plaintext until it is sealed.
	plain := filepath.Join(n.set.DataDir, "uploads")
	if o.disk != nil {
		plain = filepath.Join(o.disk.Path(), "uploads")
	}
	staging := filepath.Join(plain, "staging")
	if err := os.MkdirAll(staging, 0o700); err != nil {
		return nil, fmt.Errorf("making room for uploads: %w", err)
	}
	if err := source.Sweep(staging); err != nil {
		return nil, fmt.Errorf("removing left-over uploads: %w", err)
	}
	layers, err := openLayers(ctx, o.db.Documents("layer"))
	if err != nil {
		return nil, err
	}
	importer, err := images.NewImporter(images.ImporterConfig{
		Store: blocks, Dir: filepath.Join(n.set.DataDir, "content"), Cache: layers, Now: n.set.Now, Logger: n.log,
	})
	if err != nil {
		return nil, err
	}
	builder, err := n.builder(ctx, st, o, plain, blocks, importer)
	if err != nil {
		return nil, err
	}
	kept, err := n.artifacts(ctx, o.db)
	if err != nil {
		return nil, err
	}
	if err := st.Start(ctx, "artifacts", kept.Ready(), kept.Run); err != nil {
		return nil, err
	}
	from := newOrigins()
	queue, err := n.builds(ctx, st, o, plain, builder, importer, images.New(blocks), kept, svc, from)
	if err != nil {
		return nil, err
	}
	deploys := deploy.New(deploy.Config{
		Apps: o.db.Documents("app"), Deployments: o.db.Documents("deployment"), Orders: svc, Pods: svc, Logs: svc,
		Builder: builder, Importer: importer, Keeper: images.New(blocks), Artifacts: opener{kept}, Aliases: in, Builds: queue,
		NamespaceGit: from.origin, Refuse: from.refuse,
		Resolve: n.set.registries().read, Platform: oci.Platform{OS: "linux", Architecture: runtime.GOARCH},
		Staging: staging, Domain: n.set.Domain, Serving: svc.Ready(), Now: n.set.Now, Logger: n.log,
	})
	if err := st.Start(ctx, "direct deploys", deploys.Ready(), deploys.Run); err != nil {
		return nil, err
	}
	if err := n.pull(ctx, st, o, from, deploys, staging); err != nil {
		return nil, err
	}
	return &direct{deploys, kept, queue, from.puller, staging}, nil
}

// artifacts opens the store of uploads. It is of this measured state's data key;
// another state has another directory.
func (n *Node) artifacts(ctx context.Context, db *store.DB) (*artifacts.Store, error) {
	secrets := db.Documents("secret")
	have, err := secrets.All(ctx)
	if err != nil {
		return nil, err
	}
	identity := string(have["artifacts"])
	if identity == "" {
		if identity, err = artifacts.NewIdentity(); err != nil {
			return nil, err
		}
		if err := secrets.Put(ctx, "artifacts", []byte(identity)); err != nil {
			return nil, err
		}
	}
	name := sha256.Sum256([]byte("apocryph/artifacts/1\x00" + identity))
	if err := os.MkdirAll(filepath.Join(n.set.DataDir, "artifacts"), 0o700); err != nil {
		return nil, fmt.Errorf("making room for artifacts: %w", err)
	}
	return artifacts.New(artifacts.Config{
		Dir: filepath.Join(n.set.DataDir, "artifacts", hex.EncodeToString(name[:8])), Identity: identity,
		Records: artifactRecords{db.Documents("artifact")}, Now: n.set.Now, Logger: n.log,
	})
}

// opener opens artifacts for deploys.
type opener struct{ *artifacts.Store }

func (o opener) Open(ctx context.Context, namespace, id string) (deploy.Content, string, error) {
	a, err := o.Get(ctx, namespace, id)
	if err != nil {
		return nil, "", err
	}
	content, err := o.Store.Open(ctx, namespace, id)
	return content, a.SHA256, err
}
