package providerd

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"apocryph/proto/status"
	"apocryph/provider/vault"
)

func TestStorageOptions(t *testing.T) {
	good := Config{DataDir: "/d", TEE: "soft", Ports: "1-2", Ingress: ":0", DHTPrefix: "/x", Listen: []string{"/ip4/127.0.0.1/tcp/0"}, NoMDNS: true, Domain: "localhost"}
	for _, tt := range []struct {
		storage, size string
		kind          vault.Kind
		bytes         int64
		fault         string
	}{
		{"", "", vault.FSCrypt, 0, ""},
		{"fscrypt", "20Gi", vault.FSCrypt, 20 << 30, ""},
		{"tmpfs", "512Mi", vault.TmpFS, 512 << 20, ""},
		{"none", "", vault.None, 0, ""},
		{"none", "1Gi", "", 0, "storage-size"},
		{"luks", "", "", 0, "storage"},
		{"FSCRYPT", "", "", 0, "storage"},
		{"fscrypt", "0", "", 0, "storage-size"},
		{"fscrypt", "-1Gi", "", 0, "storage-size"},
		{"fscrypt", "large", "", 0, "storage-size"},
		{"fscrypt", "9Ei", "", 0, "storage-size"},
		{"fscrypt", "100Ei", "", 0, "storage-size"},
	} {
		cfg := good
		cfg.Storage, cfg.StorageSize = tt.storage, tt.size
		set, err := cfg.check()
		if tt.fault != "" {
			faults := faultsOf(err)
			if len(faults) != 1 || faults[0].Field != tt.fault {
				t.Errorf("%q, %q: %v", tt.storage, tt.size, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q, %q: %v", tt.storage, tt.size, err)
			continue
		}
		at, err := set.vaultConfig()
		if err != nil || at.Kind != tt.kind || at.Size != tt.bytes || at.Fallback || at.Reserve != (tt.kind == vault.FSCrypt) {
			t.Errorf("%q, %q: %+v, %v", tt.storage, tt.size, at, err)
		}
	}
	// Memory needs a limit.
	good.Storage = "tmpfs"
	set, err := good.check()
	if err != nil {
		t.Fatal(err)
	}
	if at, err := set.vaultConfig(); err != nil || at.Size < 1<<20 {
		t.Errorf("tmpfs without a size: %+v, %v", at, err)
	}
}

// TestStorageIsNeverWeaker has a machine that cannot do it named, with the ways out.
func TestStorageIsNeverWeaker(t *testing.T) {
	err := refusal(vault.FSCrypt, status.New(status.Unimplemented, "vault.mkfs", "mkfs.ext4 is not here").WithHint("install e2fsprogs"))
	var e *status.Error
	if !errors.As(err, &e) || e.Code != status.Unimplemented || e.Reason != "provider.storage" || !strings.Contains(e.Detail, "mkfs.ext4 is not here") {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"install e2fsprogs", "provider doctor", "--storage none", "--storage tmpfs"} {
		if !strings.Contains(e.Hint, want) {
			t.Errorf("the hint lacks %q: %s", want, e.Hint)
		}
	}
	// What is no lack of the machine is told as it is.
	full := status.New(status.ResourceExhausted, "vault.space", "the disk is full")
	if got := refusal(vault.FSCrypt, full); got != error(full) {
		t.Errorf("got %v", got)
	}
}

func TestRemovePlainRuntime(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	dir := filepath.Join(t.TempDir(), "runtime")
	if err := removePlainRuntime(dir, log); err != nil {
		t.Fatalf("nothing there: %v", err)
	}
	mkdir := func(name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	mkdir("containerd/snapshots/1/fs")
	mkdir("volumes/pod/data")
	err := removePlainRuntime(dir, log)
	if status.ReasonOf(err) != "provider.plain_volumes" {
		t.Fatalf("with a volume: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "containerd/snapshots/1/fs")); err != nil {
		t.Errorf("it was refused and yet removed: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "volumes/pod")); err != nil {
		t.Fatal(err)
	}
	if err := removePlainRuntime(dir, log); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the plaintext is still there: %v", err)
	}
}
