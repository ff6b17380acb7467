//go:build !embedrunc

package containerd

// embeddedRunc is empty: this build takes the runc on PATH.
var embeddedRunc []byte
