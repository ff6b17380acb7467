//go:build embedrunc

package build

import _ "embed"

// embeddedServer is apocryph-static, compressed with zstd by static/build.sh.
//
//go:embed static/static.zst
var embeddedServer []byte
