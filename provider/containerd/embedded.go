//go:build embedrunc

package containerd

import _ "embed"

// embeddedRunc is a static runc, compressed with zstd by runc/build.sh.
//
//go:embed runc/runc.zst
var embeddedRunc []byte

// embeddedAttendant is apocryph-attendant, compressed by attendant/build.sh.
//
//go:embed attendant/attendant.zst
var embeddedAttendant []byte
