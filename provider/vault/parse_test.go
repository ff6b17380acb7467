package vault

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func super(blocks uint64) []byte {
	b := make([]byte, superSize)
	binary.LittleEndian.PutUint16(b[0x38:], superMagic)
	binary.LittleEndian.PutUint32(b[0x18:], 2)
	binary.LittleEndian.PutUint32(b[0x60:], incompatEncrypt|incompat64bit)
	binary.LittleEndian.PutUint32(b[0x4:], uint32(blocks))
	binary.LittleEndian.PutUint32(b[0x150:], uint32(blocks>>32))
	return b
}

func TestParseSuper(t *testing.T) {
	change := func(off int, b ...byte) []byte {
		s := super(4096)
		copy(s[off:], b)
		return s
	}
	tests := map[string]struct {
		b    []byte
		want int64
	}{
		"small":         {super(4096), minSize},
		"largest":       {super(maxSize / blockSize), maxSize},
		"larger":        {super(maxSize/blockSize + 1), 0},
		"wraps around":  {super(1<<63 + 1), 0},
		"no magic":      {change(0x38, 0), 0},
		"other blocks":  {change(0x18, 0), 0},
		"no encryption": {change(0x62, 0), 0},
		"32 bits":       {change(0x60, 0), 0},
		"zeroes":        {make([]byte, superSize), 0},
	}
	for name, tt := range tests {
		if got, err := parseSuper(tt.b); got != tt.want || (err == nil) != (tt.want != 0) {
			t.Errorf("%s: %d, %v, want %d", name, got, err, tt.want)
		}
	}
	if _, err := ext4Size(bytes.NewReader(make([]byte, superOffset+superSize-1))); err == nil {
		t.Error("half a superblock was read")
	}
}

func FuzzParseSuper(f *testing.F) {
	f.Add(super(4096))
	f.Add(super(1 << 40))
	f.Add(make([]byte, superSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != superSize {
			return
		}
		n, err := parseSuper(b)
		if n < 0 || n > maxSize || n%blockSize != 0 || (err != nil && n != 0) {
			t.Errorf("%d, %v", n, err)
		}
	})
}

func TestMountPoints(t *testing.T) {
	const table = `22 27 0:21 / /proc rw,relatime - proc proc rw
23 27 0:22 / /a/mnt rw shared:1 - ext4 /dev/loop0 rw
24 27 0:22 / /a/mnt/x rw - ext4 /dev/loop0 rw
25 27 0:22 / /a/mnt/x\040y rw - ext4 /dev/loop0 rw
26 27 0:22 / /a/mnt2/x rw - ext4 /dev/loop0 rw
broken line
`
	got, err := mountPoints(strings.NewReader(table), "/a/mnt/")
	if diff := cmp.Diff([]string{"/a/mnt/x", `/a/mnt/x\040y`}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if _, err := mountPoints(strings.NewReader(strings.Repeat("x", 2<<20)), "/"); err == nil {
		t.Error("a line without end was read")
	}
}

func TestProbe(t *testing.T) {
	names := func(found []Finding) (all []string) {
		for _, f := range found {
			all = append(all, f.Name)
			if (f.Do == "") != f.OK || f.Found == "" || f.Name == "" {
				t.Errorf("%+v", f)
			}
		}
		return all
	}
	dir := filepath.Join(t.TempDir(), "not/made")
	for _, f := range Probe(Config{Dir: dir}) {
		if !f.OK && f.Name != "swap" {
			t.Errorf("this machine cannot run the tests: %+v", f)
		}
	}
	want := []string{"ext4 encryption", "loop devices", "mkfs.ext4", "private storage", "growing storage", "encryption speed", "swap"}
	if diff := cmp.Diff(want, names(Probe(Config{Dir: dir}))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"tmpfs", "memory", "swap"}, names(Probe(Config{Kind: TmpFS, Size: 1 << 20}))); diff != "" {
		t.Error(diff)
	}
	if plain := Probe(Config{Kind: None}); plain[0].OK || len(names(plain)) != 2 {
		t.Errorf("%+v", plain)
	}
	if _, err := os.Stat(filepath.Dir(dir)); err == nil {
		t.Error("a directory was made")
	}
	bad := []Finding{
		probeEncryption(filepath.Join(dir, "encryption")), probeEncryption(filepath.Join(t.TempDir(), "encryption")),
		probeLoop(filepath.Join(dir, "control")), probeFS("nofs"), probeMemory(0), probeMemory(1 << 50),
		probeSpace(Config{Dir: dir, Size: 15 << 40}), probeSpace(Config{Dir: "/proc/self/mem/x"}), probeSwap("/proc/self/mem", "/"),
	}
	names(bad)
	for _, f := range bad {
		if f.OK {
			t.Errorf("%+v", f)
		}
	}
	// What there is already is not missing.
	cfg := config(tempDir(t))
	open(t, cfg)
	if f := probeSpace(cfg); !f.OK {
		t.Errorf("%+v", f)
	}
}

func TestProbeSpeed(t *testing.T) {
	for text, fast := range map[string]bool{
		"name         : xts(aes)\ndriver       : xts-aes-aesni-avx\n": true,
		"name : xts(aes)\ndriver : xts-aes-ce\n":                      true,
		"name : xts(aes)\ndriver : xts(ecb(aes-fixed-time))\n":        false,
		"name : cbc(aes)\ndriver : cbc-aes-aesni\n":                   false,
		"name : xts(aesni)\nmodule : aesni_intel\n":                   false,
		"": false,
	} {
		table := filepath.Join(t.TempDir(), "crypto")
		if err := os.WriteFile(table, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if f := probeSpeed(table); !f.OK || strings.HasPrefix(f.Found, "AES of the processor") != fast {
			t.Errorf("%q: %+v", text, f)
		}
	}
}

func TestProbeSwap(t *testing.T) {
	sys := t.TempDir()
	put := func(name, text string) {
		path := filepath.Join(sys, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("dm-900/dm/uuid", "CRYPT-PLAIN-swap\n")
	put("dm-901/dm/uuid", "LVM-abc\n")
	put("zram900/backing_dev", "none\n")
	put("zram901/backing_dev", "/dev/vda3\n")
	const head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
	tests := map[string]struct {
		table string
		ok    bool
	}{
		"off":             {head, true},
		"partition":       {head + "/dev/vda2 partition\t1\t0\t-2\n", false},
		"file":            {head + "/swapfile                               file\t\t1\t0\t-2\n", false},
		"tabs":            {head + "/dev/vda2\tpartition 1\n", false},
		"dm-crypt":        {head + "/dev/dm-900 partition 1 0 -2\n", true},
		"logical volume":  {head + "/dev/dm-901 partition 1 0 -2\n", false},
		"zram":            {head + "/dev/zram900 partition 1 0 -2\n", true},
		"zram with disk":  {head + "/dev/zram901 partition 1 0 -2\n", false},
		"a file so named": {head + "/home/zram900 file 1 0 -2\n", false},
		"one of two":      {head + "/dev/dm-900 partition 1 0 -2\n/dev/vda2 partition 1 0 -2\n", false},
	}
	for name, tt := range tests {
		table := filepath.Join(t.TempDir(), "swaps")
		if err := os.WriteFile(table, []byte(tt.table), 0o600); err != nil {
			t.Fatal(err)
		}
		if f := probeSwap(table, sys); f.OK != tt.ok {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if f := probeSwap(filepath.Join(sys, "none"), sys); !f.OK {
		t.Errorf("a kernel without swap: %+v", f)
	}
}
