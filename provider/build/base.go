package build

import (
	"bytes"
	"encoding/pem"
	"sync"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// User and group of every app; the number that distroless images use for "nonroot".
const nonroot = "65532:65532"

const (
	passwd = "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n"
	group  = "root:x:0:\nnonroot:x:65532:\n"
)

// authorities is the NSS trust store as PEM. Roots with constraints that a file
// cannot express are left out: a program would trust them for everything.
var authorities = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			// A buffer takes everything.
			_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
		}
	}
	return b.Bytes()
})

// base writes what every image has.
func (w *layerWriter) base() error {
	for _, step := range []func() error{
		func() error { return w.dir("etc", modeDir) },
		func() error { return w.bytes("etc/group", modeFile, []byte(group)) },
		func() error { return w.bytes("etc/passwd", modeFile, []byte(passwd)) },
		func() error { return w.dir("etc/ssl", modeDir) },
		func() error { return w.dir("etc/ssl/certs", modeDir) },
		func() error { return w.bytes("etc/ssl/certs/ca-certificates.crt", modeFile, authorities()) },
		func() error { return w.dir("tmp", 0o1777) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
