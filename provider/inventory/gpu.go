package inventory

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// smiTimeout bounds nvidia-smi, which hangs on a broken driver.
const smiTimeout = 10 * time.Second

// vendors are PCI vendor ids of GPUs, as sysfs writes them.
var vendors = map[string]string{"0x10de": vendorNVIDIA, "0x1002": "amd", "0x8086": "intel"}

const vendorNVIDIA = "nvidia"

var nvidiaDevice = regexp.MustCompile(`^nvidia[0-9]+$`)

// gpus finds GPUs by their device files: /dev/nvidiaN, and /dev/dri/renderD*
// with the vendor that sysfs names. NVIDIA's have no render node without the
// display driver, so theirs are counted by the first and skipped by the second.
func gpus(root string) []GPU {
	var out []GPU
	entries, err := os.ReadDir(filepath.Join(root, "dev"))
	if err == nil {
		for _, e := range entries {
			if nvidiaDevice.MatchString(e.Name()) {
				out = append(out, GPU{Vendor: vendorNVIDIA})
			}
		}
	}
	describeNVIDIA(root, out)
	nodes, err := filepath.Glob(filepath.Join(root, "dev/dri/renderD*"))
	if err != nil {
		return out
	}
	for _, node := range nodes {
		device := filepath.Join(root, "sys/class/drm", filepath.Base(node), "device")
		vendor := vendors[line(device, "vendor")]
		if vendor == "" || vendor == vendorNVIDIA {
			continue
		}
		memory, err := strconv.ParseUint(line(device, "mem_info_vram_total"), 10, 64)
		if err != nil {
			memory = 0 // only amdgpu tells
		}
		out = append(out, GPU{Vendor: vendor, Model: line(device, "product_name"), MemoryBytes: memory})
	}
	return out
}

// describeNVIDIA fills in models and memory: from nvidia-smi, or the models
// alone from the driver's files.
func describeNVIDIA(root string, devices []GPU) {
	if len(devices) == 0 {
		return
	}
	if found := nvidiaSMI(root); len(found) == len(devices) {
		copy(devices, found)
		return
	}
	paths, err := filepath.Glob(filepath.Join(root, "proc/driver/nvidia/gpus/*/information"))
	if err != nil || len(paths) != len(devices) {
		return
	}
	for i, path := range paths {
		if info, err := fields(path); err == nil {
			devices[i].Model = info["Model"]
		}
	}
}

func nvidiaSMI(root string) []GPU {
	path := filepath.Join(root, "usr/bin/nvidia-smi")
	ctx, cancel := context.WithTimeout(context.Background(), smiTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits").Output()
	if err != nil {
		return nil
	}
	return parseSMI(string(out))
}

// parseSMI reads "NAME, MIB" lines.
func parseSMI(text string) []GPU {
	var found []GPU
	for l := range strings.Lines(text) {
		name, memory, ok := strings.Cut(strings.TrimSpace(l), ", ")
		mib, err := strconv.ParseUint(memory, 10, 40)
		if !ok || err != nil {
			return nil
		}
		found = append(found, GPU{Vendor: vendorNVIDIA, Model: name, MemoryBytes: mib << 20})
	}
	return found
}
