package inventory

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree writes files below a fake root.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if filepath.Base(path) == "nvidia-smi" {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const (
	meminfo = "MemTotal:       16384000 kB\nMemFree:  1 kB\n"
	cpuinfo = "processor\t: 0\nmodel name\t: AMD EPYC 7763\n\nprocessor\t: 1\nmodel name\t: other\n"
	memory  = 16384000 << 10
)

func TestInspect(t *testing.T) {
	root := tree(t, map[string]string{
		"proc/meminfo": meminfo, "proc/cpuinfo": cpuinfo, "proc/self/cgroup": "0::/a/b\n",
		"sys/fs/cgroup/a/memory.max": "1073741824\n", "sys/fs/cgroup/a/cpu.max": "15000 100000\n",
	})
	m, err := Inspect(InspectConfig{DataDir: t.TempDir(), Root: root})
	if err != nil {
		t.Fatal(err)
	}
	if m.CPUMillis != 150 || m.MemoryBytes != 1<<30 || m.CPUModel != "AMD EPYC 7763" || m.DiskBytes == 0 || len(m.GPUs) != 0 {
		t.Errorf("machine %+v", m)
	}
	// This machine has all that is needed too.
	if m, err = Inspect(InspectConfig{DataDir: t.TempDir()}); err != nil || m.CPUMillis == 0 || m.MemoryBytes == 0 {
		t.Errorf("this machine: %+v, %v", m, err)
	}
}

func TestInspectRefuses(t *testing.T) {
	for name, text := range map[string]string{"none": "MemFree: 1 kB\n", "zero": "MemTotal: 0 kB\n", "junk": "MemTotal: x kB\n"} {
		if _, err := Inspect(InspectConfig{DataDir: t.TempDir(), Root: tree(t, map[string]string{"proc/meminfo": text})}); err == nil {
			t.Errorf("%s: inspected", name)
		}
	}
	if _, err := Inspect(InspectConfig{DataDir: t.TempDir(), Root: t.TempDir()}); err == nil {
		t.Error("without meminfo: inspected")
	}
	root := tree(t, map[string]string{"proc/meminfo": meminfo})
	if _, err := Inspect(InspectConfig{DataDir: filepath.Join(root, "gone"), Root: root}); err == nil {
		t.Error("without data dir: inspected")
	}
}

func TestCPUModel(t *testing.T) {
	root := tree(t, map[string]string{"pi": "processor : 0\nModel : Raspberry Pi 4\n", "bare": "processor : 0\n"})
	for name, want := range map[string]string{"pi": "Raspberry Pi 4", "bare": "", "gone": ""} {
		if got := cpuModel(filepath.Join(root, name)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestCgroupLimits(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  limits
	}{
		{"none", nil, limits{}},
		{"v2 unlimited", map[string]string{"proc/self/cgroup": "0::/x\n", "sys/fs/cgroup/x/cpu.max": "max 100000", "sys/fs/cgroup/x/memory.max": "max"}, limits{}},
		{"v2 tightest on the way up", map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "200000 100000", "sys/fs/cgroup/a/cpu.max": "50000 100000",
			"sys/fs/cgroup/a/b/memory.max": "100", "sys/fs/cgroup/a/memory.max": "200",
		}, limits{500, 100}},
		{"v2 path of the host", map[string]string{"proc/self/cgroup": "0::/docker/abc\n", "sys/fs/cgroup/memory.max": "77"}, limits{0, 77}},
		{"v1", map[string]string{
			"proc/self/cgroup": "4:memory:/p\n3:cpu,cpuacct:/q\n1:name=systemd:/\nshort\n",
			"sys/fs/cgroup/memory/p/memory.limit_in_bytes": "300", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
			"sys/fs/cgroup/cpu/q/cpu.cfs_quota_us": "25000", "sys/fs/cgroup/cpu/q/cpu.cfs_period_us": "100000",
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
		}, limits{250, 300}},
		{"junk", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "1 0", "sys/fs/cgroup/memory.max": "-5"}, limits{}},
		{"path that climbs", map[string]string{"proc/self/cgroup": "0::/../../x\n", "sys/fs/cgroup/x/memory.max": "9"}, limits{0, 9}},
	} {
		if got := cgroupLimits(tree(t, tc.files)); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

func TestGPUs(t *testing.T) {
	smi := "#!/bin/sh\nprintf 'NVIDIA A100, 40960\\nNVIDIA H100, 81920\\n'\n"
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  []GPU
	}{
		{"none", map[string]string{"dev/nvidiactl": "", "dev/nvidia-uvm": "", "dev/dri/card0": ""}, nil},
		{"nvidia-smi", map[string]string{"dev/nvidia0": "", "dev/nvidia1": "", "usr/bin/nvidia-smi": smi}, []GPU{
			{"nvidia", "NVIDIA A100", 40 << 30}, {"nvidia", "NVIDIA H100", 80 << 30},
		}},
		{"nvidia-smi of another count", map[string]string{"dev/nvidia0": "", "usr/bin/nvidia-smi": smi}, []GPU{{Vendor: "nvidia"}}},
		{"nvidia-smi that fails", map[string]string{"dev/nvidia0": "", "usr/bin/nvidia-smi": "#!/bin/sh\nexit 1\n"}, []GPU{{Vendor: "nvidia"}}},
		{"driver's files", map[string]string{"dev/nvidia0": "", "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t Tesla T4\n"}, []GPU{{Vendor: "nvidia", Model: "Tesla T4"}}},
		{"render nodes", map[string]string{
			"dev/dri/renderD128": "", "sys/class/drm/renderD128/device/vendor": "0x1002\n",
			"sys/class/drm/renderD128/device/mem_info_vram_total": "17163091968\n", "sys/class/drm/renderD128/device/product_name": "MI50\n",
			"dev/dri/renderD129": "", "sys/class/drm/renderD129/device/vendor": "0x8086\n",
			"dev/dri/renderD130": "", "sys/class/drm/renderD130/device/vendor": "0x10de\n",
			"dev/dri/renderD131": "", "sys/class/drm/renderD131/device/vendor": "0x1af4\n",
			"dev/dri/renderD132": "",
		}, []GPU{{"amd", "MI50", 17163091968}, {Vendor: "intel"}}},
	} {
		if diff := cmp.Diff(tc.want, gpus(tree(t, tc.files))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

func FuzzParseSMI(f *testing.F) {
	for _, s := range []string{"NVIDIA A100, 40960\n", "a, b\n", ", 1", "x", "a, 1, 2", "a, 99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, g := range parseSMI(text) {
			if g.Vendor != "nvidia" || g.MemoryBytes%(1<<20) != 0 {
				t.Fatalf("%q: %+v", text, g)
			}
		}
	})
}

func TestFormat(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 1: "1", 1023: "1023", 1024: "1Ki", 1536: "1536", 1 << 20: "1Mi", 3 << 29: "1536Mi", 1<<30 + 1: "1Gi", 1<<30 + 5<<20 + 1: "1029Mi", 1<<20 + 1: "1Mi", 1<<20 - 1: "1048575", 1 << 60: "1Ei"} {
		if got := bytes(n); got != want {
			t.Errorf("bytes(%d) = %s, want %s", n, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0", 250: "250m", 1000: "1", 1500: "1500m"} {
		if got := cores(n); got != want {
			t.Errorf("cores(%d) = %s, want %s", n, got, want)
		}
	}
}
