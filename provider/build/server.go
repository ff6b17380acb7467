package build

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

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
