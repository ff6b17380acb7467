package vault

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"apocryph/proto/status"
)

// TestVolumeKilledAt has a provider end by SIGKILL while it makes, grows or
// removes a volume.
func TestVolumeKilledAt(t *testing.T) {
	tests := []struct{ mode, step string }{
		{"volume", "mkfs"},
		{"volume", "made"},
		{"volume", "volume image"},
		{"volume", "volume mounted"},
		{"volume", "directory"},
		{"volume", "key"},
		{"volume", "policy"},
		{"volume", ""},
		{"remove", "volume unmounted"},
		{"remove", "volume deleted"},
		{"remove", ""},
	}
	if able(t) {
		for _, step := range []string{"volume mounted", "extended", "capacity", ""} {
			tests = append(tests, struct{ mode, step string }{"grow", step})
		}
	}
	for _, tt := range tests {
		t.Run(tt.mode+" "+tt.step, func(t *testing.T) {
			for _, rebooted := range []bool{false, true} {
				dir := tempDir(t)
				v := open(t, config(dir))
				if tt.mode != "volume" {
					vol := volume(t, v, "vol", testKey(1), testSize)
					mustWrite(t, filepath.Join(vol.Path, "a"), "kept")
				}
				if err := v.Close(); err != nil {
					t.Fatal(err)
				}
				if rebooted {
					reboot(t, dir)
					v = open(t, config(dir))
					if err := v.Close(); err != nil {
						t.Fatal(err)
					}
				}
				if err := run(t, tt.mode, dirEnv+"="+dir, stepEnv+"="+tt.step); err == nil || !strings.Contains(err.Error(), "killed") {
					t.Fatalf("the child was not killed: %v", err)
				}
				if rebooted {
					reboot(t, dir)
				}
				v = open(t, config(dir))
				// What was being made larger can be asked for as it was, or larger.
				size := int64(testSize)
				if tt.mode == "grow" && (tt.step == "" || rebooted) {
					size = 2 * testSize
				}
				vol := volume(t, v, "vol", testKey(1), size)
				if vol.Size != size {
					t.Errorf("size %d, want %d", vol.Size, size)
				}
				if tt.mode == "grow" || tt.step == "volume unmounted" {
					wantFile(t, filepath.Join(vol.Path, "a"), "kept")
				} else if _, err := os.Stat(filepath.Join(vol.Path, "a")); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("a removed file: %v", err)
				}
				mustWrite(t, filepath.Join(vol.Path, "b"), "works")
				if l := leftLoops(t, dir, 2); len(l) != 2 {
					t.Errorf("attached: %v", l)
				}
				destroy(t, v)
			}
		})
	}
}

// TestVolumeTampered has the disk's owner offer an image that is not ours.
func TestVolumeTampered(t *testing.T) {
	mounted := func(change func(t *testing.T, root string)) func(*testing.T, *Vault) {
		return func(t *testing.T, v *Vault) {
			dev, err := attachLoop(v.dirs.volumeImage("vol"))
			if err != nil {
				t.Fatal(err)
			}
			defer dev.close()
			at := filepath.Join(tempDir(t), "mnt")
			if err := mountExt4(dev, at, false); err != nil {
				t.Fatal(err)
			}
			change(t, at)
			if err := unmount(at, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	raw := func(off int64, b string) func(*testing.T, *Vault) {
		return func(t *testing.T, v *Vault) {
			f, err := os.OpenFile(v.dirs.volumeImage("vol"), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt([]byte(b), off); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name   string
		tamper func(*testing.T, *Vault)
		reason string
	}{
		{"plain content", mounted(func(t *testing.T, root string) {
			if err := os.RemoveAll(filepath.Join(root, dataDir)); err != nil {
				t.Fatal(err)
			}
			mustWrite(t, filepath.Join(root, dataDir, "bait"), "x")
		}), "vault.damaged"},
		{"a link", mounted(func(t *testing.T, root string) {
			data := filepath.Join(root, dataDir)
			if err := errors.Join(os.RemoveAll(data), os.Symlink("/tmp", data)); err != nil {
				t.Fatal(err)
			}
		}), "vault.damaged"},
		{"the attacker's key", mounted(func(t *testing.T, root string) {
			data := filepath.Join(root, dataDir)
			v := &Vault{cfg: Config{step: func(string) {}}}
			if err := errors.Join(os.RemoveAll(data), v.encryptDir(data, make([]byte, masterKeySize))); err != nil {
				t.Fatal(err)
			}
		}), "vault.key"},
		{"weaker names", mounted(func(t *testing.T, root string) {
			data, err := openDirectory(root)
			if err != nil {
				t.Fatal(err)
			}
			defer data.Close()
			path := filepath.Join(root, dataDir)
			if err := errors.Join(os.RemoveAll(path), os.Mkdir(path, 0o711)); err != nil {
				t.Fatal(err)
			}
			dir, err := openDirectory(path)
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			id, err := addKey(dir, make([]byte, masterKeySize))
			if err != nil {
				t.Fatal(err)
			}
			if err := setOther(dir, id); err != nil {
				t.Fatal(err)
			}
		}), "vault.damaged"},
		{"no superblock", raw(superOffset, strings.Repeat("\x00", superSize)), "vault.damaged"},
		{"a superblock without checksum", raw(superOffset+0x3fc, "\xff\xff\xff\xff"), "vault.damaged"},
		{"a huge file system", raw(superOffset+0x150, "\xff"), "vault.damaged"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := tempDir(t)
			v := open(t, config(dir))
			volume(t, v, "vol", testKey(1), testSize)
			if err := v.CloseVolume(t.Context(), "vol"); err != nil {
				t.Fatal(err)
			}
			tt.tamper(t, v)
			_, err := v.Volume(t.Context(), "vol", testKey(1), testSize)
			if status.ReasonOf(err) != tt.reason {
				t.Errorf("got %q (%v), want %q", status.ReasonOf(err), err, tt.reason)
			}
			if m := leftMounts(t, dir); len(m) != 1 {
				t.Errorf("mounted: %v", m)
			}
			if l := leftLoops(t, dir, 1); len(l) != 1 {
				t.Errorf("attached: %v", l)
			}
		})
	}
}
