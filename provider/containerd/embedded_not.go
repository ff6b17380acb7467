//go:build !embedrunc

package containerd

// embeddedRunc is empty: this build takes the runc on PATH.
var embeddedRunc []byte

// embeddedAttendant is empty: this program starts itself as shims and log writers.
var embeddedAttendant []byte
