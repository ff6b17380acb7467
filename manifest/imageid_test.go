package manifest

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
)

func TestByID(t *testing.T) {
	id := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("hello")))
	got, err := ByID(id)
	// `printf hello | ipfs add --cid-version=1 --raw-leaves`
	want := Image{CID: "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq", EncryptedDigest: id, ImageID: id}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	var v validator
	if v.pinned("image", &got); len(v.faults) > 0 {
		t.Errorf("it cannot travel: %v", v.faults)
	}
	for _, bad := range []string{"", "sha256:", id[1:], id + "0", strings.ToUpper(id), "sha512:" + id[7:]} {
		if _, err := ByID(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
