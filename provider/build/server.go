package build

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

// maxServer bounds, in bytes, what the embedded server may unfold to.
const maxServer = 64 << 20

// unpackServer unfolds the embedded server, once.
var unpackServer = sync.OnceValues(func() ([]byte, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxServer))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	data, err := d.DecodeAll(embeddedServer, nil)
	if err != nil {
		return nil, fmt.Errorf("unpacking the web server: %w", err)
	}
	return data, nil
})

// described is what is known of a layer without its bytes.
type described struct {
	digest string
	size   int64
}

// serverLayer is the lowest layer of all sites. Its digest is found once; its bytes
// are made for who reads them, which is nobody where the layer is sealed already.
func (b *Builder) serverLayer(ctx context.Context) (oci.Layer, error) {
	b.below.Lock()
	defer b.below.Unlock()
	if b.below.size == 0 {
		d, err := b.writeServer(ctx, io.Discard)
		if err != nil {
			return oci.Layer{}, err
		}
		b.below.described = d
	}
	d := b.below.described
	return oci.Layer{
		MediaType: oci.MediaTypeLayer, Digest: d.digest, Size: d.size,
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			var buf bytes.Buffer
			buf.Grow(int(d.size))
			if _, err := b.writeServer(ctx, &buf); err != nil {
				return nil, err
			}
			return oci.Verify(io.NopCloser(&buf), d.digest, d.size, "layer "+d.digest), nil
		},
	}, nil
}

func (b *Builder) writeServer(ctx context.Context, out io.Writer) (described, error) {
	server, err := b.server()
	if err != nil {
		return described{}, err
	}
	w := layerTo(ctx, out)
	err = w.bytes(serverName, modeExec, server)
	if err == nil {
		err = w.base()
	}
	digest, err := w.end(err)
	return described{digest, w.sum.size}, err
}

// server returns the program that serves static sites.
func (b *Builder) server() ([]byte, error) {
	if b.cfg.Server != nil {
		return b.cfg.Server, nil
	}
	if len(embeddedServer) == 0 {
		return nil, status.New(status.Unavailable, "build.server", "this program was built without the web server of static sites").
			WithHint("build it by make build, or with the tag embedrunc")
	}
	return unpackServer()
}
