//go:build embedrunc

package containerd

import _ "embed"

// embeddedRunc is a static runc, compressed with zstd by runc/build.sh.
//
//go:embed runc/runc.zst
var embeddedRunc []byte
