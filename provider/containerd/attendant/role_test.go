package attendant

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/api/types"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) {
	if Run() {
		return
	}
	os.Exit(m.Run())
}

// TestInfo: a shim says what it is where no runc is in reach, and before it has options.
func TestInfo(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), ShimName)
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, "-info")
	cmd.Env = []string{"PATH="}
	var wrong bytes.Buffer
	cmd.Stderr = &wrong
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, wrong.String())
	}
	var got types.RuntimeInfo
	if err := proto.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if got.Name != "io.containerd.runc.v2" || got.Features != nil {
		t.Errorf("it is %v", &got)
	}
}
