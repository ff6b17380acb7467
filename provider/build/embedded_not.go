//go:build !embedrunc

package build

// embeddedServer is empty: this build has no runtime "static".
var embeddedServer []byte
